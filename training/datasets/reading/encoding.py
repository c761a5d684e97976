"""Encoding: from columns of text to codes, and from codes to records.

Millions of rows repeat some hundred thousand texts. Each text is stored once; a row holds hashes of
its texts until codes replace them. That is much faster than the categoricals of polars, and exact:
distinct texts are found by comparing texts, and if two of them share a hash, another hash function
is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.model.id_map import MAX_ID_BYTES
from training.data.items import ItemTable
from training.data.records import Records
from training.datasets.reading.rows import Rows
from training.errors import DatasetError

USER: Final = "user"
_USER_HASH: Final = "user hash"
_ITEM_HASH: Final = "item hash"
_SEEDS: Final = range(4)
_ROWS_BETWEEN_JOINS: Final = 500_000

REASON_LONG_ID: Final = f"id longer than {MAX_ID_BYTES} bytes"
REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source as codes.

    Attributes:
        users: String, the distinct texts of the column ``user``, sorted by bytes.
        items: the distinct rows of the item columns, sorted by bytes.
        user_codes: int32, shape (n_rows,), positions in ``users``.
        item_codes: int32, shape (n_rows,), positions in ``items``.
        rest: the other columns, by row.
    """

    users: pl.Series
    items: pl.DataFrame
    user_codes: NDArray[np.int32]
    item_codes: NDArray[np.int32]
    rest: pl.DataFrame

    def __len__(self) -> int:
        return len(self.user_codes)


def encode(source: pl.LazyFrame, item_columns: Sequence[str], rest: Sequence[pl.Expr]) -> Encoded:
    """Reads a source.

    Args:
        source: has a String column ``user`` and the item columns, none with nulls.
        item_columns: String columns that identify an item together.
        rest: expressions for the other columns.

    Raises:
        polars.exceptions.PolarsError: the source cannot be read.
        DatasetError: the file changed while it was read.
    """
    items = list(item_columns)
    for seed in _SEEDS:
        hashes = _hashes(items, seed)
        users_found, items_found, rows = pl.collect_all(
            [
                source.select(USER).unique(),
                source.select(items).unique(),
                source.select(*hashes, *rest),
            ],
            engine="streaming",
        )
        encoded = _encoded(users_found, items_found, rows, hashes)
        if encoded is not None:
            return encoded
    raise AssertionError("unreachable: every hash function was ambiguous")  # pragma: no cover


def encode_blocks(
    read: Callable[[], Iterable[pl.DataFrame]], item_columns: Sequence[str]
) -> Encoded:
    """Reads a source that comes in blocks; no more than one block of texts is held with its rows.

    Args:
        read: begins to read, and returns the blocks, at least one. They have a String column
            ``user`` and the item columns, none with nulls; their other columns become ``rest``.
        item_columns: String columns that identify an item together.
    """
    items = list(item_columns)
    for seed in _SEEDS:
        hashes = _hashes(items, seed)
        users_found, items_found, rows = _Distinct([USER]), _Distinct(items), []
        for block in read():
            users_found.add(block)
            items_found.add(block)
            rows.append(block.select(*hashes, pl.exclude(USER, *items)))
        encoded = _encoded(users_found.rows(), items_found.rows(), pl.concat(rows), hashes)
        if encoded is not None:
            return encoded
    raise AssertionError("unreachable: every hash function was ambiguous")  # pragma: no cover


