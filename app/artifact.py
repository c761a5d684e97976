"""Artifact format 1: one folder holding one published model.

Arrays are ``.npy`` and mapped, the rest is ``manifest.json``. Nothing is unpickled, and a file
that is not what the manifest says is refused with its name, what was expected and what was found.
The folder's name carries a hash of the manifest, which carries a hash of every file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.activity import EventUnit
from app.errors import InvalidArtifact, ReportNotFound
from app.events import Watermark
from app.id_map import IdMap, StringTable
from app.interactions import UserItems
from app.items import Items
from app.model import Model, Popularity, TopLists
from app.weighting import Weighting

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.html"
_MAX_MANIFEST_BYTES: Final = 16 * 2**20
_MAX_REPORT_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What the format says of one array.

    Attributes:
        dtype: its numpy type, little-endian.
        shape: sizes by name (equal names are equal sizes everywhere), by expression
            (``n_users+1``), or free (a name that stands nowhere else).
        optional: whether a model may lack it.
        essential: whether a reader who does not know it goes wrong where it is there; the manifest
            does not call it optional then.
    """

    dtype: str
    shape: tuple[str, ...]
    optional: bool = False
    essential: bool = False


ARRAYS: Final[Mapping[str, ArraySpec]] = {
    "user_factors": ArraySpec("<f4", ("n_users", "factors")),
    "item_factors": ArraySpec("<f4", ("n_items", "factors")),
    "item_gramian": ArraySpec("<f8", ("factors", "factors")),
    "user_ids_data": ArraySpec("|u1", ("user_ids_bytes",)),
    "user_ids_offsets": ArraySpec("<i8", ("n_users+1",)),
    "user_ids_buckets": ArraySpec("<i8", ("user_ids_buckets",)),
    "user_ids_order": ArraySpec("<i4", ("n_users",)),
    "item_ids_data": ArraySpec("|u1", ("item_ids_bytes",)),
    "item_ids_offsets": ArraySpec("<i8", ("n_items+1",)),
    "item_ids_buckets": ArraySpec("<i8", ("item_ids_buckets",)),
    "item_ids_order": ArraySpec("<i4", ("n_items",)),
    "item_names_data": ArraySpec("|u1", ("item_names_bytes",)),
    "item_names_offsets": ArraySpec("<i8", ("n_items+1",)),
    "popularity_by_listeners": ArraySpec("<i4", ("n_items",)),
    "popularity_by_plays": ArraySpec("<i4", ("n_items",)),
    "popularity_listeners": ArraySpec("<i8", ("n_items",)),
    "popularity_plays": ArraySpec("<f8", ("n_items",)),
    "user_items_indptr": ArraySpec("<i8", ("n_users+1",)),
    "user_items_indices": ArraySpec("<i4", ("nnz",)),
    "user_items_plays": ArraySpec("<f4", ("nnz",)),
    "user_items_recency": ArraySpec("<f4", ("nnz",), optional=True, essential=True),
    "weighting_idf": ArraySpec("<f4", ("n_idf",)),
    "top_items": ArraySpec("<i4", ("n_users", "list_length"), optional=True),
    "top_scores": ArraySpec("<f4", ("n_users", "list_length"), optional=True),
}

# Arrays of offsets, and what they cut into pieces.
_POINTS_INTO: Final[Mapping[str, str]] = {
    "user_ids_offsets": "user_ids_data",
    "user_ids_buckets": "user_ids_order",
    "item_ids_offsets": "item_ids_data",
    "item_ids_buckets": "item_ids_order",
    "item_names_offsets": "item_names_data",
    "user_items_indptr": "user_items_indices",
}


