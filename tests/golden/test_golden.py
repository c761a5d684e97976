"""Every format version that was ever published must load forever, with exact scores."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.format import FORMAT_VERSIONS
from app.artifacts.reading import check_values, open_model, verify_checksums
from app.artifacts.writing import write_model
from tests.builders import CREATED_AT
from tests.golden.make import HERE, answers

FORMATS = sorted(path.name for path in HERE.glob("format-*"))


def load(name: str) -> tuple[Path, dict[str, Any]]:
    expected: dict[str, Any] = json.loads((HERE / name / "expected.json").read_bytes())
    return HERE / name / expected["version"], expected


def test_there_is_a_golden_artifact_of_every_format() -> None:
    assert [f"format-{number}" for number in FORMAT_VERSIONS] == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_artifact_answers_as_on_the_day_it_was_made(name: str) -> None:
    folder, expected = load(name)
    verify_checksums(folder)
    model = open_model(folder)
    check_values(model, folder)
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
def test_a_golden_artifact_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    folder, _ = load(name)
    model = open_model(folder)
    write_model(model, tmp_path / "new", card=model.card, report=None, created_at=CREATED_AT)
    for path in folder.glob("*.npy"):
        assert (tmp_path / "new" / path.name).read_bytes() == path.read_bytes(), path.name
    old, new = (
        json.loads((one / "manifest.json").read_bytes()) for one in (folder, tmp_path / "new")
    )
    assert new["format_version"] == old["format_version"]
    assert new["files"] == old["files"]
    assert new.get("blocks") == old.get("blocks")


@pytest.mark.parametrize("name", FORMATS)
def test_folding_in_a_golden_history_gives_its_vectors(name: str) -> None:
    model = open_model(load(name)[0])
    vectors = model.fold_in(model.user_items)
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
