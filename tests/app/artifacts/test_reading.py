from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app import __version__
from app.artifacts.blocks import block_entries
from app.artifacts.format import ARRAYS, MANIFEST, arrays_of
from app.artifacts.manifest import read_manifest, total_bytes, version_of
from app.artifacts.reading import open_model, read_report, verify_checksums
from app.errors import InvalidArtifact, ReportNotFound
from app.model.model import Model
from app.model.weighting import WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.builders import (
    als_of,
    card_of,
    dense_of,
    interactions_of,
    publish_small,
    random_plays,
    small_model,
    with_linear,
)
from training.publishing.publish import publish


@pytest.fixture(scope="module")
def model() -> Model:
    """A model with lists, over ids and names that are not plain."""
    plays = random_plays(np.random.default_rng(3), n_users=7, n_items=5)
    interactions = interactions_of(
        plays,
        user_ids=["", "a/b", "Ünï", "\U0001f3b8", "..", "x" * 256, "%2F"],
        item_ids=["name:AC/DC", "i1", "i2", "i3", "i4"],
        item_names=["AC/DC", "Sigur Rós", "", "坂本龍一", 'Tom "T" Waits'],
    )
    model = small_model(interactions, factors=3)
    # With recency, as of a model with a half-life, and with two blocks, so that every file of the
    # format is tested.
    recency = np.linspace(0.1, 1, model.user_items.nnz, dtype=np.float32)
    model = replace(model, user_items=replace(model.user_items, recency=recency))
    return with_linear(model, 2, list_length=2)


