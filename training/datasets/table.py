"""The dataset ``table``: text, Parquet or JSON whose columns are named by options."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.records import Records
from training.datasets.dataset import Dataset
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    USER,
    Encoded,
    encode,
    records_of,
    too_long,
)
from training.datasets.reading.json_lines import BROKEN
from training.datasets.reading.opening import opening
from training.datasets.reading.rows import REASON_NO_PLAYS, Rows
from training.datasets.reading.sources import reading, shorten
from training.datasets.reading.survey import Survey, surveying
from training.datasets.reading.table_columns import EXTRA, ITEM, PLAYS, TIME, Columns, TableOptions
from training.datasets.reading.table_columns import NAME as NAME_COLUMN
from training.datasets.reading.table_file import Table, table_of
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME, is_implausible, seconds_of
from training.errors import DatasetError

NAME: Final = "table"
REASON_NO_USER: Final = "user id is missing"
REASON_NO_ITEM: Final = "item id is missing"
REASON_BROKEN_ID: Final = "id with invalid UTF-8"
REASON_NO_OBJECT: Final = "line is no JSON object"
REASON_COLUMNS: Final = "more fields than the header has"
NOTE_TIME: Final = "timestamp missing or unreadable, so no times were read"
NOTE_PERIOD: Final = "timestamp before 1990 or more than a day ahead, so no times were read"
NOTE_QUOTED: Final = "id in quotation marks, taken as they are (--quoting removes them)"

_IN_QUOTES: Final = '^".*"$'


def load(path: Path, options: TableOptions) -> Records:
    """Reads a table with a user and an item in each row.

    Ids are read unchanged. Text has a header. Fields between commas may be quoted, those between
    tabs only where the options say so.

    Args:
        path: a file, a folder or pattern of parts, or ``-``; the content decides the format.
        options: the names of the columns, and whether fields are quoted.

    Raises:
        DatasetError: the file is missing, of another kind or damaged, its rows do not add up, a
            column is missing, or no row can be used.
    """
    with opening(path) as parts, TemporaryDirectory(prefix="encore-reading-") as place:
        table = table_of(parts, options, path, Path(place))
        with reading(table.shown):
            schema = table.scan.collect_schema()
        return _read(table, schema, options)


def _read(table: Table, schema: pl.Schema, options: TableOptions) -> Records:
    count = table.count(schema, is_certain=options.quoting is True)
    with surveying(*table.parts, count=count) as survey:
        columns = _columns(schema, table, options, survey)
        encoded = _encode(table, schema, columns, survey)
        rows = _check(encoded, is_text=table.is_text)
        timestamps, odd = _timestamps(encoded, rows, asked=options.timestamp_column is not None)
        noted = {note: int(marks.sum()) for note, marks in odd.items()}
        noted |= _quoted_ids(encoded, rows, table)
        examples = _examples(table, columns, rows, odd)
        _refuse_without_records(table, encoded, rows, examples)
        records = records_of(
            encoded,
            rows,
            encoded.items[ITEM],
            encoded.rest[PLAYS].to_numpy(),
            dataset=NAME,
            sources=survey.result().sources,
            noted=noted,
            timestamps=timestamps,
        )
    counts = replace(records.rows, examples=examples)
    return replace(records, rows=counts, remark=columns.remark)


def _columns(
    schema: pl.Schema, table: Table, options: TableOptions, survey: Future[Survey]
) -> Columns:
    try:
        return Columns.find(schema, table.shown, options)
    except DatasetError:
        if any("\n" in name for name in schema):
            survey.result()  # raises the better error if a quotation mark in the header is wrong
        raise


def _encode(table: Table, schema: pl.Schema, columns: Columns, survey: Future[Survey]) -> Encoded:
    """Reads the columns, and refuses the file if not all of its rows were read."""
    try:
        with reading(table.shown):
            encoded = encode(*_select(table, schema, columns.by_role))
    except DatasetError:
        survey.result()  # names the line, if a quotation mark is the cause
        raise
    found = survey.result()
    if table.separator is not None:
        found.check(table.parts, len(encoded) + len(table.parts))
    return encoded


def _select(
    table: Table, schema: pl.Schema, columns: Mapping[str, str]
) -> tuple[pl.LazyFrame, list[str], list[pl.Expr]]:
    """Returns the arguments of ``encode``: the source, its item columns and the other columns."""
    path = table.shown
    items = {
        role: _as_id(columns[role], schema, path) for role in (ITEM, NAME_COLUMN) if role in columns
    }
    rest = {PLAYS: _as_plays(columns.get(PLAYS), schema, path)}
    if EXTRA in schema:
        rest[EXTRA] = pl.col(EXTRA) != ""
    if BROKEN in schema:
        rest[BROKEN] = pl.col(BROKEN).is_not_null()
    if time := columns.get(TIME):
        rest[TIME] = _as_seconds(time, schema, path)
    source = table.scan.select(**{USER: _as_id(columns[USER], schema, path)}, **items, **rest)
    return source, list(items), [pl.col(column) for column in rest]


def _as_id(column: str, schema: pl.Schema, path: str) -> pl.Expr:
    dtype = schema[column]
    is_whole = dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)
    if not (is_whole or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Binary)):
        raise DatasetError(
            f"{path}: the column '{column}' holds {_kind(dtype)}; ids and names are text or whole "
            "numbers"
        )
    return pl.col(column).cast(pl.String).fill_null("")


def _kind(dtype: pl.DataType) -> str:
    return "lists or objects" if dtype.is_nested() else str(dtype)


def _as_plays(column: str | None, schema: pl.Schema, path: str) -> pl.Expr:
    if column is None:
        return pl.lit(1.0, dtype=pl.Float32)
    plays, dtype = pl.col(column), schema[column]
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Null)):
        raise DatasetError(f"{path}: the column '{column}' holds {_kind(dtype)}; plays are numbers")
    if dtype == pl.String:
        plays = plays.str.strip_chars(" ")
    return plays.cast(pl.Float32, strict=False).fill_null(float("nan"))


def _as_seconds(column: str, schema: pl.Schema, path: str) -> pl.Expr:
    seconds = seconds_of(pl.col(column), schema[column])
    if seconds is None:
        raise DatasetError(
            f"{path}: the column '{column}' holds {_kind(schema[column])}; times are seconds "
            "since 1970 or ISO 8601"
        )
    return seconds


def _check(encoded: Encoded, *, is_text: bool) -> Rows:
    rows = Rows(len(encoded))
    if EXTRA in encoded.rest.columns:
        rows.drop(REASON_COLUMNS, encoded.rest[EXTRA].to_numpy())
    if BROKEN in encoded.rest.columns:
        rows.drop(REASON_NO_OBJECT, encoded.rest[BROKEN].to_numpy())
    for ids, codes, missing in (
        (encoded.users, encoded.user_codes, REASON_NO_USER),
        (encoded.items[ITEM], encoded.item_codes, REASON_NO_ITEM),
    ):
        _drop_bad_ids(rows, ids, codes, missing, is_text=is_text)
    rows.drop_bad_plays(encoded.rest[PLAYS].to_numpy())
    return rows


def _timestamps(
    encoded: Encoded, rows: Rows, *, asked: bool
) -> tuple[NDArray[np.int64] | None, dict[str, NDArray[np.bool_]]]:
    """Returns the times by row, None where none are used, and the rows to note for a reason.

    If an option names the column, a row with an unreadable time is dropped. Otherwise one
    unreadable time, or a majority of implausible ones, means that no times are used.
    """
    if TIME not in encoded.rest.columns:
        return None, {}
    unread = encoded.rest[TIME].is_null().to_numpy()
    seconds: NDArray[np.int64] = encoded.rest[TIME].fill_null(0).to_numpy()
    implausible = is_implausible(seconds) & ~unread
    if asked:
        rows.drop(REASON_TIME, unread)
    else:
        usable = rows.usable
        if (unread & usable).any():
            return None, {NOTE_TIME: unread & usable}
        if 2 * int((implausible & usable).sum()) > int(usable.sum()):
            return None, {NOTE_PERIOD: implausible & usable}
    rows.drop(REASON_PERIOD, implausible)
    return seconds, {}


def _quoted_ids(encoded: Encoded, rows: Rows, table: Table) -> dict[str, int]:
    if table.separator is None or table.is_quoted:
        return {}
    is_quoted = np.zeros(len(encoded), dtype=bool)
    for ids, codes in (
        (encoded.users, encoded.user_codes),
        (encoded.items[ITEM], encoded.item_codes),
    ):
        is_quoted |= ids.str.contains(_IN_QUOTES).to_numpy()[codes]
    return {NOTE_QUOTED: int((is_quoted & rows.usable).sum())}


def _examples(
    table: Table, columns: Columns, rows: Rows, odd: Mapping[str, NDArray[np.bool_]]
) -> dict[str, str]:
    """Returns the first value, with its row, for each reason or note that is about a value."""
    about = [
        (REASON_NO_OBJECT, BROKEN),
        (REASON_NO_PLAYS, PLAYS),
        (REASON_TIME, TIME),
        (REASON_PERIOD, TIME),
    ]
    found = [(reason, role, rows.first_dropped(reason)) for reason, role in about]
    found += [(note, TIME, int(marks.argmax())) for note, marks in odd.items()]
    examples = {}
    for reason, role, row in found:
        column = BROKEN if role == BROKEN else columns.by_role.get(role)
        if row is not None and column is not None:
            with reading(table.shown):
                value = table.value(row, column)
            examples[reason] = f"'{value}' in row {row + 1}{table.after}"
    return examples


def _drop_bad_ids(
    rows: Rows, ids: pl.Series, codes: NDArray[np.int32], missing: str, *, is_text: bool
) -> None:
    rows.drop(missing, (ids == "").to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(ids)[codes])
    if is_text:
        broken = ids.str.contains(REPLACEMENT, literal=True).to_numpy()
        rows.drop(REASON_BROKEN_ID, broken[codes])


def _refuse_without_records(
    table: Table, encoded: Encoded, rows: Rows, examples: Mapping[str, str]
) -> None:
    if rows.usable.any():
        return
    example = rows.any_dropped()
    if example is None:
        raise DatasetError(f"{table.shown} is empty: it has a header, but no rows")
    row, reason = example
    counts = rows.counts()
    why = "; ".join(f"{reason}: {count:,}" for reason, count in counts.dropped.items())
    user = encoded.users[int(encoded.user_codes[row])]
    item = encoded.items[ITEM][int(encoded.item_codes[row])]
    value = f": {examples[reason].partition(' in row ')[0]}" if reason in examples else ""
    raise DatasetError(
        f"{table.shown}: none of its {counts.read:,} rows can be used ({why}). For example row "
        f"{row + 1}{table.after}, {reason}{value}: user '{shorten(user)}', item '{shorten(item)}'"
    )


DATASET: Final = Dataset(
    name=NAME,
    description="Your own CSV, TSV, JSON or Parquet, in one file or in parts; options name columns",
    licence="yours",
    source="--data FILE, FOLDER, 'PATTERN*' or - (standard input)",
    files=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    load=load,
    times="a table whose column of times --timestamp-column names",
    options=TableOptions,
)