def model_arrays(model: Model) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a model by their names in the format."""
    arrays: dict[str, NDArray[Any]] = {
        "user_factors": model.user_factors,
        "item_factors": model.item_factors,
        "item_gramian": model.item_gramian,
        "item_names_data": model.items.names.data,
        "item_names_offsets": model.items.names.offsets,
        "popularity_by_listeners": model.popularity.by_listeners,
        "popularity_by_plays": model.popularity.by_plays,
        "popularity_listeners": model.popularity.listeners,
        "popularity_plays": model.popularity.plays,
        "user_items_indptr": model.user_items.indptr,
        "user_items_indices": model.user_items.indices,
        "user_items_plays": model.user_items.plays,
        "weighting_idf": model.weighting.idf,
    }
    for prefix, ids in (("user_ids", model.users), ("item_ids", model.items)):
        arrays[f"{prefix}_data"] = ids.strings.data
        arrays[f"{prefix}_offsets"] = ids.strings.offsets
        arrays[f"{prefix}_buckets"] = ids.buckets
        arrays[f"{prefix}_order"] = ids.order
    if model.user_items.recency is not None:
        arrays["user_items_recency"] = model.user_items.recency
    if model.top_lists is not None:
        arrays["top_items"] = model.top_lists.items
        arrays["top_scores"] = model.top_lists.scores
    return arrays


def version_of(manifest: Mapping[str, Any]) -> str:
    """Returns the version that a manifest belongs to: its time and a hash of all it says."""
    canonical = json.dumps(manifest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    stamp = str(manifest["created_at"]).replace("-", "").replace(":", "")
    return f"{stamp}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads and checks the manifest of a version folder.

    Raises:
        InvalidArtifact: it is missing, no JSON, of another format version, or not the one that
            the folder's name was made from.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InvalidArtifact(
                path,
                expected=f"at most {_MAX_MANIFEST_BYTES} bytes",
                found=f"{path.stat().st_size} bytes",
            )
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable manifest", found=error.strerror or "an error"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArtifact(path, expected="a JSON object", found=f"{error}") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise InvalidArtifact(
            path, expected="an object with format_version", found=str(manifest)[:80]
        )
    if manifest["format_version"] != FORMAT_VERSION:
        raise InvalidArtifact(
            path,
            expected=f"format_version {FORMAT_VERSION}",
            found=f"{manifest['format_version']!r}",
        )
    try:
        version = version_of(manifest)
    except (KeyError, ValueError) as error:
        raise InvalidArtifact(path, expected="a whole manifest", found=f"{error!r}") from error
    if version != folder.name:
        raise InvalidArtifact(
            path,
            expected=f"the manifest that version {folder.name} was published with",
            found=f"one that belongs to version {version}",
        )
    return manifest


def open_model(folder: Path) -> Model:
    """Maps a published model after checking sizes, shapes and dtypes of all files.

    Args:
        folder: ``models/<version>``.

    Raises:
        InvalidArtifact: something is not what the manifest or the format says.
    """
    manifest = read_manifest(folder)
    unknown = [
        name
        for name, entry in _files(folder, manifest)
        if name not in ARRAYS and not entry.get("optional")
    ]
    if unknown:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected="only files that this version of Encore knows, or optional ones",
            found=", ".join(unknown),
        )
    _report_entry(folder, manifest)
    arrays = {
        name: _map_array(folder, name, spec, manifest["files"].get(name))
        for name, spec in ARRAYS.items()
        if not (spec.optional and name not in manifest["files"])
    }
    if ("top_items" in arrays) != ("top_scores" in arrays):
        raise InvalidArtifact(
            folder / MANIFEST, expected="both of top_items and top_scores", found="one of them"
        )
    _check_sizes(folder, arrays)
    return _assemble(folder, manifest, arrays)


def total_bytes(manifest: Mapping[str, Any]) -> int:
    """Returns the size of all files that the manifest lists."""
    entries = [*manifest["files"].values(), manifest.get("report") or {"bytes": 0}]
    return sum(int(entry["bytes"]) for entry in entries)


def read_report(folder: Path) -> bytes:
    """Reads the report that a model was published with.

    Args:
        folder: ``models/<version>``.

    Returns:
        HTML as UTF-8.

    Raises:
        ReportNotFound: the model was published without one.
        InvalidArtifact: it is missing, or not the one that the manifest names.
    """
    entry = _report_entry(folder, read_manifest(folder))
    if entry is None:
        raise ReportNotFound(
            f"model {folder.name} was published without a report; "
            "`python -m training train` adds one unless told --no-report"
        )
    path = folder / REPORT
    try:
        # What is longer than announced is not read to its end.
        with path.open("rb") as file:
            report = file.read(entry["bytes"] + 1)
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable file", found=error.strerror or "an error"
        ) from error
    found = hashlib.sha256(report).hexdigest()
    if found != entry["sha256"]:
        raise InvalidArtifact(path, expected=f"SHA-256 {entry['sha256']}", found=found)
    return report


def verify_checksums(folder: Path, *, with_report: bool = True) -> None:
    """Compares the SHA-256 of every file with the manifest, optional files included.

    Args:
        folder: ``models/<version>``.
        with_report: whether the report counts; a service answers as well without it.

    Raises:
        InvalidArtifact: a file is missing or its content is another.
    """
    for name, entry in _files(folder, read_manifest(folder)):
        path = folder / f"{name}.npy"
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidArtifact(
                path, expected="a readable file", found=error.strerror or "an error"
            ) from error
        if found != entry["sha256"]:
            raise InvalidArtifact(path, expected=f"SHA-256 {entry['sha256']}", found=found)
    if with_report:
        with suppress(ReportNotFound):
            read_report(folder)


def _report_entry(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    entry = manifest.get("report")
    if entry is None:
        return None
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and 0 <= entry["bytes"] <= _MAX_REPORT_BYTES
        and isinstance(entry.get("sha256"), str)
    ):
        raise InvalidArtifact(
            folder / MANIFEST,
            expected=f"bytes (at most {_MAX_REPORT_BYTES}) and sha256 of the report",
            found=str(entry)[:80],
        )
    return entry


def _files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise InvalidArtifact(
            folder / MANIFEST, expected="an object of objects under files", found=str(files)[:80]
        )
    for name, entry in files.items():
        if Path(name).name != name or "\0" in name:
            raise InvalidArtifact(folder / MANIFEST, expected="plain file names", found=repr(name))
        if not (isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)):
            raise InvalidArtifact(
                folder / MANIFEST, expected=f"bytes and sha256 of {name}", found=str(entry)[:80]
            )
        yield name, entry


def _map_array(
    folder: Path, name: str, spec: ArraySpec, entry: Mapping[str, Any] | None
) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    if entry is None:
        raise InvalidArtifact(folder / MANIFEST, expected=f"an entry for {name}", found="none")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable file", found=error.strerror or "an error"
        ) from error
    if size != entry["bytes"]:
        raise InvalidArtifact(path, expected=f"{entry['bytes']} bytes", found=f"{size} bytes")
    shape = entry.get("shape")
    try:
        array = _map_npy(path, empty=isinstance(shape, list) and 0 in shape)
    except Exception as error:  # parsing a damaged header raises nearly anything
        raise InvalidArtifact(path, expected="a .npy array", found=str(error)) from error
    for expected, place in ((spec.dtype, "the format"), (entry.get("dtype"), "the manifest")):
        if array.dtype.str != expected:
            raise InvalidArtifact(
                path, expected=f"dtype {expected} as in {place}", found=array.dtype.str
            )
    if list(array.shape) != shape:
        raise InvalidArtifact(path, expected=f"shape {shape}", found=str(list(array.shape)))
    if not array.flags.c_contiguous:
        raise InvalidArtifact(path, expected="row-major order", found="column-major order")
    return np.asarray(array)  # a plain view of the mapping: memmap's own indexing is slow


def _map_npy(path: Path, *, empty: bool) -> NDArray[Any]:
    # Not np.load, which would also open a zip file or look for a pickle.
    if not empty:
        return np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as file:  # an empty array has nothing to map
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _check_sizes(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Checks that sizes of one name agree across arrays."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        path, shape = folder / f"{name}.npy", ARRAYS[name].shape
        if array.ndim != len(shape):
            raise InvalidArtifact(path, expected=f"{len(shape)} dimensions", found=f"{array.ndim}")
        for size, label in zip(array.shape, shape, strict=True):
            base, _, plus = label.partition("+")
            expected = sizes.setdefault(base, size - int(plus or 0)) + int(plus or 0)
            if size != expected:
                raise InvalidArtifact(path, expected=f"{label} = {expected}", found=f"{size}")
    if sizes["n_idf"] not in (0, sizes["n_items"]):
        raise InvalidArtifact(
            folder / "weighting_idf.npy",
            expected=f"no entry or n_items = {sizes['n_items']}",
            found=f"{sizes['n_idf']}",
        )
    for name, target in _POINTS_INTO.items():
        pointers, path = arrays[name], folder / f"{name}.npy"
        n_buckets = len(pointers) - 1
        if name.endswith("_buckets") and (n_buckets < 1 or n_buckets.bit_count() != 1):
            raise InvalidArtifact(
                path, expected="a power of two of buckets, plus 1", found=f"{len(pointers)}"
            )
        if pointers[0] != 0 or pointers[-1] != len(arrays[target]):
            raise InvalidArtifact(
                path,
                expected=f"offsets from 0 to the {len(arrays[target])} entries of {target}",
                found=f"{pointers[0]} to {pointers[-1]}",
            )


def _assemble(
    folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Model:
    def strings(prefix: str) -> StringTable:
        return StringTable(arrays[f"{prefix}_data"], arrays[f"{prefix}_offsets"])

    def ids(prefix: str) -> IdMap:
        return IdMap(strings(prefix), arrays[f"{prefix}_buckets"], arrays[f"{prefix}_order"])

    try:
        weighting = Weighting.from_manifest(manifest["weighting"], arrays["weighting_idf"])
        alpha = float(manifest["parameters"]["alpha"])
        parameters = manifest["parameters"]
        regularization = float(
            parameters["fold_in_regularization"]
            if "fold_in_regularization" in parameters
            else parameters["regularization"]
        )
        user_items = UserItems(
            arrays["user_items_indptr"],
            arrays["user_items_indices"],
            arrays["user_items_plays"],
            n_items=len(arrays["item_factors"]),
            recency=arrays.get("user_items_recency"),
        )
        event_unit = _event_unit(manifest, user_items, weighting)
        watermark = _watermark(manifest)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected="weighting, parameters, event_unit and event_watermark",
            found=repr(error),
        ) from error
    top_lists = None
    if "top_items" in arrays and "top_scores" in arrays:
        top_lists = TopLists(arrays["top_items"], arrays["top_scores"])
    return Model(
        version=folder.name,
        card=manifest,
        users=ids("user_ids"),
        items=Items.of(ids("item_ids"), strings("item_names")),
        user_factors=arrays["user_factors"],
        item_factors=arrays["item_factors"],
        item_gramian=arrays["item_gramian"],
        user_items=user_items,
        popularity=Popularity(
            by_listeners=arrays["popularity_by_listeners"],
            by_plays=arrays["popularity_by_plays"],
            listeners=arrays["popularity_listeners"],
            plays=arrays["popularity_plays"],
        ),
        weighting=weighting,
        alpha=alpha,
        regularization=regularization,
        event_unit=event_unit,
        top_lists=top_lists,
        watermark=watermark,
    )


def _event_unit(
    manifest: Mapping[str, Any], user_items: UserItems, weighting: Weighting
) -> EventUnit:
    entry = manifest.get("event_unit")
    if entry is None:  # published before there were events
        return EventUnit.of(user_items, weighting)
    return EventUnit(float(entry["multiple"]), float(entry["median_weight"]))


def _watermark(manifest: Mapping[str, Any]) -> Watermark | None:
    entry = manifest.get("event_watermark")
    return None if entry is None else Watermark(str(entry["store"]), int(entry["sequence"]))
