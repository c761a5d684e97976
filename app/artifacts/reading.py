"""Reading a version: its arrays are mapped, and checked against the manifest and the format.

A file that does not match them is refused; the error names the file, what was expected and what was
found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.artifacts.blocks import read_blocks, read_event_units
from app.artifacts.format import ARRAYS, MANIFEST, REPORT, ArraySpec, array_path, arrays_of
from app.artifacts.manifest import file_entries, read_manifest, report_entry
from app.artifacts.mapping import map_array
from app.artifacts.regular import open_regular, read_at_most
from app.errors import InvalidArtifact, ReportNotFound
from app.model.blocks import AlsBlock, LinearBlock
from app.model.id_map import IdMap, StringTable
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.model import Model, Popularity, TopLists
from app.model.watermark import Watermark

_BUFFER_BYTES: Final = 2**20
# So many users are folded in to check the history factors.
_FOLDED_IN: Final = 1024
# Another machine may round a weight otherwise.
_TOLERANCE: Final = 1e-5
_TINY: Final = float(np.finfo(np.float32).tiny)


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
        name: map_array(folder, name, spec, manifest["files"].get(name))
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
        report = read_at_most(path, entry["bytes"], folder.parent)
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable file", found=error.strerror or "an error"
        ) from error
    found = hashlib.sha256(report).hexdigest()
    if found != entry["sha256"]:
        raise InvalidArtifact(path, expected=f"SHA-256 {entry['sha256']}", found=found)
    return report


def verify_checksums(
    folder: Path, *, with_report: bool = True, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Compares the SHA-256 of every file with the manifest, optional files included.

    Args:
        folder: ``models/<version>``.
        with_report: whether to check the report too, which the service does not need for lists.
        cancelled: asked now and then; once it says True, the rest is left out.

    Raises:
        InvalidArtifact: a file is missing or has changed.
    """
    for name, entry in file_entries(folder, read_manifest(folder)):
        path = array_path(folder, name)
        try:
            found = _digest(path, folder.parent, entry["bytes"], cancelled)
        except OSError as error:
            raise InvalidArtifact(
                path, expected="a readable file", found=error.strerror or "an error"
            ) from error
        if cancelled():
            return
        if found != entry["sha256"]:
            raise InvalidArtifact(path, expected=f"SHA-256 {entry['sha256']}", found=found)
    if with_report:
        with suppress(ReportNotFound):
            read_report(folder)


def check_values(model: Model, folder: Path, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Checks the values of all arrays: what has the right checksum may still be nonsense.

    Args:
        model: the model that was opened from the folder.
        folder: ``models/<version>``.
        cancelled: asked now and then; once it says True, the rest is left out.

    Raises:
        InvalidArtifact: an array holds values that no training writes.
    """
    arrays = arrays_of(model)
    for name in arrays:
        if cancelled():
            return
        if fault := ARRAYS[name].check(name, arrays):
            raise InvalidArtifact(
                array_path(folder, name), expected=fault.expected, found=fault.found
            )
    if model.als is not None:
        _check_positive_definite(model.als, folder)
    if model.linear is not None and not cancelled():
        _check_history(model, model.linear, folder)


def _check_positive_definite(block: AlsBlock, folder: Path) -> None:
    try:
        np.linalg.cholesky(block.gramian + block.regularization * np.eye(block.length))
    except np.linalg.LinAlgError as error:
        raise InvalidArtifact(
            array_path(folder, "item_gramian"),
            expected="a matrix that is positive definite with the regularization",
            found="another",
        ) from error


def _check_history(model: Model, block: LinearBlock, folder: Path) -> None:
    """Checks the history factors by the columns that some users have from them, evenly spaced."""
    columns = model.columns[model.blocks.index(block)]
    users = np.arange(0, len(model.users), -(-len(model.users) // _FOLDED_IN))
    expected = block.fold_in(model.user_items.take(users)).astype(np.float64)
    found = model.user_factors[users, columns].astype(np.float64)
    largest = np.abs(expected).max(axis=1, initial=_TINY, keepdims=True)
    wrong = ~(np.abs(found - expected) <= _TOLERANCE * largest)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise InvalidArtifact(
            array_path(folder, "history_factors"),
            expected=f"those that make {found[row, column]:g} in user_factors, for user "
            f"{users[row]} at column {columns.start + column}",
            found=f"those that make {expected[row, column]:g}",
        )


def _digest(path: Path, within: Path, size: int, cancelled: Callable[[], bool]) -> str:
    """Returns the SHA-256 of a file, of one byte more than its size at most."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BUFFER_BYTES))
    with open_regular(path, within) as file:
        left = size + 1
        while left > 0 and not cancelled():
            read = file.readinto(buffer[: min(left, _BUFFER_BYTES)])  # type: ignore[attr-defined]
            if not read:
                break
            digest.update(buffer[:read])
            left -= read
    return digest.hexdigest()


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
            if size <= int(plus or 0) and not (spec.is_hash_table or base.endswith("_bytes")):
                raise InvalidArtifact(path, expected=f"{label} above {plus or 0}", found=f"{size}")
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
        blocks = read_blocks(folder, manifest, arrays)
        user_items = UserItems(
            arrays["user_items_indptr"],
            arrays["user_items_indices"],
            arrays["user_items_plays"],
            n_items=len(arrays["item_factors"]),
            recency=arrays.get("user_items_recency"),
        )
        event_units = read_event_units(manifest, user_items, blocks)
        watermark = _watermark(manifest)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected="weighting, parameters, event_unit and event_watermark",
            found=repr(error)[:200],
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
        blocks=blocks,
        user_items=user_items,
        popularity=Popularity(
            by_listeners=arrays["popularity_by_listeners"],
            by_plays=arrays["popularity_by_plays"],
            listeners=arrays["popularity_listeners"],
            plays=arrays["popularity_plays"],
        ),
        event_units=event_units,
        top_lists=top_lists,
        watermark=watermark,
    )


def _watermark(manifest: Mapping[str, Any]) -> Watermark | None:
    entry = manifest.get("event_watermark")
    if entry is None:
        return None
    store, sequence = entry["store"], entry["sequence"]
    if not isinstance(store, str) or type(sequence) is not int or not 0 <= sequence < 2**63:
        raise ValueError("event_watermark names no store and number")
    return Watermark(store, sequence)
