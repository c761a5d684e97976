from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from training.configuration import read_toml, write_configuration
from training.errors import TrainingError, WriteError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    recipe = {"weighting": "log", "factors": 96, "relative_regularization": 0.31, "alpha": 5.0}
    write_configuration(path, {"recipe": recipe}, ["The best of 40 trials."])
    assert path.read_text().startswith("# The best of 40 trials.\n")
    assert tomllib.loads(path.read_text()) == {"recipe": recipe}


def test_a_file_may_begin_with_the_mark_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_bytes(b"\xef\xbb\xbffactors = 3\n")
    assert read_toml(path) == {"factors": 3}


@pytest.mark.parametrize("content", [b"factors = ", b"a = '\xff'", b"a = " + b"[" * 100_000])
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.toml"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=f"^{path} is not TOML: "):
        read_toml(path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        write_configuration(tmp_path / "missing" / "best.toml", {"recipe": {"factors": 3}}, [])
    assert list(tmp_path.iterdir()) == []
