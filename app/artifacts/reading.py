"""Reading a version: its arrays are mapped, and checked against the manifest and the format.

A file that does not match them is refused; the error names the file, what was expected and what was
found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.artifacts.format import ARRAYS, MANIFEST, REPORT, ArraySpec, array_path
from app.artifacts.manifest import file_entries, read_manifest, report_entry
from app.errors import InvalidArtifact, ReportNotFound
from app.model.event_unit import EventUnit
from app.model.id_map import IdMap, StringTable
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.model import Model, Popularity, TopLists
from app.model.watermark import Watermark
from app.model.weighting import Weighting


def open_model(folder: Path) -> Model:
    """Maps a published model after checking sizes, shapes and dtypes of all files.

    Args:
        folder: ``models/<version>``.

    Raises:
        InvalidArtifact: a file does not match the manifest or the format.
    """
    manifest = read_manifest(folder)
    unknown = [
        name
        for name, entry in file_entries(folder, manifest)
        if name not in ARRAYS and not entry.get("optional")
    ]
    if unknown:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected="only files that this version of Encore knows, or optional ones",
            found=", ".join(unknown),
        )
    report_entry(folder, manifest)
    arrays = {
        name: _map_array(folder, name, spec, manifest["files"].get(name))
        for name, spec in ARRAYS.items()
        if not (spec.optional and name not in manifest["files"])
    }
    for name, spec in ARRAYS.items():
        if spec.pair and (name in arrays) != (spec.pair in arrays):
            raise InvalidArtifact(
                folder / MANIFEST, expected=f"both of {name} and {spec.pair}", found="one of them"
            )
    _check_sizes(folder, arrays)
    return _assemble(folder, manifest, arrays)


def read_report(folder: Path) -> bytes:
    """Reads the report of a version.

    Args:
        folder: ``models/<version>``.

    Returns:
        HTML as UTF-8.

    Raises:
        ReportNotFound: the model was published without one.
        InvalidArtifact: it is missing, or differs from the one that was published.
    """
    entry = report_entry(folder, read_manifest(folder))
    if entry is None:
        raise ReportNotFound(
            f"model {folder.name} was published without a report; "
            "`python -m training train` adds one unless told --no-report"
        )
    path = folder / REPORT
    try:
        # At most one byte more than the manifest says, however long the file is.
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
        with_report: whether to check the report too, which the service does not need for lists.

    Raises:
        InvalidArtifact: a file is missing or has changed.
    """
    for name, entry in file_entries(folder, read_manifest(folder)):
        path = array_path(folder, name)
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


def _map_array(
    folder: Path, name: str, spec: ArraySpec, entry: Mapping[str, Any] | None
) -> NDArray[Any]:
    path = array_path(folder, name)
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
    """Checks that equal names have equal sizes, and that offsets begin and end where they must."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        path, spec = array_path(folder, name), ARRAYS[name]
        if array.ndim != len(spec.shape):
            raise InvalidArtifact(
                path, expected=f"{len(spec.shape)} dimensions", found=f"{array.ndim}"
            )
        for size, label in zip(array.shape, () if spec.may_be_empty else spec.shape, strict=False):
            base, _, plus = label.partition("+")
            expected = sizes.setdefault(base, size - int(plus or 0)) + int(plus or 0)
            if size != expected:
                raise InvalidArtifact(path, expected=f"{label} = {expected}", found=f"{size}")
    for name, array in arrays.items():
        path, spec = array_path(folder, name), ARRAYS[name]
        if spec.may_be_empty:
            _check_size_or_empty(path, len(array), spec.shape[0], sizes)
        if spec.offsets_into:
            _check_offsets(path, array, spec, arrays[spec.offsets_into])


def _check_size_or_empty(path: Path, size: int, label: str, sizes: Mapping[str, int]) -> None:
    if size not in (0, sizes[label]):
        raise InvalidArtifact(
            path, expected=f"no entry or {label} = {sizes[label]}", found=f"{size}"
        )


def _check_offsets(
    path: Path, offsets: NDArray[Any], spec: ArraySpec, target: NDArray[Any]
) -> None:
    n_pieces = len(offsets) - 1
    if spec.is_hash_table and (n_pieces < 1 or n_pieces.bit_count() != 1):
        raise InvalidArtifact(
            path, expected="a power of two of buckets, plus 1", found=f"{len(offsets)}"
        )
    if offsets[0] != 0 or offsets[-1] != len(target):
        raise InvalidArtifact(
            path,
            expected=f"offsets from 0 to the {len(target)} entries of {spec.offsets_into}",
            found=f"{offsets[0]} to {offsets[-1]}",
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
        regularization = _regularization(manifest["parameters"])
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


def _regularization(parameters: Mapping[str, Any]) -> float:
    # Older models name one regularization, for training and for fold-in.
    name = "fold_in_regularization"
    return float(parameters[name if name in parameters else "regularization"])


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
