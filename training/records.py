"""Listening records as read from a dataset, before any filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What happened to the rows of the source files.

    Attributes:
        read: all rows, broken ones included.
        dropped: rows left out, by reason.
        noted: rows kept although something about them is odd, by what.
    """

    read: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Rows that became records."""
        return self.read - sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Records:
    """Listening records in terms of codes; a (user, item) pair may occur more than once.

    Attributes:
        user_codes: int32, shape (n_records,), positions in ``user_ids``.
        item_codes: int32, shape (n_records,), positions in ``item_ids``; -1 for a record whose
            artist is no item because it has no id: it counts as a row of its user until the filter
            of artists, where it falls out.
        plays: float32, shape (n_records,), above zero, finite.
        user_ids: String, unique, sorted by their bytes.
        item_ids: String, unique, sorted by their bytes.
        item_names: String, by item code; the id itself where no name is known.
        rows: what was read and dropped.
        dataset: the dataset's name.
        sources: what was read, for the manifest: file name to its ``sha256`` and ``bytes``.
        timestamps: int64, shape (n_records,), seconds since 1970 in UTC; None where unknown.
    """

    user_codes: NDArray[np.int32]
    item_codes: NDArray[np.int32]
    plays: NDArray[np.float32]
    user_ids: pl.Series
    item_ids: pl.Series
    item_names: pl.Series
    rows: RowCounts
    dataset: str
    sources: Mapping[str, Any]
    timestamps: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.user_codes)
