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
# Rows that can be read, and are left out by a rule.
_LEFT_OUT: Final = frozenset({REASON_ZERO, REASON_ERASED})
# Of so many rows that cannot be read one is told, or refused.
_WARNED_SHARE: Final = 0.01
_REFUSED_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What happened to the rows of the source files.

    Attributes:
        read: all rows, broken ones included.
        dropped: rows left out, by reason.
        noted: rows taken although something about them is odd, by what.
        examples: by reason, a value for which a row was dropped, and where it stands.
    """

    read: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """Rows that became records."""
        return self.read - sum(self.dropped.values())

    @property
    def unreadable(self) -> int:
        """Rows that could not be read, without those that a rule leaves out."""
        return sum(count for reason, count in self.dropped.items() if reason not in _LEFT_OUT)

    @property
    def are_mostly_readable(self) -> bool:
        """Whether few enough rows could not be read to train on the others."""
        return self.unreadable <= _REFUSED_SHARE * self.read

    @property
    def warning(self) -> str:
        """Says how many rows could not be read, and why; empty for hardly any."""
        if self.unreadable <= _WARNED_SHARE * self.read:
            return ""
        reasons = "; ".join(
            f"{reason}: {count:,}"
            + (f", for example {self.examples[reason]}" if reason in self.examples else "")
            for reason, count in self.dropped.items()
            if reason not in _LEFT_OUT
        )
        share = self.unreadable / self.read
        return f"{self.unreadable:,} of {self.read:,} rows ({share:.1%}) cannot be read ({reasons})"


@dataclass(frozen=True, slots=True)
class Records:
    """Listening records in terms of codes; a (user, item) pair may occur more than once.

    Attributes:
        user_codes: int32, shape (n_records,), positions in ``user_ids``.
        item_codes: int32, shape (n_records,), positions in ``items``; -1 for a record whose
            artist is no item because it has no id: it counts as a row of its user until the filter
            of artists, where it falls out.
        plays: float32, shape (n_records,), above zero, finite.
        user_ids: String, unique, sorted by their bytes.
        items: the items table by item code, sorted by the bytes of the ids.
        rows: what was read and dropped.
        dataset: the dataset's name.
        sources: what was read, for the manifest: file name to its ``sha256`` and ``bytes``.
        timestamps: int64, shape (n_records,), seconds since 1970 in UTC; None where unknown.
        remark: what a reader should know of how the columns were understood; empty for nothing.
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
