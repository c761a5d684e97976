"""The ids of a table: normalised where an option says so, and by name where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.records import Records
from training.datasets.reading.encoding import Encoded
from training.datasets.reading.ids import (
    NAME_PREFIX,
    Normalization,
    OddIds,
    advise,
    artist_ids,
    odd_ids,
)
from training.datasets.reading.rows import Rows
from training.datasets.reading.table_columns import ITEM
from training.datasets.reading.table_columns import NAME as NAME_COLUMN

NOTE_BY_NAME: Final = "artist without id, known by name"
NOTE_MATCHED: Final = "name without id matched to its only id"
NOTE_SEVERAL: Final = "artist without id, known by name, since several ids have that name"


@dataclass(frozen=True, slots=True)
class TableIds:
    """The ids of a table.

    Attributes:
        raw: the table as it was read.
        normalization: the steps that the ids go through.
        encoded: the table with normalised ids of users.
        items: String, by row of ``encoded.items``, the id of the artist; null where it is missing.
        beside: UInt32, as long, how many ids the name of an artist without id has; null for others.
    """

    raw: Encoded
    normalization: Normalization
    encoded: Encoded
    items: pl.Series
    beside: pl.Series

    def notes(self, rows: Rows) -> dict[str, int]:
        """Returns the numbers of usable rows whose artist has no id, by what became of it."""
        if self.beside.null_count() == len(self.beside):
            return {}
        counts = pl.DataFrame({"beside": self.beside, "rows": _rows_per_item(self.raw, rows)})
        cases = {
            NOTE_BY_NAME: pl.col("beside") == 0,
            NOTE_MATCHED: pl.col("beside") == 1,
            NOTE_SEVERAL: pl.col("beside") > 1,
        }
        found = counts.select(
            pl.col("rows").filter(case).sum().alias(note) for note, case in cases.items()
        )
        return found.row(0, named=True)

    def annotate(self, records: Records, rows: Rows) -> Records:
        """Returns records with notes about ids that differ by little, and how they were made."""
        users, items = self._odd(rows)
        counts = replace(
            records.rows,
            noted={**records.rows.noted, **users.rows, **items.rows},
            examples={**records.rows.examples, **users.examples, **items.examples},
            noted_users=users.ids,
            noted_items=items.ids,
        )
        return replace(
            records,
            rows=counts,
            advice=advise(users, items),
            normalized=self.normalization.steps,
        )

    def _odd(self, rows: Rows) -> tuple[OddIds, OddIds]:
        raw, per_user = self.raw, _counter(rows, self.raw.user_codes, len(self.raw.users))
        items, names = raw.items[ITEM], _names(raw)
        if names is not None:
            by_name = pl.when(names != "").then(NAME_PREFIX + names).otherwise(pl.lit(""))
            items = raw.items.select(pl.when(pl.col(ITEM) == "").then(by_name).otherwise(ITEM))[
                :, 0
            ]
        per_item = _counter(rows, raw.item_codes, len(items))
        return (
            odd_ids("user", raw.users, per_user, self.normalization),
            odd_ids("artist", items, per_item, self.normalization),
        )


def normalize_users(raw: Encoded, normalization: Normalization) -> Encoded:
    """Returns the table with normalised ids of users; those that become equal get one code."""
    ids = normalization.apply(raw.users)
    if not (ids != raw.users).any():
        return raw
    users = ids.unique().sort()
    code_of = users.search_sorted(ids).to_numpy().astype(np.int32)
    return replace(raw, users=users.alias(raw.users.name), user_codes=code_of[raw.user_codes])


def identify(raw: Encoded, encoded: Encoded, rows: Rows, normalization: Normalization) -> TableIds:
    """Finds the ids of artists; those that only have a name get one by it.

    Args:
        raw: the table as it was read.
        encoded: the same with normalised ids of users.
        rows: its rows; those already dropped do not decide which id a name has.
        normalization: the steps that ids, and names in their place, go through.
    """
    ids = normalization.apply(raw.items[ITEM])
    names, missing = _names(raw), ids == ""
    if names is None or not missing.any():
        beside = pl.repeat(None, len(ids), dtype=pl.UInt32, eager=True)
        items = ids.to_frame("id").select(pl.when(pl.col("id") != "").then("id")).to_series()
    else:
        names = Normalization(tuple(s for s in normalization.steps if s != "float")).apply(names)
        items, beside = artist_ids(ids, names, _rows_per_item(raw, rows))
    return TableIds(raw, normalization, encoded, items, beside)


def _names(raw: Encoded) -> pl.Series | None:
    """Returns the names of the rows of items, empty where there is none; None without names."""
    if NAME_COLUMN not in raw.items.columns:
        return None
    name = pl.col(NAME_COLUMN)
    is_blank = name.str.strip_chars() == ""
    return raw.items.select(pl.when(is_blank).then(pl.lit("")).otherwise(name)).to_series()


def _counter(rows: Rows, codes: NDArray[np.int32], count: int) -> Callable[[], NDArray[np.intp]]:
    return lambda: np.bincount(codes[rows.usable], minlength=count)


def _rows_per_item(raw: Encoded, rows: Rows) -> NDArray[np.intp]:
    return np.bincount(raw.item_codes[rows.usable], minlength=len(raw.items))