@pytest.fixture(scope="module")
def published(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published model, for reading only."""
    models = tmp_path_factory.mktemp("models")
    return models / publish_small(model, models)


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of the published model to do damage to."""
    return shutil.copytree(published, tmp_path / published.name)


@pytest.fixture
def als_folder(model: Model, tmp_path: Path) -> Path:
    """A published model of ALS alone, in format 1, to do damage to."""
    plays = dense_of(model.user_items)
    return tmp_path / publish_small(small_model(interactions_of(plays), factors=3), tmp_path)


def with_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Changes the manifest and renames the folder to match, as an attacker could."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder.rename(folder.with_name(version_of(manifest)))


def rewrite(folder: Path, name: str, array: NDArray[Any], **entry: object) -> Path:
    """Replaces an array and makes the manifest agree with it, but for ``entry``."""
    path = folder / f"{name}.npy"
    np.save(path, array)
    new = {"dtype": array.dtype.str, "shape": list(array.shape), "bytes": path.stat().st_size}
    return with_manifest(folder, lambda manifest: manifest["files"][name].update(new | entry))


def refusal(folder: Path, name: str, *, verify: bool = False) -> InvalidArtifact:
    """Opens, or verifies, a folder that is to be refused because of one file."""
    with pytest.raises(InvalidArtifact) as caught:
        (verify_checksums if verify else open_model)(folder)
    assert caught.value.path == folder / name
    assert str(folder / name) in str(caught.value)
    assert caught.value.expected in str(caught.value)
    assert caught.value.found in str(caught.value)
    return caught.value


def test_a_published_model_opens_with_identical_arrays(model: Model, folder: Path) -> None:
    opened = open_model(folder)
    expected, found = arrays_of(model), arrays_of(opened)
    assert set(found) == set(expected) == set(ARRAYS)
    for name, array in expected.items():
        assert found[name].dtype == ARRAYS[name].dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert block_entries(opened) == block_entries(model)
    assert opened.event_units == model.event_units
    assert opened.version == folder.name
    assert opened.card["dataset"] == {"name": "test"}
    verify_checksums(folder)


def test_an_opened_model_answers_like_the_one_in_memory(model: Model, folder: Path) -> None:
    opened = open_model(folder)
    for user_id in [*model.users.strings, "nobody"]:
        for query in (Query(user_id, n=2), Query(user_id, n=5, exclude=["i1", "name:AC/DC"])):
            one, other = Recommender(model).recommend(query), Recommender(opened).recommend(query)
            assert one.items == other.items
            assert one.scores == other.scores
            assert one.sources == other.sources


def test_ids_and_names_come_back_byte_exact(model: Model, folder: Path) -> None:
    opened = open_model(folder)
    assert list(opened.users.strings) == list(model.users.strings)
    assert [opened.users.index(one) for one in model.users.strings] == list(range(7))
    assert opened.items.index("name:AC/DC") == 0
    assert list(opened.item_names) == ["AC/DC", "Sigur Rós", "", "坂本龍一", 'Tom "T" Waits']


def test_arrays_are_mapped_read_only(folder: Path) -> None:
    opened = open_model(folder)
    for name, array in arrays_of(opened).items():
        assert not array.flags.writeable, name
        assert not array.flags.owndata, name
        assert type(array) is np.ndarray, name
    with pytest.raises(ValueError, match="read-only"):
        opened.item_factors[0] = 0


def test_a_mapped_model_outlives_its_folder(model: Model, folder: Path) -> None:
    opened = open_model(folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert opened.item_factors.tobytes() == model.item_factors.tobytes()


def test_optional_lists_may_be_missing_and_weightings_without_idf_are_empty(
    tmp_path: Path,
) -> None:
    plays = random_plays(np.random.default_rng(4), n_users=4, n_items=3)
    model = small_model(
        interactions_of(plays, item_names=["", "", ""]), weighting=WeightingName.LOG
    )
    folder = tmp_path / publish_small(model, tmp_path)
    assert not (folder / "top_items.npy").exists()
    opened = open_model(folder)
    assert opened.top_lists is None
    assert als_of(opened).weighting.idf.shape == (0,)
    assert als_of(opened).weighting.idf.dtype == np.float32
    assert list(opened.item_names) == ["", "", ""]
    verify_checksums(folder)


def test_a_single_user_with_an_empty_id_makes_an_artifact(tmp_path: Path) -> None:
    model = small_model(interactions_of([[1.0]], user_ids=[""], item_ids=[""], item_names=[""]))
    opened = open_model(tmp_path / publish_small(model, tmp_path))
    assert opened.users.index("") == 0
    assert opened.users.index("x") is None


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    size = path.stat().st_size
    os.truncate(path, size - 1)
    error = refusal(folder, path.name)
    assert (error.expected, error.found) == (f"{size} bytes", f"{size - 1} bytes")
    refusal(folder, path.name, verify=True)


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_grown_file_is_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\0")
    error = refusal(folder, path.name)
    assert (error.expected, error.found) == (f"{size} bytes", f"{size + 1} bytes")


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_an_edited_byte_fails_the_checksum(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    error = refusal(folder, path.name, verify=True)
    expected = json.loads((folder / MANIFEST).read_bytes())["files"][name]["sha256"]
    assert error.expected == f"SHA-256 {expected}"
    assert re.fullmatch("[0-9a-f]{64}", error.found)
    assert error.found != expected


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / f"{name}.npy").unlink()
    for verify in (False, True):
        error = refusal(folder, f"{name}.npy", verify=verify)
        assert error.expected == "a readable file"
        assert error.found == "No such file or directory"


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, spec in ARRAYS.items()
        if not spec.optional or name in ("item_gramian", "history_factors")
    ),
)
def test_a_missing_entry_is_refused(folder: Path, name: str) -> None:
    folder = with_manifest(folder, lambda manifest: manifest["files"].pop(name))
    error = refusal(folder, MANIFEST)
    assert (error.expected, error.found) == (f"an entry for {name}", "none")


@pytest.mark.parametrize("name", ["top_items", "top_scores"])
def test_half_of_the_lists_is_refused(folder: Path, name: str) -> None:
    # Was wrong: the other half was silently ignored.
    folder = with_manifest(folder, lambda manifest: manifest["files"].pop(name))
    assert refusal(folder, MANIFEST).expected == "both of top_items and top_scores"


def test_an_unknown_file_is_refused_unless_it_is_optional(folder: Path) -> None:
    np.save(folder / "genres.npy", np.zeros(3))
    entry = {"dtype": "<f8", "shape": [3], "bytes": 152, "sha256": "0" * 64}
    folder = with_manifest(folder, lambda manifest: manifest["files"].update(genres=entry))
    error = refusal(folder, MANIFEST)
    assert error.found == "genres"
    assert "optional" in error.expected
    folder = with_manifest(
        folder, lambda manifest: manifest["files"]["genres"].update(optional=True)
    )
    assert open_model(folder).users.index("a/b") == 1
    assert refusal(folder, "genres.npy", verify=True).expected == f"SHA-256 {'0' * 64}"


