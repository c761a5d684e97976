"""Blocks in the manifest: models of both formats, and entries that no training writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import __version__
from app.artifacts.blocks import KINDS, block_entries, kinds_of
from app.artifacts.format import MANIFEST, arrays_of
from app.artifacts.manifest import read_manifest
from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import check_values, open_model
from app.errors import InvalidArtifact
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from benchmarks.damages import with_manifest
from tests.builders import publish_small, random_model, with_linear

FORMATS = {"als": 1, "linear": 2, "als and linear": 2}


def made_of(kinds: str) -> Model:
    model = random_model(np.random.default_rng(3), n_users=12, n_items=20, factors=4)
    return model if kinds == "als" else with_linear(model, 3, alone=kinds == "linear")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a model of both blocks; for reading only."""
    models = tmp_path_factory.mktemp("models")
    publish_small(made_of("als and linear"), models)
    return models


@pytest.fixture
def models(published: Path, tmp_path: Path) -> Path:
    """A copy to do damage to."""
    return shutil.copytree(published, tmp_path / "models")


def refused(models: Path, change: Callable[[dict[str, Any]], Any]) -> InvalidArtifact:
    """Changes the manifest and opens the version."""
    version = with_manifest(models, ModelsFolder(models).find(), change)
    with pytest.raises(InvalidArtifact) as caught:
        ModelsFolder(models).open(version)
    return caught.value


def write(models: Path, name: str, array: Any) -> Path:
    """Replaces an array, with the right checksum and name; returns the folder."""
    version = ModelsFolder(models).find()
    path = models / version / f"{name}.npy"
    np.save(path, array)

    def describe(manifest: dict[str, Any]) -> None:
        entry = manifest["files"].setdefault(name, {"dtype": array.dtype.str, "sha256": ""})
        entry |= {"shape": list(array.shape), "bytes": path.stat().st_size}

    return models / with_manifest(models, version, describe)


@pytest.mark.parametrize("kinds", FORMATS)
def test_a_model_of_any_blocks_opens_as_it_was_published(kinds: str, tmp_path: Path) -> None:
    model = made_of(kinds)
    version = publish_small(model, tmp_path)
    ModelsFolder(tmp_path).verify(version)
    manifest, opened = read_manifest(tmp_path / version), open_model(tmp_path / version)
    assert manifest["format_version"] == FORMATS[kinds]
    assert " and ".join(kinds_of(manifest)) == kinds
    assert block_entries(opened) == block_entries(model)
    assert opened.event_units == model.event_units
    assert opened.fold_in(model.user_items).tobytes() == model.user_factors.tobytes()
    for query in (Query("u1", n=9), Query("u2", n=9, listens=[("i3", 2.0)], discovery=0.5)):
        answer = Recommender(opened).recommend(query)
        assert answer == Recommender(model).recommend(query)
    arrays = {name for name in arrays_of(opened) if name in {one.array for one in KINDS.values()}}
    assert arrays == {KINDS[block.kind].array for block in model.blocks}


def test_format_2_says_how_to_fold_in_by_block_and_nowhere_else(published: Path) -> None:
    version = ModelsFolder(published).find()
    manifest = json.loads((published / version / MANIFEST).read_bytes())
    als, linear = manifest["blocks"]
    assert (als["kind"], als["columns"]) == ("als", [0, 4])
    assert als["parameters"].keys() == {"alpha", "regularization", "median_weight"}
    assert als["weighting"]["name"] == "bm25"
    assert (linear["kind"], linear["columns"]) == ("linear", [4, 7])
    assert linear["parameters"].keys() == {"user_exponent", "weight", "median_weight"}
    assert linear["weighting"]["name"] == "log"
    assert manifest["event_unit"] == {"multiple": 3.0}
    assert "weighting" not in manifest
    assert "optional" not in manifest["files"]["history_factors"]


