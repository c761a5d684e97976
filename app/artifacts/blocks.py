"""The blocks of a model in its manifest: how each kind is written and read.

Format 1 holds the one block of ALS and says what a fold-in needs under ``weighting`` and
``parameters``. Format 2 has an entry for each block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from app.artifacts.format import ALS_ALONE, MANIFEST, array_path
from app.artifacts.manifest import written_by
from app.artifacts.values import LARGEST
from app.errors import InvalidArtifact
from app.model.blocks import BLOCK_TYPES, AlsBlock, Block, LinearBlock
from app.model.event_unit import EventUnit
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import WEIGHTINGS, Weighting

Numbers = Mapping[str, Any]
_MAX_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class _Kind:
    """The declaration of a kind of block.

    Attributes:
        array: its array in the format; as many columns as the block has.
        make: returns the block from that array, the weighting and the numbers of the manifest.
    """

    array: str
    make: Callable[[NDArray[Any], Weighting, Numbers], Block]


def _als(array: NDArray[Any], weighting: Weighting, numbers: Numbers) -> AlsBlock:
    return AlsBlock(array, weighting, number(numbers, "alpha"), number(numbers, "regularization"))


def _linear(array: NDArray[Any], weighting: Weighting, numbers: Numbers) -> LinearBlock:
    exponent, weight = number(numbers, "user_exponent"), number(numbers, "weight", 1 / LARGEST)
    return LinearBlock(array, weighting, exponent, weight)


KINDS: Final[Mapping[str, _Kind]] = {
    AlsBlock.kind: _Kind("item_gramian", _als),
    LinearBlock.kind: _Kind("history_factors", _linear),
}
if [*KINDS] != [one.kind for one in BLOCK_TYPES]:
    raise AssertionError("each kind of block needs its declaration, in the order of the columns")


def block_entries(model: Model) -> list[dict[str, Any]]:
    """Returns what ``GET /model`` and the manifest of format 2 say of each block."""
    return [
        {
            "kind": block.kind,
            "columns": [columns.start, columns.stop],
            "weighting": block.weighting.to_manifest(),
            "parameters": block.parameters() | {"median_weight": unit.median_weight},
        }
        for block, columns, unit in zip(model.blocks, model.columns, model.event_units, strict=True)
    ]


def kinds_of(manifest: Mapping[str, Any]) -> list[str]:
    """Returns the kinds of the blocks that a manifest names, known or not."""
    if manifest["format_version"] == ALS_ALONE:
        return [AlsBlock.kind]
    return [str(entry["kind"]) for entry in manifest["blocks"]]


def read_blocks(
    folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[Block, ...]:
    """Makes the blocks of a model.

    Args:
        folder: ``models/<version>``.
        manifest: of either format.
        arrays: the arrays that are there, of the right dtypes.

    Raises:
        InvalidArtifact: a block is unknown or does not fit the arrays or the columns.
        IndexError, KeyError, TypeError, ValueError: format 1 does not say how to fold in.
    """
    kinds = _known_kinds(folder, manifest)
    _check_arrays(folder, kinds, arrays)
    _check_columns(folder, manifest, kinds, arrays)
    if manifest["format_version"] == ALS_ALONE:
        numbers = manifest["parameters"]
        # Older models name one regularization, for training and for fold-in.
        name = "fold_in_regularization"
        added = numbers[name if name in numbers else "regularization"]
        weighting = _weighting(manifest["weighting"], arrays)
        told = {"alpha": numbers["alpha"], "regularization": added}
        return (_als(arrays[KINDS[AlsBlock.kind].array], weighting, told),)
    return tuple(
        _make(folder, place, kind, entry, arrays)
        for place, (kind, entry) in enumerate(zip(kinds, manifest["blocks"], strict=True))
    )


def read_event_units(
    manifest: Mapping[str, Any], user_items: UserItems, blocks: Sequence[Block]
) -> tuple[EventUnit, ...]:
    """Reads the unit of events for each block.

    Raises:
        KeyError, TypeError, ValueError: the manifest does not say it.
    """
    entry = manifest.get("event_unit")
    if manifest["format_version"] != ALS_ALONE:
        multiple = number(manifest["event_unit"], "multiple")
        medians = [number(one["parameters"], "median_weight") for one in manifest["blocks"]]
        return tuple(EventUnit(multiple, median) for median in medians)
    if entry is None:  # published before there were events
        return tuple(EventUnit.of(user_items, block.weighting) for block in blocks)
    return (EventUnit(number(entry, "multiple"), number(entry, "median_weight")),)


def number(entry: Mapping[str, Any], key: str, least: float = 0.0) -> float:
    """Returns a number of the manifest, which has to be in the range where arithmetic works.

    Raises:
        KeyError, TypeError, ValueError: it is missing, no number, or out of range.
    """
    found = entry[key]
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{key} is no number")
    if not least <= found <= LARGEST or not math.isfinite(found):
        shown = ascii(found)[:_MAX_SHOWN]
        raise ValueError(f"{key} is {shown}, not between {least:g} and {LARGEST:g}")
    return float(found)


def _weighting(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Weighting:
    idf = arrays["weighting_idf"]
    for key in ("k1", "b"):
        number(entry, key)
    for key in ("median_plays", "mean_length", "mean_weight"):
        number(entry, key, least=1 / LARGEST)  # they are divided by
    weighting = Weighting.from_manifest(entry, idf)
    if WEIGHTINGS[weighting.name].has_idf and not len(idf):
        raise ValueError(f"{weighting.name} without weighting_idf")
    return weighting


def _known_kinds(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    if manifest["format_version"] == ALS_ALONE:
        return [AlsBlock.kind]
    kinds = []
    for place, entry in enumerate(manifest["blocks"]):
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            shown = ascii(kind if isinstance(entry, dict) else entry)[:_MAX_SHOWN]
            raise InvalidArtifact(
                folder / MANIFEST,
                expected=f"only blocks that this version of Encore knows: {', '.join(KINDS)}",
                found=f"{shown} as block {place}{written_by(manifest)}",
            )
        kinds.append(kind)
    if not kinds or kinds != [kind for kind in KINDS if kind in kinds]:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected=f"blocks in the order {', '.join(KINDS)}, each at most once",
            found=(", ".join(kinds) or "none")[:_MAX_SHOWN],
        )
    return kinds


def _check_arrays(folder: Path, kinds: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Checks that the arrays of the blocks are there, and none of other blocks."""
    for kind, declared in KINDS.items():
        if kind in kinds and declared.array not in arrays:
            raise InvalidArtifact(
                folder / MANIFEST, expected=f"an entry for {declared.array}", found="none"
            )
        if kind not in kinds and declared.array in arrays:
            raise InvalidArtifact(
                folder / MANIFEST,
                expected=f"a block {kind}, to which {declared.array} belongs",
                found=f"blocks {', '.join(kinds)}",
            )


