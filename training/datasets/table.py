"""The dataset ``table``: text, Parquet or JSON whose columns are named by options."""

from __future__ import annotations

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
from training.datasets.reading.dialects.names import odd_names
from training.datasets.reading.dialects.numbers import NumberForm, form_of
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    USER,
    Encoded,
    encode,
    records_of,
    too_long,
)
from training.datasets.reading.ids import Normalization
from training.datasets.reading.json_lines import BROKEN, REASON_NO_OBJECT
from training.datasets.reading.opening import opening, several_roles
from training.datasets.reading.rows import Rows
from training.datasets.reading.sources import reading
from training.datasets.reading.survey import Survey, surveying
from training.datasets.reading.table_columns import (
    EXTRA,
    ITEM,
    OTHER,
    PLAYS,
    TIME,
    Columns,
    TableOptions,
)
from training.datasets.reading.table_columns import NAME as NAME_COLUMN
from training.datasets.reading.table_file import Table, as_text, table_of
from training.datasets.reading.time_form import TimeForm
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME, is_implausible, seconds_of
from training.datasets.table_examples import (
    NOTE_PERIOD,
    NOTE_TIME,
    REASON_BROKEN_ID,
    examples_of,
    refuse_without_records,
)
from training.datasets.table_ids import TableIds, identify, normalize_users
from training.errors import DatasetError

NAME: Final = "table"
REASON_NO_USER: Final = "user id is missing"
REASON_NO_ITEM: Final = "item id is missing"
REASON_COLUMNS: Final = "more fields than the header has"
_ALL_FORMS: Final = len(NumberForm.candidates(None, None))


def load(path: Path, options: TableOptions) -> Records:
    """Reads a table with a user and an item in each row.

    Ids are read unchanged. The dialect of text is taken from its first lines, where these make it
    clear, and from the options.

    Args:
        path: a file, a folder or pattern of parts, or ``-``; the content decides the format.
        options: the names of the columns, and the dialect.

    Raises:
        DatasetError: the file is missing, of another kind or damaged, its rows do not add up, a
            column is missing, or no row can be used.
    """
    with (
        opening(path, decodes=True) as parts,
        TemporaryDirectory(prefix="encore-reading-") as place,
    ):
        table = table_of(parts, options, path, Path(place))
        with reading(table.shown):
            schema = table.scan.collect_schema()
        return _read(table, schema, options)


def load_frame(frame: pl.DataFrame, shown: str, options: TableOptions) -> Records:
    """Reads a DataFrame, as ``load`` reads a Parquet file with the same columns.

    Args:
        frame: a user and an item in each row.
        shown: what it is called in messages.
        options: the names of the columns.

    Raises:
        DatasetError: a column is missing or has another type, or no row can be used.
    """
    return _read(Table(shown, (), frame.lazy(), is_text=False), frame.schema, options)


def _read(table: Table, schema: pl.Schema, options: TableOptions) -> Records:
    count = table.count(schema, is_certain=options.quoting is True)
    with surveying(*table.parts, count=count) as survey:
        columns, numbers = _columns(schema, table, options, survey)
        raw = _encode(table, schema, columns, numbers, survey)
        may_be_broken = table.is_text or any(
            schema[columns.by_role[role]] == pl.Binary
            for role in (USER, ITEM, NAME_COLUMN)
            if role in columns.by_role
        )
        ids, rows = _check(raw, options.normalization, may_be_broken=may_be_broken)
        encoded = ids.encoded
        asked = options.timestamp_column is not None or columns.time_form is not None
        timestamps, odd = _timestamps(encoded, rows, asked=asked)
        noted = {note: int(marks.sum()) for note, marks in odd.items()}
        marks = odd_names(encoded, rows.usable, NAME_COLUMN, takes_quotes=table.takes_quotes)
        noted |= {note: int(marked.sum()) for note, marked in marks.items()} | ids.notes(rows)
        examples = examples_of(table, columns, encoded, rows, odd | marks)
        refuse_without_records(table, encoded, rows, examples)
        records = records_of(
            encoded,
            rows,
            ids.items,
            encoded.rest[PLAYS].to_numpy(),
            dataset=NAME,
            sources=survey.result().sources,
            noted=noted,
            timestamps=timestamps,
        )
    counts = replace(records.rows, examples={what: str(one) for what, one in examples.items()})
    remarks = [table.remark(numbers, options), columns.remark, several_roles(table.parts)]
    remark = "; ".join(filter(None, remarks))
    return ids.annotate(replace(records, rows=counts, remark=remark), rows)


def _columns(
    schema: pl.Schema, table: Table, options: TableOptions, survey: Future[Survey]
) -> tuple[Columns, NumberForm]:
    """Returns the columns, and the form of plays."""
    try:
        columns = Columns.find(schema, table.shown, options, table.hint(schema))
        return columns, _number_form(table, schema, columns, options)
    except DatasetError:
        if table.dialects:
            survey.result()  # raises the better error if a quotation mark is wrong
        raise


def _number_form(
    table: Table, schema: pl.Schema, columns: Columns, options: TableOptions
) -> NumberForm:
    """Returns the form of plays, which text without such options tells by its first rows."""
    candidates = NumberForm.candidates(options.decimal, options.thousands)
    column = columns.by_role.get(PLAYS)
    is_text = column is not None and schema[column] == pl.String
    if len(candidates) < _ALL_FORMS and not is_text:
        why = "there is none" if column is None else f"'{column}' holds {schema[column]}"
        raise DatasetError(
            f"{table.shown}: --decimal and --thousands are for a column of plays that is text, and "
            f"{why}; leave them out"
        )
    if column is None or not is_text or not table.dialects:
        return candidates[0]
    with reading(table.shown):
        first = table.first_values(column)
    return form_of(first, candidates, table.shown, column)


