"""Listens sent with a query, as the rows of plays that fold-in takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.id_map import IdMap
from app.model.interactions import UserItems

# Item indices, sorted and unique, and their plays: one row of a ``UserItems``.
Row: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]


def read_listens(listens: Sequence[tuple[str, float]], items: IdMap) -> Row | None:
    """Returns listens as a row of plays.

    Args:
        listens: item ids with plays; the plays of one item are summed, unknown items left out.
        items: the known items.

    Returns:
        The row, or None if no item of it is known.

    Raises:
        ValueError: plays are not a number above 0, or their sum exceeds float32.
    """
    for item_id, plays in listens:
        if not 0 < plays < np.inf:
            raise ValueError(f"the plays of {item_id!r} are {plays}; expected a number above 0")
    known = [(index, plays) for id_, plays in listens if (index := items.index(id_)) is not None]
    if not known:
        return None
    indices, plays_of_each = zip(*known, strict=True)
    return _summed(np.array(indices, dtype=np.int32), np.array(plays_of_each, dtype=np.float64))


def stack(rows: Sequence[Row], n_items: int) -> UserItems:
    """Returns rows as a matrix."""
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(items) for items, _ in rows], out=indptr[1:])
    return UserItems(
        indptr,
        np.concatenate([items for items, _ in rows]),
        np.concatenate([plays for _, plays in rows]),
        n_items,
    )


def _summed(items: NDArray[np.int32], plays: NDArray[np.floating]) -> Row:
    unique, place = np.unique(items, return_inverse=True)
    totals = np.bincount(place, weights=plays, minlength=len(unique))
    if totals.max(initial=0.0) > np.finfo(np.float32).max:
        raise ValueError(f"the plays of an item sum to {totals.max():.3g}; are they plays?")
    return unique, totals.astype(np.float32)