def test_a_file_that_no_manifest_mentions_does_not_matter(folder: Path) -> None:
    (folder / "README").write_text("hello")
    open_model(folder)
    verify_checksums(folder)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("item_factors", "<f8"), ("user_items_indices", "<i8"), ("item_factors", ">f4")],
)
def test_a_dtype_that_is_not_the_formats_is_refused(folder: Path, name: str, dtype: str) -> None:
    array = np.load(folder / f"{name}.npy").astype(dtype)
    folder = rewrite(folder, name, array)
    error = refusal(folder, f"{name}.npy")
    assert error.expected == f"dtype {ARRAYS[name].dtype} as in the format"
    assert error.found == dtype


def test_a_dtype_that_is_not_the_manifests_is_refused(folder: Path) -> None:
    folder = with_manifest(
        folder, lambda manifest: manifest["files"]["item_factors"].update(dtype="<i4")
    )
    error = refusal(folder, "item_factors.npy")
    assert (error.expected, error.found) == ("dtype <i4 as in the manifest", "<f4")


@pytest.mark.parametrize("shape", [[5, 3], [25], [5, 0], None, "5x5", [5.5, 5]])
def test_a_shape_that_is_not_the_manifests_is_refused(folder: Path, shape: object) -> None:
    folder = with_manifest(
        folder, lambda manifest: manifest["files"]["item_factors"].update(shape=shape)
    )
    error = refusal(folder, "item_factors.npy")
    assert (error.expected, error.found) == (f"shape {shape}", "[5, 5]")


