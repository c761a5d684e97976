"""The dataset ``table``: a CSV, TSV or Parquet file whose columns are named by options."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.dataset import LoadOptions
from training.datasets.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    USER,
    Encoded,
    encode,
    records_of,
    too_long,
)
from training.datasets.rows import Rows
from training.datasets.sources import fingerprinting, reading, refuse_binary, shorten
from training.datasets.times import REASON_TIME, seconds_of
from training.errors import DatasetError
from training.records import Records

NAME: Final = "table"
REASON_NO_USER: Final = "user id is missing"
REASON_NO_ITEM: Final = "item id is missing"
REASON_BROKEN_ID: Final = "id with invalid UTF-8"
REASON_COLUMNS: Final = "more fields than the header has"
NOTE_TIME: Final = "timestamp missing or unreadable, so no times were read"

_SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
_PARQUET: Final = (".parquet", ".pq")
_QUOTES: Final = ". Is a quotation mark opened and never closed? Double it where it is a character"
_EXTRA: Final = "\0extra"
_ITEM, _NAME, _PLAYS, _TIME = "item", "name", "plays", "time"
_DEFAULT_TIME: Final = "timestamp"


def load(path: Path, options: LoadOptions) -> Records:
    """Reads a table with one row a pair of user and item.

    Ids are kept exactly as they stand there. CSV and TSV have a header and the usual quoting, and
    may be gzipped.

    Args:
        path: the file; its suffix says what it is.
        options: the names of the columns.

    Raises:
        DatasetError: the file is missing, of another kind or damaged, a column is missing, or no
            row can be used.
    """
    suffix = _suffix(path)
    hint = "" if suffix in _PARQUET else _QUOTES
    with reading(path, hint):
        columns = _select(_scan(path, suffix), path, options)
    with fingerprinting(path) as sources, reading(path, hint):
        encoded = encode(*columns)
        rows = _check(encoded, is_text=suffix not in _PARQUET)
        timestamps, noted = _timestamps(encoded, rows, asked=options.timestamp_column is not None)
        _refuse_without_records(path, encoded, rows)
        return records_of(
            encoded,
            rows,
            encoded.items[_ITEM],
            encoded.rest[_PLAYS].to_numpy(),
            dataset=NAME,
            sources=sources.result(),
            noted=noted,
            timestamps=timestamps,
        )


def _suffix(path: Path) -> str:
    if path.is_dir():
        raise DatasetError(f"{path} is a folder; a table is one file")
    if not path.exists():
        raise DatasetError(f"{path} does not exist; it should be a CSV, TSV or Parquet file")
    known = (*_SEPARATORS, *_PARQUET)
    suffix = next((end for end in known if path.name.lower().endswith(end)), None)
    if suffix is None:
        raise DatasetError(f"{path}: what kind of table is it? Known endings: {', '.join(known)}")
    if suffix in _PARQUET:
        if path.stat().st_size == 0:
            raise DatasetError(f"{path} is empty")
    elif not suffix.endswith(".gz"):
        refuse_binary(path)
    return suffix


def _scan(path: Path, suffix: str) -> pl.LazyFrame:
    if suffix in _PARQUET:
        return pl.scan_parquet(path, glob=False)
    # Read as text throughout: a guessed type would change 007 to 7 and a long id to a float.
    read = partial(
        pl.scan_csv,
        path,
        separator=_SEPARATORS[suffix],
        encoding="utf8-lossy",
        empty_string_is_null=False,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )
    header = read(infer_schema=False).collect_schema().names()
    return read(schema=dict.fromkeys([*header, _EXTRA], pl.String))


def _select(
    table: pl.LazyFrame, path: Path, options: LoadOptions
) -> tuple[pl.LazyFrame, list[str], list[pl.Expr]]:
    """Returns the arguments of ``encode``: the source, its item columns and the other ones."""
    schema = table.collect_schema()
    columns = _columns(schema, path, options)
    items = {_ITEM: _as_id(columns[_ITEM], schema, path)}
    if name := columns.get(_NAME):
        items[_NAME] = _as_id(name, schema, path)
    rest = {_PLAYS: _as_plays(columns.get(_PLAYS), schema, path)}
    if _EXTRA in schema:
        rest[_EXTRA] = pl.col(_EXTRA) != ""
    if time := columns.get(_TIME):
        rest[_TIME] = _as_seconds(time, schema, path)
    source = table.select(**{USER: _as_id(columns[USER], schema, path)}, **items, **rest)
    return source, list(items), [pl.col(column) for column in rest]


def _columns(schema: pl.Schema, path: Path, options: LoadOptions) -> dict[str, str]:
    """Returns which column is which; those that are optional and not there are left out."""
    wanted = {
        USER: ("user_column", options.user_column),
        _ITEM: ("item_column", options.item_column),
        _PLAYS: ("weight_column", options.weight_column),
        _NAME: ("name_column", options.name_column),
        _TIME: ("timestamp_column", options.timestamp_column),
    }
    found = [name for name in schema if name != _EXTRA]
    for option, column in wanted.values():
        if column is not None and column not in found:
            raise DatasetError(
                f"{path} has no column '{column}'; it has {', '.join(map(repr, found))}. "
                f"The option --{option.replace('_', '-')} names it"
            )
    chosen = {key: column for key, (_, column) in wanted.items() if column is not None}
    defaults = {_PLAYS: "weight", _NAME: "name"}
    # What nobody asked for is no reason to refuse the file.
    if seconds_of(pl.col(_DEFAULT_TIME), schema.get(_DEFAULT_TIME, pl.Null())) is not None:
        defaults[_TIME] = _DEFAULT_TIME
    return {key: name for key, name in defaults.items() if name in found} | chosen


def _as_id(column: str, schema: pl.Schema, path: Path) -> pl.Expr:
    dtype = schema[column]
    if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise DatasetError(
            f"{path}: the column '{column}' holds {dtype}; ids and names are text or whole numbers"
        )
    return pl.col(column).cast(pl.String).fill_null("")


def _as_plays(column: str | None, schema: pl.Schema, path: Path) -> pl.Expr:
    if column is None:
        return pl.lit(1.0, dtype=pl.Float32)
    plays, dtype = pl.col(column), schema[column]
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Null)):
        raise DatasetError(f"{path}: the column '{column}' holds {dtype}; plays are numbers")
    if dtype == pl.String:
        plays = plays.str.strip_chars(" ")
    return plays.cast(pl.Float32, strict=False).fill_null(float("nan"))


def _as_seconds(column: str, schema: pl.Schema, path: Path) -> pl.Expr:
    seconds = seconds_of(pl.col(column), schema[column])
    if seconds is None:
        raise DatasetError(
            f"{path}: the column '{column}' holds {schema[column]}; times are seconds since 1970 "
            "or ISO 8601"
        )
    return seconds


def _check(encoded: Encoded, *, is_text: bool) -> Rows:
    rows = Rows(len(encoded))
    if _EXTRA in encoded.rest.columns:
        rows.drop(REASON_COLUMNS, encoded.rest[_EXTRA].to_numpy())
    for ids, codes, missing in (
        (encoded.users, encoded.user_codes, REASON_NO_USER),
        (encoded.items[_ITEM], encoded.item_codes, REASON_NO_ITEM),
    ):
        _drop_bad_ids(rows, ids, codes, missing, is_text=is_text)
    rows.drop_bad_plays(encoded.rest[_PLAYS].to_numpy())
    return rows


def _timestamps(
    encoded: Encoded, rows: Rows, *, asked: bool
) -> tuple[NDArray[np.int64] | None, dict[str, int]]:
    """Returns the times by row, and what is to be noted.

    A time that cannot be read costs its row where the column was asked for. Where the column is
    only there, it costs the times.
    """
    if _TIME not in encoded.rest.columns:
        return None, {}
    seconds = encoded.rest[_TIME]
    unread = seconds.is_null().to_numpy()
    if asked:
        rows.drop(REASON_TIME, unread)
    elif count := int((unread & rows.kept).sum()):
        return None, {NOTE_TIME: count}
    return seconds.fill_null(0).to_numpy(), {}


def _drop_bad_ids(
    rows: Rows, ids: pl.Series, codes: NDArray[np.int32], missing: str, *, is_text: bool
) -> None:
    rows.drop(missing, (ids == "").to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(ids)[codes])
    if is_text:
        broken = ids.str.contains(REPLACEMENT, literal=True).to_numpy()
        rows.drop(REASON_BROKEN_ID, broken[codes])


def _refuse_without_records(path: Path, encoded: Encoded, rows: Rows) -> None:
    if rows.kept.any():
        return
    example = rows.first_dropped()
    if example is None:
        raise DatasetError(f"{path} is empty: it has a header, but no rows")
    row, reason = example
    counts = rows.counts()
    why = "; ".join(f"{reason}: {count:,}" for reason, count in counts.dropped.items())
    user = encoded.users[int(encoded.user_codes[row])]
    item = encoded.items[_ITEM][int(encoded.item_codes[row])]
    raise DatasetError(
        f"{path}: none of its {counts.read:,} rows can be used ({why}). For example row {row + 1} "
        f"after the header, {reason}: user '{shorten(user)}', item '{shorten(item)}'"
    )