@pytest.mark.parametrize("kind", ["graph", "", "ALS", None, 5, ["als"], {}])
def test_an_unknown_block_is_refused_with_its_name_and_the_version_that_wrote_it(
    models: Path, kind: object
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["blocks"][1]["kind"] = kind
        manifest["code_version"] = "9.1.0"

    error = refused(models, change)
    assert error.path.name == MANIFEST
    assert error.expected == "only blocks that this version of Encore knows: als, linear"
    assert error.found == (
        f"{kind!a} as block 1, written by Encore 9.1.0; that version or a later one reads it"
    )


@pytest.mark.parametrize("entry", [None, 5, "als", []])
def test_a_block_that_is_no_object_is_refused(models: Path, entry: object) -> None:
    error = refused(models, lambda manifest: manifest["blocks"].__setitem__(0, entry))
    assert error.found.startswith(f"{entry!a} as block 0, written by Encore {__version__}")


@pytest.mark.parametrize(
    ("order", "found"), [([], "none"), ([1, 0], "linear, als"), ([0, 0], "als, als")]
)
def test_blocks_in_another_order_or_twice_are_refused(
    models: Path, order: list[int], found: str
) -> None:
    error = refused(
        models, lambda manifest: manifest.update(blocks=[manifest["blocks"][one] for one in order])
    )
    assert error.expected == "blocks in the order als, linear, each at most once"
    assert error.found == found


@pytest.mark.parametrize("blocks", [None, {}, 5, "als"])
def test_blocks_that_are_no_list_are_refused(models: Path, blocks: object) -> None:
    error = refused(models, lambda manifest: manifest.update(blocks=blocks))
    assert (error.expected, error.found) == ("a list under blocks", ascii(blocks))


@pytest.mark.parametrize(
    ("place", "columns", "expected"),
    [
        (0, [0, 5], "columns [0, 4] of block als"),
        (0, [1, 4], "columns [0, 4] of block als"),
        (1, [3, 7], "columns [4, 7] of block linear"),
        (1, [4, 8], "columns [4, 7] of block linear"),
        (1, None, "columns [4, 7] of block linear"),
        (1, [4, 7, 9], "columns [4, 7] of block linear"),
    ],
)
def test_columns_that_overlap_or_leave_a_gap_are_refused(
    models: Path, place: int, columns: object, expected: str
) -> None:
    error = refused(models, lambda manifest: manifest["blocks"][place].update(columns=columns))
    assert (error.expected, error.found) == (expected, ascii(columns))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("weight", 0, "weight is 0, not between 1e-30 and 1e+30"),
        ("weight", -0.5, "weight is -0.5, not between 1e-30 and 1e+30"),
        ("weight", 1e31, "weight is 1e+31, not between 1e-30 and 1e+30"),
        ("weight", None, "weight is no number"),
        ("weight", True, "weight is no number"),
        ("user_exponent", -1, "user_exponent is -1, not between 0 and 1e+30"),
        ("user_exponent", 1.5, "has to lie between 0 and 1, not 1.5"),
    ],
)
def test_a_number_of_a_linear_block_out_of_range_is_refused(
    models: Path, key: str, value: object, told: str
) -> None:
    error = refused(
        models, lambda manifest: manifest["blocks"][1]["parameters"].update({key: value})
    )
    assert error.expected == "weighting and parameters of block 1, linear"
    assert told in error.found


def test_a_weight_that_is_no_number_in_json_is_refused(models: Path) -> None:
    version = ModelsFolder(models).find()
    path = models / version / MANIFEST
    path.write_text(path.read_text().replace('"weight": 0.75', '"weight": NaN'))
    with pytest.raises(InvalidArtifact, match="a whole manifest"):
        ModelsFolder(models).open(version)


@pytest.mark.parametrize("key", ["weighting", "parameters"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_block_without_its_numbers_is_refused(models: Path, place: int, key: str) -> None:
    error = refused(models, lambda manifest: manifest["blocks"][place].pop(key))
    kind = ("als", "linear")[place]
    assert error.expected == f"weighting and parameters of block {place}, {kind}"
    assert error.found == f"KeyError('{key}')"


@pytest.mark.parametrize(
    ("name", "left", "kind"), [("item_gramian", 1, "als"), ("history_factors", 0, "linear")]
)
def test_an_array_of_a_block_that_the_model_lacks_is_refused(
    models: Path, name: str, left: int, kind: str
) -> None:
    error = refused(models, lambda manifest: manifest.update(blocks=[manifest["blocks"][left]]))
    assert error.expected == f"a block {kind}, to which {name} belongs"


def test_format_1_has_no_linear_block(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    publish_small(made_of("als"), alone)
    with pytest.raises(InvalidArtifact, match="a block linear, to which history_factors belongs"):
        open_model(write(alone, "history_factors", np.zeros((20, 2), dtype=np.float32)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e13])
def test_history_factors_that_are_not_finite_are_refused_with_place_and_value(
    models: Path, wrong: float
) -> None:
    array = np.load(models / ModelsFolder(models).find() / "history_factors.npy")
    array[4, 1] = wrong
    folder = write(models, "history_factors", array)
    with pytest.raises(InvalidArtifact) as caught:
        check_values_of(folder)
    assert caught.value.path.name == "history_factors.npy"
    assert caught.value.found == f"{np.float32(wrong)} at 4"


@pytest.mark.parametrize("change", ["scaled", "turned"])
def test_history_factors_of_another_model_are_refused(models: Path, change: str) -> None:
    array = np.load(models / ModelsFolder(models).find() / "history_factors.npy")
    changed = 2 * array if change == "scaled" else np.ascontiguousarray(array[::-1])
    folder = write(models, "history_factors", changed)
    with pytest.raises(InvalidArtifact, match="user_factors, for user 0 at column 4"):
        check_values_of(folder)


def check_values_of(folder: Path) -> None:
    check_values(open_model(folder), folder)