@pytest.mark.parametrize(
    ("name", "cut", "label"),
    [
        ("item_factors", np.s_[:, :2], "factors = 5"),
        ("item_gramian", np.s_[:2], "als_factors = 2"),
        ("history_factors", np.s_[:, :1], "columns 3 to 5 of the vectors"),
        ("history_factors", np.s_[:, :0], "linear_rank above 0"),
        ("history_factors", np.s_[:4], "n_items = 5"),
        ("user_ids_offsets", np.s_[:-1], "n_users+1 = 8"),
        ("user_ids_order", np.s_[1:], "n_users = 7"),
        ("item_names_offsets", np.s_[1:], "n_items+1 = 6"),
        ("popularity_plays", np.s_[:4], "n_items = 5"),
        ("user_items_plays", np.s_[1:], "nnz = "),
        ("user_items_indptr", np.s_[:3], "n_users+1 = 8"),
        ("weighting_idf", np.s_[:2], "no entry or n_items = 5"),
        ("top_scores", np.s_[:, :1], "list_length = 2"),
        ("item_factors", np.s_[0], "2 dimensions"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(
    folder: Path, name: str, cut: Any, label: str
) -> None:
    folder = rewrite(folder, name, np.load(folder / f"{name}.npy")[cut].copy())
    assert refusal(folder, f"{name}.npy").expected.startswith(label)


@pytest.mark.parametrize("name", ["user_ids_data", "item_names_data", "user_items_indptr"])
def test_offsets_that_end_elsewhere_are_refused(folder: Path, name: str) -> None:
    array = np.load(folder / f"{name}.npy")
    changed = array + 1 if name.endswith("indptr") else array[:-1].copy()
    folder = rewrite(folder, name, changed)
    with pytest.raises(InvalidArtifact, match="offsets from 0 to the"):
        open_model(folder)


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ([0, 2, 4, 7], "a power of two of buckets, plus 1"),
        ([7], "a power of two of buckets, plus 1"),
        ([], "a power of two of buckets, plus 1"),
        ([0, 3, 6], "offsets from 0 to the 7 entries of user_ids_order"),
    ],
)
def test_an_id_index_with_unusable_buckets_is_refused(
    folder: Path, buckets: list[int], expected: str
) -> None:
    # Was wrong: opened, and every user of it was unknown.
    folder = rewrite(folder, "user_ids_buckets", np.array(buckets, dtype=np.int64))
    assert refusal(folder, "user_ids_buckets.npy").expected == expected


def test_columns_stored_first_are_refused(folder: Path) -> None:
    # Was wrong: an edited header flag was accepted, with the values in another order.
    path = folder / "item_factors.npy"
    path.write_bytes(
        path.read_bytes().replace(b"'fortran_order': False", b"'fortran_order': True ")
    )
    error = refusal(folder, path.name)
    assert (error.expected, error.found) == ("row-major order", "column-major order")


class Bomb:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (66,)


def test_a_pickled_array_is_refused_and_never_unpickled(folder: Path) -> None:
    array = np.empty((5, 3), dtype=object)
    array[:] = Bomb()
    path = folder / "item_factors.npy"
    np.save(path, array, allow_pickle=True)
    size = path.stat().st_size
    folder = with_manifest(
        folder, lambda manifest: manifest["files"]["item_factors"].update(bytes=size)
    )
    assert refusal(folder, path.name).found == "|O"


def test_an_object_array_where_an_empty_one_is_announced_is_never_unpickled(folder: Path) -> None:
    array = np.empty(3, dtype=object)
    array[:] = Bomb()
    path = folder / "weighting_idf.npy"
    np.save(path, array, allow_pickle=True)
    entry = {"bytes": path.stat().st_size, "shape": [0]}
    folder = with_manifest(
        folder, lambda manifest: manifest["files"]["weighting_idf"].update(entry)
    )
    assert refusal(folder, path.name).found == "|O"


@pytest.mark.parametrize("content", [pickle.dumps(Bomb()), b"PK\x03\x04", b"PK\x05\x06", b""])
def test_a_file_that_is_not_npy_is_refused(folder: Path, content: bytes) -> None:
    # Was wrong: a file that begins like a zip archive raised BadZipFile or AttributeError.
    path = folder / "item_factors.npy"
    path.write_bytes(content.ljust(path.stat().st_size, b"\0"))
    assert refusal(folder, path.name).expected == "a .npy array"


def test_a_damaged_header_is_refused_or_harmless(folder: Path, rng: np.random.Generator) -> None:
    # Was wrong: some damaged headers raised TypeError, SyntaxError or TokenError.
    path = folder / "item_factors.npy"
    intact = path.read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(intact)
        for position in rng.integers(0, 70, size=rng.integers(1, 4)):
            damaged[position] = rng.choice([*b"(){}[]',:\\\n\0 x9-<", 200])
        path.write_bytes(damaged)
        try:
            open_model(folder)
        except InvalidArtifact:
            refused += 1
    assert refused > 100


def test_a_missing_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    for verify in (False, True):
        error = refusal(folder, MANIFEST, verify=verify)
        assert (error.expected, error.found) == ("a readable manifest", "No such file or directory")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"format_version": 1',
        b"[" * 100_000,
        b"\0" * 100,
        b'{"format_version": 1, "created_at": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_manifest_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    # Was wrong: deep nesting raised RecursionError.
    (folder / MANIFEST).write_bytes(content)
    assert refusal(folder, MANIFEST).expected == "a JSON object"


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "{}", '{"files": {}}'])
def test_json_that_is_not_a_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert refusal(folder, MANIFEST).expected == "an object with format_version"


@pytest.mark.parametrize(
    "content",
    [
        '{"format_version": 1}',
        '{"format_version": 1, "created_at": NaN}',
        '{"format_version": 1, "created_at": "\\ud800"}',
    ],
)
def test_a_manifest_that_lacks_its_time_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert refusal(folder, MANIFEST).expected == "a whole manifest"


def test_a_huge_manifest_is_refused_unread(folder: Path) -> None:
    os.truncate(folder / MANIFEST, 2**34)  # sparse
    error = refusal(folder, MANIFEST)
    assert (error.expected, error.found) == (f"at most {2**24} bytes", "more")


@pytest.mark.parametrize("version", [0, 3, "1", None, [1], 1.0, True])
def test_another_format_version_is_refused(folder: Path, version: object) -> None:
    folder = with_manifest(folder, lambda manifest: manifest.update(format_version=version))
    error = refusal(folder, MANIFEST)
    assert error.expected == "format_version 1 or 2"
    assert error.found == (
        f"{version!r}, written by Encore {__version__}; that version or a later one reads it"
    )


def test_an_edited_manifest_is_refused(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"weight": 0.75', '"weight": 9.0'))
    for verify in (False, True):
        error = refusal(folder, MANIFEST, verify=verify)
        assert folder.name in error.expected
        assert re.search(r"version 20261123T150405Z-[0-9a-f]{8}$", error.found)


def test_a_reformatted_manifest_is_the_same_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_bytes()), sort_keys=True, indent=None))
    assert read_manifest(folder)["dataset"] == {"name": "test"}


