"""The second step: which artists may appear.

A rule is a function that returns the items that a query hides; all rules are listed in ``_RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.recommend.query import Query
from app.recommend.resolve import Resolved


@dataclass(frozen=True, slots=True, eq=False)
class Eligible:
    """Which artists may appear in an answer, by item index.

    Attributes:
        hidden: int64, items that must not appear; in any order, possibly with duplicates.
        candidates: int64, sorted, the only items that may appear; None for all that are not hidden.
    """

    hidden: NDArray[np.int64]
    candidates: NDArray[np.int64] | None

    def allows(self, items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Says of each item whether it may appear."""
        allowed: NDArray[np.bool_] = ~np.isin(items, self.hidden)
        if self.candidates is not None:
            allowed &= np.isin(items, self.candidates)
        return allowed


def find_eligible(resolved: Resolved) -> Eligible:
    """Applies all rules to a query."""
    hidden, candidates = np.concatenate([rule(resolved) for rule in _RULES]), None
    if resolved.query.candidates is not None:
        candidates = np.setdiff1d(resolved.situation.indices(resolved.query.candidates), hidden)
    return Eligible(hidden, candidates)


def hidden_ids(query: Query) -> set[str]:
    """Returns the ids of the artists that the query itself and the user's events hide.

    A precomputed list holds no item of its user's history, so it needs only these and availability.
    """
    hidden = set(query.exclude)
    if query.activity is not None:
        hidden |= query.activity.barred | query.activity.seen
    return hidden


def _unavailable(resolved: Resolved) -> NDArray[np.int64]:
    return resolved.situation.unavailable


def _excluded(resolved: Resolved) -> NDArray[np.int64]:
    return resolved.situation.indices(resolved.query.exclude)


def _barred(resolved: Resolved) -> NDArray[np.int64]:
    """Artists that the user's events hide in every list: disliked ones, and lately skipped ones."""
    activity = resolved.query.activity
    return resolved.situation.indices(activity.barred if activity else ())


def _seen(resolved: Resolved) -> NDArray[np.int64]:
    return resolved.seen[:0] if resolved.query.include_seen else resolved.seen


_RULES: Final[Sequence[Callable[[Resolved], NDArray[np.int64]]]] = (
    _unavailable,
    _excluded,
    _barred,
    _seen,
)