def _check_columns(
    folder: Path,
    manifest: Mapping[str, Any],
    kinds: Sequence[str],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Checks that the blocks share the columns of the vectors, without gaps or overlaps."""
    width = arrays["item_factors"].shape[1]
    for place, (kind, start, stop) in enumerate(_columns(kinds, arrays)):
        path = array_path(folder, KINDS[kind].array)
        if stop > width or (place == len(kinds) - 1 and stop != width):
            raise InvalidArtifact(
                path, expected=f"columns {start} to {width} of the vectors", found=f"to {stop}"
            )
        if manifest["format_version"] == ALS_ALONE:
            continue
        told = manifest["blocks"][place].get("columns")
        if told != [start, stop]:
            raise InvalidArtifact(
                folder / MANIFEST,
                expected=f"columns [{start}, {stop}] of block {kind}",
                found=ascii(told)[:_MAX_SHOWN],
            )


def _columns(
    kinds: Sequence[str], arrays: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, int, int]]:
    start = 0
    for kind in kinds:
        stop = start + arrays[KINDS[kind].array].shape[1]
        yield kind, start, stop
        start = stop


def _make(
    folder: Path,
    place: int,
    kind: str,
    entry: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> Block:
    declared = KINDS[kind]
    try:
        weighting = _weighting(entry["weighting"], arrays)
        return declared.make(arrays[declared.array], weighting, entry["parameters"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidArtifact(
            folder / MANIFEST,
            expected=f"weighting and parameters of block {place}, {kind}",
            found=repr(error)[:200],
        ) from error
