"""Checks of values: an array may have the right checksum, size and dtype, and still be nonsense.

Each check looks at one array, beside others that it belongs to, and returns what is wrong with it.
Arrays are read in blocks, so that the check of a large model needs little memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model.id_map import IdMap, StringTable

# Far beyond what any training writes, and far below where arithmetic overflows.
LARGEST: Final = 1e30
_BLOCK: Final = 2**20
# Vectors of trained models are far shorter; the scores of longer ones could overflow.
_LARGEST_FACTOR: Final = 1e12
# So many ids are looked up, evenly spaced; all of them in a model of usual size.
_LOOKED_UP: Final = 2**16
_TOLERANCE: Final = 1e-6

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an array.

    Attributes:
        expected: what it has to be.
        found: what it is.
    """

    expected: str
    found: str


Check = Callable[[str, Arrays], Fault | None]


def within(low: float, high: float, expected: str, *, above: bool = False) -> Check:
    """Checks that all values are finite numbers from ``low``, or above it, to ``high``."""

    def check(name: str, arrays: Arrays) -> Fault | None:
        for start, block in _blocks(arrays[name]):
            # Not a number is in no range, so it is among the wrong ones.
            fits = (block > low if above else block >= low) & (block <= high)
            if not fits.all():
                return Fault(expected, _at(block, ~fits, start))
        return None

    return check


def rising(name: str, arrays: Arrays) -> Fault | None:
    """Checks that offsets never fall; where they begin and end is checked at every opening."""
    for start, block in _blocks(arrays[name], overlap=1):
        falls = block[1:] < block[:-1]
        if falls.any():
            return Fault("offsets that never fall", _at(block[1:], falls, start + 1))
    return None


def permutation(name: str, arrays: Arrays) -> Fault | None:
    """Checks that each index from 0 on is there once."""
    array = arrays[name]
    met = np.zeros(len(array), dtype=np.bool_)
    for start, block in _blocks(array):
        outside = (block < 0) | (block >= len(array))
        if outside.any():
            return Fault(f"indices from 0 to {len(array) - 1}", _at(block, outside, start))
        met[block] = True
    if not met.all():
        missing = int(np.flatnonzero(~met)[0])
        return Fault("each index once", f"no index {missing}, and another twice")
    return None


def ranked_by(counts: str) -> Check:
    """Checks that indices are a permutation, and the counts that they lead to never rise."""

    def check(name: str, arrays: Arrays) -> Fault | None:
        if fault := permutation(name, arrays):
            return fault
        for start, block in _blocks(arrays[name], overlap=1):
            ordered = arrays[counts][block]
            rises = ordered[1:] > ordered[:-1]
            if rises.any():
                place = start + 1 + int(np.flatnonzero(rises)[0])
                return Fault(f"{counts} that never rise", f"more at place {place} than before")
        return None

    return check


def item_rows(name: str, arrays: Arrays) -> Fault | None:
    """Checks that the rows of a CSR matrix hold items, in rising order."""
    indices, indptr = arrays[name], arrays["user_items_indptr"]
    n_items = len(arrays["item_factors"])
    for start, block in _blocks(indices, overlap=1):
        outside = (block < 0) | (block >= n_items)
        if outside.any():
            return Fault(f"items from 0 to {n_items - 1}", _at(block, outside, start))
        # Only where a row begins may an index not be above the one before.
        falls = start + 1 + np.flatnonzero(block[1:] <= block[:-1])
        begins = indptr[np.searchsorted(indptr, falls)] == falls
        if not begins.all():
            place = int(falls[~begins][0])
            return Fault("rows that rise", f"{indices[place]} after {indices[place - 1]}")
    return None