class _Distinct:
    """The distinct rows of many blocks.

    Args:
        columns: the columns of the rows.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._found: list[pl.DataFrame] = []
        self._length = 0
        self._joined_length = 0

    def add(self, block: pl.DataFrame) -> None:
        """Adds the rows of a block."""
        found = block.select(self._columns).unique()
        self._found.append(found)
        self._length += len(found)
        # Joining whenever the number has doubled costs no more than a few passes over all.
        if self._length > 2 * self._joined_length + _ROWS_BETWEEN_JOINS:
            self._found = [self.rows()]
            self._length = self._joined_length = len(self._found[0])

    def rows(self) -> pl.DataFrame:
        """Returns the distinct rows."""
        return pl.concat(self._found).unique()


def _hashes(items: Sequence[str], seed: int) -> tuple[pl.Expr, pl.Expr]:
    return pl.col(USER).hash(seed).alias(_USER_HASH), _hash(items, seed).alias(_ITEM_HASH)


def _encoded(
    users: pl.DataFrame, items: pl.DataFrame, rows: pl.DataFrame, hashes: tuple[pl.Expr, pl.Expr]
) -> Encoded | None:
    """Replaces hashes by codes; None where a hash function is ambiguous."""
    users, items = users.sort(USER), items.sort(items.columns)
    user_codes = _codes(rows[_USER_HASH], users.select(hashes[0]).to_series())
    item_codes = _codes(rows[_ITEM_HASH], items.select(hashes[1]).to_series())
    if user_codes is None or item_codes is None:
        return None
    return Encoded(users[USER], items, user_codes, item_codes, rows.drop(_USER_HASH, _ITEM_HASH))


def _hash(columns: Sequence[str], seed: int) -> pl.Expr:
    # Distinct odd factors make the sum, which wraps around, depend on the order of the columns.
    return pl.sum_horizontal(
        pl.col(column).hash(seed + 17 * place) * (2 * place + 1)
        for place, column in enumerate(columns)
    )


def _codes(hashes: pl.Series, known: pl.Series) -> NDArray[np.int32] | None:
    """Returns the position of each hash in ``known``, None if two hashes in ``known`` are equal."""
    if known.n_unique() != len(known):
        return None
    table = pl.DataFrame({"hash": known, "code": np.arange(len(known), dtype=np.int32)})
    found = (
        hashes.alias("hash").to_frame().join(table, on="hash", how="left", maintain_order="left")
    )
    codes = found["code"]
    if codes.null_count():
        raise DatasetError("the file changed while it was read")
    return codes.to_numpy()


def most_frequent_names(names: pl.DataFrame) -> pl.DataFrame:
    """Chooses the name of each item.

    Args:
        names: columns ``item``, ``name`` (empty where unknown) and ``rows``, the number of rows
            with both; pairs may repeat.

    Returns:
        Columns ``item`` (unique) and ``name``: the most frequent name, of equally frequent names
        the lowest by bytes. Items without any name are left out.
    """
    return (
        names.filter(pl.col("name") != "", pl.col("rows") > 0)
        .group_by("item", "name")
        .agg(pl.col("rows").sum())
        .sort("item", "rows", "name", descending=[False, True, False])
        .unique("item", keep="first", maintain_order=True)
        .select("item", "name")
    )


def too_long(ids: pl.Series) -> NDArray[np.bool_]:
    """Marks ids that are longer than the service allows; null is not marked."""
    return (ids.str.len_bytes() > MAX_ID_BYTES).fill_null(value=False).to_numpy()


def records_of(
    encoded: Encoded,
    rows: Rows,
    item_ids: pl.Series,
    plays: NDArray[np.float32],
    *,
    dataset: str,
    sources: Mapping[str, Any],
    noted: Mapping[str, int] | None = None,
    names: pl.DataFrame | None = None,
    timestamps: NDArray[np.int64] | None = None,
) -> Records:
    """Makes records of the usable rows.

    Args:
        encoded: the source.
        rows: tells which rows are usable, at least one.
        item_ids: String, by row of ``encoded.items``, the id; null for an artist that is no item.
        plays: float32, shape (n_rows,).
        dataset: name of the dataset.
        sources: see ``Records``.
        noted: see ``RowCounts``.
        names: columns ``item`` and ``name``; by default the most frequent names in the column
            ``name`` of the items, if there is one.
        timestamps: int64, shape (n_rows,), or None.
    """
    usable = rows.usable
    user_codes, item_codes = encoded.user_codes[usable], encoded.item_codes[usable]
    per_item = np.bincount(item_codes, minlength=len(encoded.items))
    if names is None and "name" in encoded.items.columns:
        names = most_frequent_names(
            pl.DataFrame(
                {"item": item_ids, "name": encoded.items["name"], "rows": per_item}
            ).drop_nulls("item")
        )
    used_users = np.bincount(user_codes, minlength=len(encoded.users)) > 0
    ids = item_ids.filter(pl.Series(per_item > 0)).drop_nulls().unique().sort()
    return Records(
        user_codes=_renumbered(used_users)[user_codes],
        item_codes=_positions(item_ids, ids)[item_codes],
        plays=plays[usable],
        user_ids=encoded.users.filter(pl.Series(used_users)).alias("user_id"),
        items=ItemTable.of(ids, _names_of(ids, names)),
        rows=rows.counts(noted),
        dataset=dataset,
        sources=sources,
        timestamps=None if timestamps is None else timestamps[usable],
    )


def _renumbered(used: NDArray[np.bool_]) -> NDArray[np.int32]:
    return (np.cumsum(used) - 1).astype(np.int32)


def _positions(item_ids: pl.Series, ids: pl.Series) -> NDArray[np.int32]:
    """Returns the position of each id in ``ids``, -1 for null and for ids that are not in it."""
    table = pl.DataFrame({"id": ids, "code": np.arange(len(ids), dtype=np.int32)})
    found = item_ids.alias("id").to_frame().join(table, on="id", how="left", maintain_order="left")
    return found["code"].fill_null(-1).to_numpy()


def _names_of(ids: pl.Series, names: pl.DataFrame | None) -> pl.Series:
    if names is None:
        return ids.alias("item_name")
    known = ids.alias("item").to_frame().join(names, on="item", how="left", maintain_order="left")
    return known.select(pl.coalesce("name", "item").alias("item_name")).to_series()