def test_a_renamed_folder_is_refused(folder: Path) -> None:
    other = folder.rename(folder.with_name("20261123T150405Z-00000000"))
    error = refusal(other, MANIFEST)
    assert error.expected == (
        "the manifest that version 20261123T150405Z-00000000 was published with"
    )
    assert error.found == f"one that belongs to version {folder.name}"


@pytest.mark.parametrize("files", [None, [], "all", {"item_factors": None}, {"item_factors": 5}])
def test_files_that_are_no_object_of_objects_are_refused(folder: Path, files: object) -> None:
    folder = with_manifest(folder, lambda manifest: manifest.update(files=files))
    for verify in (False, True):
        error = refusal(folder, MANIFEST, verify=verify)
        assert error.expected == "an object of objects under files"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "a\0b"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    # Was wrong: a NUL in a name raised ValueError from the operating system's call.
    entry = {"optional": True, "bytes": 1, "sha256": "0"}
    folder = with_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))
    for verify in (False, True):
        error = refusal(folder, MANIFEST, verify=verify)
        assert (error.expected, error.found) == ("plain file names", repr(name))


@pytest.mark.parametrize("key", ["bytes", "sha256"])
@pytest.mark.parametrize("name", ["item_factors", "later"])
def test_an_entry_without_size_or_checksum_is_refused(folder: Path, name: str, key: str) -> None:
    # Was wrong: verification, and counting the bytes, raised KeyError.
    def remove(manifest: dict[str, Any]) -> None:
        entry = dict(manifest["files"]["item_factors"], optional=True)
        manifest["files"][name] = {one: entry[one] for one in entry if one != key}

    folder = with_manifest(folder, remove)
    for verify in (False, True):
        assert refusal(folder, MANIFEST, verify=verify).expected == f"bytes and sha256 of {name}"


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("event_unit", {"multiple": -1.0, "median_weight": 1.0}),
        ("event_unit", {"multiple": 3.0}),
        ("weighting", {"name": "bm25"}),
        ("weighting", {"name": "tf-idf"}),
        ("parameters", {}),
        ("parameters", {"alpha": "much", "regularization": 1}),
        ("parameters", {"alpha": 1, "regularization": None}),
        ("parameters", {"alpha": 1, "regularization": 1, "fold_in_regularization": None}),
    ],
)
def test_a_manifest_that_does_not_say_how_to_fold_in_is_refused(
    als_folder: Path, section: str, value: object
) -> None:
    folder = with_manifest(als_folder, lambda manifest: manifest.update({section: value}))
    assert refusal(folder, MANIFEST).expected == (
        "weighting, parameters, event_unit and event_watermark"
    )


def test_the_bytes_of_a_model_are_those_of_its_files(folder: Path) -> None:
    on_disk = sum(path.stat().st_size for path in folder.glob("*.npy"))
    assert total_bytes(read_manifest(folder)) == on_disk


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drops root's right to read everything; anybody else has no such right."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", [MANIFEST, "item_factors.npy", "weighting_idf.npy"])
def test_a_file_without_permission_is_refused(model: Model, tmp_path: Path, name: str) -> None:
    folder = tmp_path / publish_small(model, tmp_path)
    # Everybody may pass the folders above: pytest's own are closed to others.
    opened = [one for one in (folder, *folder.parents) if one.stat().st_mode & 0o001 == 0]
    modes = {one: one.stat().st_mode for one in opened}
    for one in opened:
        one.chmod(modes[one] | 0o011)
    (folder / name).chmod(0)
    try:
        with as_nobody():
            error = refusal(folder, name)
            assert "Permission denied" in error.found
            if name != MANIFEST:
                refusal(folder, name, verify=True)
    finally:
        for one, mode in modes.items():
            one.chmod(mode)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "20261123T150405Z-00000000").write_text("a file")
    refusal(tmp_path / "20261123T150405Z-00000000", MANIFEST)


@pytest.fixture
def reported(model: Model, tmp_path: Path) -> Path:
    """A model published with a report."""
    return (
        tmp_path / publish(model, tmp_path, card=card_of(model), report="<p>Sigur Rós\r\n").version
    )