def _encode(
    table: Table,
    schema: pl.Schema,
    columns: Columns,
    numbers: NumberForm,
    survey: Future[Survey],
) -> Encoded:
    """Reads the columns, and refuses the file if not all of its rows were read."""
    try:
        with reading(table.shown):
            encoded = encode(*_select(table, schema, columns, numbers))
    except DatasetError:
        survey.result()  # names the line, if a quotation mark is the cause
        raise
    found = survey.result()
    if table.dialects:
        found.check(table.parts, len(encoded) + table.headers)
    if OTHER in encoded.rest.columns and encoded.rest[OTHER].any():
        with reading(table.shown):
            later = table.values(columns.by_role[PLAYS], numbers.is_other)
        numbers.refuse_others(later, table.shown, columns.by_role[PLAYS])
    return encoded


def _select(
    table: Table, schema: pl.Schema, found: Columns, numbers: NumberForm
) -> tuple[pl.LazyFrame, list[str], list[pl.Expr]]:
    """Returns the arguments of ``encode``: the source, its item columns and the other columns."""
    path, columns = table.shown, found.by_role
    items = {
        role: _as_id(columns[role], schema, path) for role in (ITEM, NAME_COLUMN) if role in columns
    }
    rest = {PLAYS: _as_plays(columns.get(PLAYS), schema, path, numbers)}
    if numbers.is_open:
        rest[OTHER] = numbers.is_other(pl.col(columns[PLAYS]))
    if EXTRA in schema:
        rest[EXTRA] = pl.col(EXTRA) != ""
    if BROKEN in schema:
        rest[BROKEN] = pl.col(BROKEN).is_not_null()
    if time := columns.get(TIME):
        rest[TIME] = _as_seconds(time, schema, path, found.time_form)
    source = table.scan.select(**{USER: _as_id(columns[USER], schema, path)}, **items, **rest)
    return source, list(items), [pl.col(column) for column in rest]


def _as_id(column: str, schema: pl.Schema, path: str) -> pl.Expr:
    dtype = schema[column]
    is_whole = dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)
    # A column of nothing but null is read like one of empty texts.
    if not (is_whole or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null)):
        raise DatasetError(
            f"{path}: the column '{column}' holds {_kind(dtype)}; ids and names are text or whole "
            "numbers"
        )
    return as_text(column, dtype).fill_null("")


def _kind(dtype: pl.DataType) -> str:
    return "lists or objects" if dtype.is_nested() else str(dtype)


def _as_plays(column: str | None, schema: pl.Schema, path: str, numbers: NumberForm) -> pl.Expr:
    if column is None:
        return pl.lit(1.0, dtype=pl.Float32)
    plays, dtype = pl.col(column), schema[column]
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Null)):
        raise DatasetError(f"{path}: the column '{column}' holds {_kind(dtype)}; plays are numbers")
    if dtype == pl.String:
        plays = numbers.read(plays)
    return plays.cast(pl.Float32, strict=False).fill_null(float("nan"))


def _as_seconds(column: str, schema: pl.Schema, path: str, form: TimeForm | None) -> pl.Expr:
    if form is not None:
        if schema[column] != pl.String:
            raise DatasetError(
                f"{path}: the column '{column}' holds {schema[column]}, and --timestamp-format is "
                "for text; leave it out"
            )
        return form.seconds_of(pl.col(column))
    seconds = seconds_of(pl.col(column), schema[column])
    if seconds is None:
        raise DatasetError(
            f"{path}: the column '{column}' holds {_kind(schema[column])}; times are seconds "
            "since 1970 or ISO 8601"
        )
    return seconds


def _check(
    raw: Encoded, normalization: Normalization, *, may_be_broken: bool
) -> tuple[TableIds, Rows]:
    """Returns the ids, and the rows without those that cannot be used."""
    rows = Rows(len(raw))
    if EXTRA in raw.rest.columns:
        rows.drop(REASON_COLUMNS, raw.rest[EXTRA].to_numpy())
    if BROKEN in raw.rest.columns:
        rows.drop(REASON_NO_OBJECT, raw.rest[BROKEN].to_numpy())
    encoded = normalize_users(raw, normalization)
    _drop_bad_ids(
        rows, encoded.users, encoded.user_codes, REASON_NO_USER, may_be_broken=may_be_broken
    )
    ids = identify(raw, encoded, rows, normalization)
    items = ids.items.fill_null("")
    _drop_bad_ids(rows, items, encoded.item_codes, REASON_NO_ITEM, may_be_broken=may_be_broken)
    rows.drop_bad_plays(encoded.rest[PLAYS].to_numpy())
    return ids, rows


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


def _drop_bad_ids(
    rows: Rows, ids: pl.Series, codes: NDArray[np.int32], missing: str, *, may_be_broken: bool
) -> None:
    rows.drop(missing, (ids == "").to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(ids)[codes])
    if may_be_broken:
        broken = ids.str.contains(REPLACEMENT, literal=True).to_numpy()
        rows.drop(REASON_BROKEN_ID, broken[codes])


DATASET: Final = Dataset(
    name=NAME,
    description="Your own CSV, TSV, JSON or Parquet, in one file or in parts; options name columns",
    licence="yours",
    source="--data FILE, FOLDER, 'PATTERN*' or - (standard input)",
    files=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    load=load,
    takes_input=True,
    times="a table whose column of times --timestamp-column names",
    options=TableOptions,
)