def text(name: str, arrays: Arrays) -> Fault | None:
    """Checks that all of it is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for _, block in _blocks(arrays[name]):
            decoder.decode(block.tobytes())
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return Fault("UTF-8", error.reason)
    return None


def texts_in(data: str, longest: int | None = None) -> Check:
    """Checks that offsets rise, and split a text between characters."""

    def check(name: str, arrays: Arrays) -> Fault | None:
        if fault := rising(name, arrays):
            return fault
        encoded = arrays[data]
        for start, block in _blocks(arrays[name], overlap=1):
            long = np.diff(block) > longest if longest is not None else np.zeros(0, np.bool_)
            if long.any():
                return Fault(f"at most {longest} bytes each", "a longer one")
            inside = block[block < len(encoded)]
            # The second byte of a character, and those after it, are 10xxxxxx.
            split = (encoded[inside] & 0xC0) == 0x80
            if split.any():
                return Fault("offsets between characters", _at(inside, split, start))
        return None

    return check


def ids_by_hash(prefix: str) -> Check:
    """Checks that the order of an id map is a permutation, and that ids are found by it.

    An id that is there twice, or in a wrong bucket, is not found at its own index.
    """

    def check(name: str, arrays: Arrays) -> Fault | None:
        if fault := permutation(name, arrays):
            return fault
        strings = StringTable(arrays[f"{prefix}_data"], arrays[f"{prefix}_offsets"])
        ids = IdMap(strings, arrays[f"{prefix}_buckets"], arrays[name])
        for index in range(0, len(ids), -(-len(ids) // _LOOKED_UP)):
            found = ids.index(strings[index])
            if found != index:
                return Fault(f"the id of index {index} at that index", f"{found}")
        return None

    return check


def item_gramian(name: str, arrays: Arrays) -> Fault | None:
    """Checks Y^T Y against the item factors, by what both make of two random vectors.

    The columns of ALS are the first ones.
    """
    found = arrays[name]
    factors = arrays["item_factors"][:, : len(found)]
    if not np.isfinite(found).all():
        return Fault("finite numbers", "others")
    probes = np.random.default_rng(0).standard_normal((len(found), 2))
    expected = np.zeros_like(probes)
    for _, block in _blocks(factors):
        rows = block.astype(np.float64)
        expected += rows.T @ (rows @ probes)
    scale = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    if np.abs(found @ probes - expected).max() > _TOLERANCE * scale:
        return Fault("the item factors' Y^T Y", "another matrix")
    return None


def lists(name: str, arrays: Arrays) -> Fault | None:
    """Checks that lists hold items, none of them twice, and -1 past their ends only."""
    n_items = len(arrays["item_factors"])
    for start, block in _blocks(arrays[name]):
        outside = (block < -1) | (block >= n_items)
        if outside.any():
            return Fault(f"items from 0 to {n_items - 1}, or -1", _at(block, outside, start))
        ended = block < 0
        if (ended[:, :-1] & ~ended[:, 1:]).any():
            return Fault("-1 past the end of a list only", "an item after it")
        ordered = np.sort(block, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        if twice.any():
            return Fault("each item once in a list", _at(ordered[:, 1:], twice, start))
    return None


def list_scores(name: str, arrays: Arrays) -> Fault | None:
    """Checks that the scores of lists are finite and never rise."""
    for start, block in _blocks(arrays[name]):
        filled = arrays["top_items"][start : start + len(block)] >= 0
        wrong = filled & ~np.isfinite(block)
        if wrong.any():
            return Fault("finite scores", _at(block, wrong, start))
        if (filled[:, 1:] & (block[:, 1:] > block[:, :-1])).any():
            return Fault("scores that never rise within a list", "a higher one after a lower")
    return None


factors = within(
    -_LARGEST_FACTOR, _LARGEST_FACTOR, f"finite numbers of at most {_LARGEST_FACTOR:g}"
)
counts = within(0, LARGEST, "finite numbers from 0 on")
plays = within(0, LARGEST, "finite plays above 0", above=True)
shares = within(0, 1, "shares from 0 to 1")


def _blocks(array: NDArray[Any], overlap: int = 0) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields blocks with the row that each begins at.

    With an overlap each begins so many rows before the end of the one before.
    """
    rows = max(1, _BLOCK // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        first = max(0, start - overlap)
        yield first, array[first : start + rows]


def _at(block: NDArray[Any], wrong: NDArray[np.bool_], start: int) -> str:
    """Says which value is wrong first, and in which row."""
    place = int(np.argmax(wrong))
    row = start + place // max(1, block[:1].size)
    return f"{block.reshape(-1)[place]} at {row}"
