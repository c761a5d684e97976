from __future__ import annotations

from pathlib import Path

import pytest

from app import errors
from app.errors import EncoreError, InvalidArtifact, InvalidId


def test_every_exception_of_the_service_can_be_caught_as_one() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    raised = [one for one in classes if issubclass(one, Exception)]
    assert len(raised) >= 8
    assert all(issubclass(one, EncoreError) for one in raised)


def test_every_exception_stands_in_the_tree_at_the_top() -> None:
    tree = errors.__doc__ or ""
    named = {line.split()[1] for line in tree.splitlines() if "──" in line}
    defined = {
        name
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, EncoreError)
    }
    assert named == defined - {"EncoreError"}


def test_a_refused_artifact_names_file_expectation_finding_and_remedy() -> None:
    error = InvalidArtifact(Path("models/v/item_factors.npy"), expected="8 bytes", found="7 bytes")
    assert (error.path.name, error.expected, error.found) == (
        "item_factors.npy",
        "8 bytes",
        "7 bytes",
    )
    assert str(error).startswith(
        "models/v/item_factors.npy: expected 8 bytes, found 7 bytes. Train again"
    )


def test_an_invalid_id_is_a_value_error_so_that_validators_understand_it() -> None:
    with pytest.raises(ValueError, match="too long"):
        raise InvalidId("too long")