def test_a_report_is_read_as_it_was_published(reported: Path) -> None:
    assert read_report(reported) == "<p>Sigur Rós\r\n".encode()
    assert open_model(reported).users.index("a/b") == 1
    verify_checksums(reported)


def test_a_model_without_a_report_has_none(folder: Path) -> None:
    with pytest.raises(ReportNotFound, match=f"{folder.name} was published without a report"):
        read_report(folder)
    verify_checksums(folder)


def test_a_manifest_from_before_reports_has_no_report(folder: Path) -> None:
    folder = with_manifest(folder, lambda manifest: manifest.pop("report"))
    open_model(folder)
    verify_checksums(folder)
    assert total_bytes(read_manifest(folder)) > 0
    with pytest.raises(ReportNotFound):
        read_report(folder)


@pytest.mark.parametrize("content", [b"<p>Sigur Ros\r\n", b"", b"<p>Sigur R\xc3\xb3s\r\n<script>"])
def test_a_report_with_other_content_is_refused(reported: Path, content: bytes) -> None:
    (reported / "report.html").write_bytes(content)
    error = refusal(reported, "report.html", verify=True)
    expected = json.loads((reported / MANIFEST).read_bytes())["report"]["sha256"]
    assert error.expected == f"SHA-256 {expected}"
    with pytest.raises(InvalidArtifact) as caught:
        read_report(reported)
    assert str(caught.value) == str(error)


def test_a_missing_report_is_refused_where_one_was_published(reported: Path) -> None:
    (reported / "report.html").unlink()
    error = refusal(reported, "report.html", verify=True)
    assert (error.expected, error.found) == ("a readable file", "No such file or directory")


def test_a_service_need_not_mind_the_report(reported: Path) -> None:
    (reported / "report.html").unlink()
    verify_checksums(reported, with_report=False)
    flipped = bytearray((reported / "item_factors.npy").read_bytes())
    flipped[-1] ^= 1
    (reported / "item_factors.npy").write_bytes(flipped)
    with pytest.raises(InvalidArtifact, match="item_factors"):
        verify_checksums(reported, with_report=False)


def test_a_report_that_the_manifest_does_not_know_is_not_read(folder: Path) -> None:
    (folder / "report.html").write_text("<script>")
    with pytest.raises(ReportNotFound):
        read_report(folder)


def test_no_more_of_a_report_is_read_than_was_announced(reported: Path) -> None:
    os.truncate(reported / "report.html", 2**34)  # sparse: reading it would take all memory
    refusal(reported, "report.html", verify=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry",
    [
        [],
        "report.html",
        {},
        {"bytes": 5},
        {"sha256": "0" * 64},
        {"bytes": "5", "sha256": "0" * 64},
        {"bytes": 5, "sha256": 0},
        {"bytes": -1, "sha256": "0" * 64},
        {"bytes": 64 * 2**20 + 1, "sha256": "0" * 64},
    ],
)
def test_an_entry_that_does_not_describe_a_report_is_refused(reported: Path, entry: object) -> None:
    folder = with_manifest(reported, lambda manifest: manifest.update(report=entry))
    for verify in (False, True):
        error = refusal(folder, MANIFEST, verify=verify)
        assert error.expected == f"bytes (at most {64 * 2**20}) and sha256 of the report"
    with pytest.raises(InvalidArtifact, match="sha256 of the report"):
        read_report(folder)


def test_the_report_counts_among_the_bytes_of_a_model(reported: Path) -> None:
    sizes = [path.stat().st_size for path in (*reported.glob("*.npy"), reported / "report.html")]
    assert total_bytes(read_manifest(reported)) == sum(sizes)


def test_fold_in_takes_the_regularization_that_the_manifest_names_for_it(als_folder: Path) -> None:
    parameters = {"alpha": 2.0, "regularization": 8.0, "fold_in_regularization": 0.5}
    folder = with_manifest(als_folder, lambda manifest: manifest.update(parameters=parameters))
    als = als_of(open_model(folder))
    assert (als.alpha, als.regularization) == (2.0, 0.5)


def test_a_manifest_from_before_has_one_regularization_for_all(als_folder: Path) -> None:
    parameters = {"alpha": 2.0, "regularization": 8.0}
    folder = with_manifest(als_folder, lambda manifest: manifest.update(parameters=parameters))
    assert als_of(open_model(folder)).regularization == 8.0
