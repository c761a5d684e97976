"""Rows of a source: which of them are dropped, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.records import REASON_ZERO, RowCounts

REASON_NO_PLAYS: Final = "plays missing or no number"
REASON_NEGATIVE: Final = "plays are negative"

_USABLE: Final = 0
_BLANK: Final = 255


class Rows:
    """The fate of each row; a row has the first reason that is found for it.

    Args:
        count: number of rows.
    """

    def __init__(self, count: int) -> None:
        self._fates = np.zeros(count, dtype=np.uint8)
        self._reasons: list[str] = []
        self._by_rule: set[str] = set()

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Marks of the rows that were not dropped, shape (count,)."""
        usable: NDArray[np.bool_] = self._fates == _USABLE
        return usable

    def ignore(self, blank: NDArray[np.bool_]) -> None:
        """Leaves out blank rows; they do not count as rows."""
        self._fates[blank] = _BLANK

    def drop(self, reason: str, broken: NDArray[np.bool_]) -> None:
        """Drops rows for a reason.

        Args:
            reason: in words.
            broken: marks of the rows, shape (count,).
        """
        self._reasons.append(reason)
        self._fates[broken & self.usable] = len(self._reasons)

    def leave_out(self, reason: str, marks: NDArray[np.bool_]) -> None:
        """Drops rows that can be read, by a rule.

        Args:
            reason: the rule in words.
            marks: of the rows, shape (count,).
        """
        self._by_rule.add(reason)
        self.drop(reason, marks)

    def drop_bad_plays(self, plays: NDArray[np.float32]) -> None:
        """Drops rows whose plays are no number above zero; NaN stands for unreadable plays."""
        self.drop(REASON_NO_PLAYS, ~np.isfinite(plays))
        self.drop(REASON_NEGATIVE, plays < 0)
        self.drop(REASON_ZERO, plays == 0)

    def any_dropped(self) -> tuple[int, str] | None:
        """Returns the first row that was dropped, and why."""
        dropped = (self._fates != _USABLE) & (self._fates != _BLANK)
        if not dropped.any():
            return None
        row = int(dropped.argmax())
        return row, self._reasons[self._fates[row] - 1]

    def dropped(self, reason: str) -> NDArray[np.bool_]:
        """Marks the rows that were dropped for a reason, shape (count,)."""
        # A reason may be that of several columns.
        fates = [fate for fate, one in enumerate(self._reasons, start=1) if one == reason]
        return np.isin(self._fates, fates)

    def counts(self, noted: Mapping[str, int] | None = None) -> RowCounts:
        """Returns the counts; reasons without a row are left out."""
        by_fate = np.bincount(self._fates, minlength=256)
        dropped: dict[str, int] = {}
        for fate, reason in enumerate(self._reasons, start=1):
            if by_fate[fate]:
                dropped[reason] = dropped.get(reason, 0) + int(by_fate[fate])
        return RowCounts(
            read=int(by_fate.sum() - by_fate[_BLANK]),
            dropped=dropped,
            noted={what: count for what, count in (noted or {}).items() if count},
            by_rule=frozenset(self._by_rule),
        )
