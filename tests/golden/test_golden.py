"""Every format version that was ever published must load forever, with exact scores."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.format import FORMAT_VERSION
from app.artifacts.reading import open_model, verify_checksums
from app.model.fold_in import fold_in
from tests.golden.make import HERE, answers

FORMATS = sorted(path.name for path in HERE.glob("format-*"))


def load(name: str) -> tuple[Path, dict[str, Any]]:
    expected: dict[str, Any] = json.loads((HERE / name / "expected.json").read_bytes())
    return HERE / name / expected["version"], expected


def test_there_is_a_golden_artifact_of_every_format() -> None:
    versions = range(1, FORMAT_VERSION + 1)
    assert [f"format-{number}" for number in versions] == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_artifact_answers_as_on_the_day_it_was_made(name: str) -> None:
    folder, expected = load(name)
    verify_checksums(folder)
    model = open_model(folder)
    found = answers(model)
    assert found.keys() == expected["answers"].keys()
    for query, answer in expected["answers"].items():
        assert found[query] == answer, query


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_artifact_gives_its_names_and_vectors(name: str) -> None:
    folder, expected = load(name)
    model = open_model(folder)
    for item_id, item_name in expected["names"].items():
        index = model.items.index(item_id)
        assert index is not None
        assert model.item_names[index] == item_name
    assert model.user_factors.tolist() == expected["user_factors"]


@pytest.mark.parametrize("name", FORMATS)
def test_folding_in_a_golden_history_gives_its_vectors(name: str) -> None:
    model = open_model(load(name)[0])
    vectors = fold_in(
        model.user_items,
        model.item_factors,
        model.item_gramian,
        model.weighting,
        alpha=model.alpha,
        regularization=model.regularization,
    )
    # Not bit for bit: another machine's BLAS may round otherwise.
    np.testing.assert_allclose(vectors, model.user_factors, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_artifact_is_small_and_not_ignored_by_git(name: str) -> None:
    paths = [path for path in (HERE / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 60_000
    if not (HERE.parents[1] / ".git").exists():
        pytest.skip("this is no git checkout")
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, paths)],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""
