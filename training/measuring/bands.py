"""Bands: users by activity and items by popularity, in bands of about equal weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.numbers import plural

_USER_BANDS: Final = 4
_ITEM_BANDS: Final = ("head", "middle", "tail")


@dataclass(frozen=True, slots=True)
class Band:
    """Users or items whose count lies in a range.

    Attributes:
        label: the range in words.
        members: bool, shape (n,), marks the users or items in the band.
    """

    label: str
    members: NDArray[np.bool_]


def activity_bands(artists: NDArray[np.int64]) -> list[Band]:
    """Cuts users into quarters by activity, least active first.

    Users with the same count are always in the same band, so bands differ in size, and there are
    fewer bands if there are few different counts. Users without artists are a band of their own.

    Args:
        artists: shape (n_users,), number of artists in the history of each user.
    """
    bands = [Band("no artists", artists == 0)] if (artists == 0).any() else []
    known = artists[artists > 0]
    for low, high in even_ranges(known, np.ones(len(known)), _USER_BANDS):
        bands.append(Band(_range(low, high, "artist"), (artists >= low) & (artists <= high)))
    return bands


def popularity_bands(listeners: NDArray[np.int64]) -> list[Band]:
    """Cuts items so that head, middle and tail each hold about a third of the training pairs.

    Items with the same number of listeners are always in the same band; if that leaves two bands,
    they are head and tail. Items without listeners are in no band.

    Args:
        listeners: shape (n_items,), number of users of each item.
    """
    known = listeners[listeners > 0]
    ranges = even_ranges(known, known.astype(np.float64), len(_ITEM_BANDS))[::-1]
    names = {1: ("all",), 2: ("head", "tail")}.get(len(ranges), _ITEM_BANDS)
    bands = []
    for position, (name, (low, high)) in enumerate(zip(names, ranges, strict=True)):
        is_open = position == 0 and low < high
        text = f"{plural(low, 'listener')} or more" if is_open else _range(low, high, "listener")
        bands.append(Band(f"{name}: {text}", (listeners >= low) & (listeners <= high)))
    return bands


def even_ranges(
    counts: NDArray[np.int64], weights: NDArray[np.float64], parts: int
) -> Sequence[tuple[int, int]]:
    """Cuts counts into ranges of about the same total weight.

    Each cut lies between two different counts, where the weight below it is closest to its share;
    cuts at the same place count once.

    Args:
        counts: shape (n,).
        weights: shape (n,), of each count, above zero.
        parts: largest number of ranges.

    Returns:
        Lowest and highest count of each range, ascending.
    """
    if len(counts) == 0:
        return []
    distinct, position = np.unique(counts, return_inverse=True)
    below = np.cumsum(np.bincount(position, weights=weights))
    shares = below[-1] * np.arange(1, parts) / parts
    last = {int(np.abs(below - share).argmin()) for share in shares} | {len(distinct) - 1}
    ends = sorted(last)
    starts = [0, *(end + 1 for end in ends[:-1])]
    return [
        (int(distinct[start]), int(distinct[end])) for start, end in zip(starts, ends, strict=True)
    ]


def _range(low: int, high: int, noun: str) -> str:
    if low == high:
        return plural(low, noun)
    return f"{low:,} to {plural(high, noun)}"
