"""Listening records as read from a dataset, before any filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.items import ItemTable

REASON_ZERO: Final = "plays are zero"
REASON_ERASED: Final = "user was erased"
# Rows that are readable and are left out by a rule.
_LEFT_OUT: Final = frozenset({REASON_ZERO, REASON_ERASED})
# Shares of unreadable rows above which there is a warning or an error.
_WARNED_SHARE: Final = 0.01
_REFUSED_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts of the rows of the source files.

    Attributes:
        read: all rows, broken ones included.
        dropped: reason to the number of rows that were left out for it.
        noted: oddity to the number of rows that were read in spite of it.
        examples: reason or oddity to one such value and its row.
        by_rule: reasons that are rules of a dataset; their rows can be read.
        noted_users: oddity to the number of user ids that have it.
        noted_items: oddity to the number of artist ids that have it.
    """

    read: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    by_rule: frozenset[str] = frozenset()
    noted_users: Mapping[str, int] = field(default_factory=dict)
    noted_items: Mapping[str, int] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """Rows that became records."""
        return self.read - sum(self.dropped.values())

    @property
    def unreadable(self) -> int:
        """Rows that could not be read; rows that a rule leaves out do not count."""
        return sum(count for reason, count in self.dropped.items() if not self._is_rule(reason))

    @property
    def are_mostly_readable(self) -> bool:
        """Whether enough rows could be read to train on them."""
        return self.unreadable <= _REFUSED_SHARE * self.read

    @property
    def warning(self) -> str:
        """How many rows could not be read, and why; empty where there are hardly any."""
        if self.unreadable <= _WARNED_SHARE * self.read:
            return ""
        reasons = "; ".join(
            f"{reason}: {count:,}"
            + (f", for example {self.examples[reason]}" if reason in self.examples else "")
            for reason, count in self.dropped.items()
            if not self._is_rule(reason)
        )
        share = self.unreadable / self.read
        return f"{self.unreadable:,} of {self.read:,} rows ({share:.1%}) cannot be read ({reasons})"

    def _is_rule(self, reason: str) -> bool:
        return reason in _LEFT_OUT or reason in self.by_rule


@dataclass(frozen=True, slots=True)
class Records:
    """Listening records as codes; a (user, item) pair may occur more than once.

    Attributes:
        user_codes: int32, shape (n_records,), positions in ``user_ids``.
        item_codes: int32, shape (n_records,), positions in ``items``; -1 for a record whose artist
            has no id and so is no item. Such a record counts for its user and is left out by the
            filter of items.
        plays: float32, shape (n_records,), above zero, finite.
        user_ids: String, unique, sorted by their bytes.
        items: the items table by item code, sorted by the bytes of the ids.
        rows: counts of rows read and dropped.
        dataset: the dataset's name.
        sources: file name to its ``sha256`` and ``bytes``, for the manifest.
        timestamps: int64, shape (n_records,), seconds since 1970 in UTC; None where unknown.
        remark: how the columns were understood, where that is in doubt; otherwise empty.
        advice: what to do about ids that differ from others by little; otherwise empty.
        normalized: the steps by which ids were normalised.
    """

    user_codes: NDArray[np.int32]
    item_codes: NDArray[np.int32]
    plays: NDArray[np.float32]
    user_ids: pl.Series
    items: ItemTable
    rows: RowCounts
    dataset: str
    sources: Mapping[str, Any]
    timestamps: NDArray[np.int64] | None = None
    remark: str = ""
    advice: str = ""
    normalized: tuple[str, ...] = ()

    @property
    def item_ids(self) -> pl.Series:
        """The ids of the items, String, by item code."""
        return self.items.ids

    @property
    def period(self) -> tuple[int, int] | None:
        """The first and the last time, None where times are unknown."""
        if self.timestamps is None or not len(self.timestamps):
            return None
        return int(self.timestamps.min()), int(self.timestamps.max())

    def __len__(self) -> int:
        return len(self.user_codes)
