"""The files of a table, text, Parquet or JSON by their content, as one scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.compression import without_ending
from training.datasets.reading.dialects.detection import dialect_of
from training.datasets.reading.dialects.dialect import (
    Dialect,
    described,
    unreadable_names,
)
from training.datasets.reading.dialects.numbers import NumberForm
from training.datasets.reading.dialects.options import DOUBLE_COLON
from training.datasets.reading.dialects.transcoding import decoded, mark_of, separated
from training.datasets.reading.json_lines import is_json, json_scan
from training.datasets.reading.opening import Part, head_of, is_parquet, same_columns
from training.datasets.reading.record_count import Quoting, RecordCounter
from training.datasets.reading.sources import reading, shorten
from training.datasets.reading.table_columns import EXTRA, TableOptions
from training.errors import DatasetError

_TEXT: Final = "text"
_PARQUET: Final = "Parquet"
_JSON: Final = "JSON"
_JSON_ENDINGS: Final = (".json", ".jsonl", ".ndjson")
# Rows among which an example that is not blank is looked for.
_LOOKED_AT: Final = 10_000
# Rows by which the form of numbers is found out, and most parts that these are of.
_SAMPLED_ROWS: Final = 10_000
_SAMPLED_PARTS: Final = 50
# Rows by which a form that the first ones leave open is found out.
_LATER_ROWS: Final = 100_000
# Options that other files than text do not take, with what these files lack.
_TEXT_OPTIONS: Final = {
    "quoting": "nothing is quoted",
    "separator": "nothing separates fields",
    "header": "there is no header",
    "columns": "columns have their names",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its format.

    Attributes:
        shown: its path, for messages.
        parts: its files.
        scan: its columns, as text where it is no Parquet.
        scans: the rows of each file.
        dialects: of its files, none in Parquet and JSON.
        is_text: whether it may hold invalid UTF-8.
        mark: the encoding that its first bytes say, where it is not UTF-8; or nothing.
    """

    shown: str
    parts: Sequence[Part]
    scan: pl.LazyFrame
    scans: Sequence[pl.LazyFrame] = ()
    dialects: Sequence[Dialect] = ()
    is_text: bool = True
    mark: str = ""

    @property
    def after(self) -> str:
        """From where rows are counted, for a message."""
        return " after the header" if self.headers else ""

    @property
    def headers(self) -> int:
        """The number of headers, which are no rows."""
        return sum(dialect.has_header for dialect in self.dialects)

    @property
    def takes_quotes(self) -> bool:
        """Whether quotation marks around fields are taken as characters."""
        return any(not dialect.is_quoted for dialect in self.dialects)

    def remark(self, numbers: NumberForm, options: TableOptions) -> str:
        """Returns one line about what its first lines told of its dialect, or nothing.

        Args:
            numbers: the form of its plays.
            options: what did not have to be told.
        """
        taken = [(f"{self.mark} by its mark", "")] if self.mark else []
        taken += self.dialects[0].taken if self.dialects else []
        if numbers.words and (options.decimal, options.thousands) == (None, None):
            taken.append((numbers.words, "--decimal --thousands"))
        return described(taken)

    def first_values(self, column: str) -> pl.Series:
        """Returns the values of a column of text in its first rows, and in those of some parts.

        Raises:
            polars.exceptions.PolarsError: they cannot be read.
        """
        scans = self.scans[:: -(-len(self.scans) // _SAMPLED_PARTS)]
        rows = -(-_SAMPLED_ROWS // len(scans))
        frames = pl.collect_all([scan.select(pl.col(column)).head(rows) for scan in scans])
        return pl.concat(frames)[column].drop_nulls().unique()

    def values(self, column: str, condition: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
        """Returns the values of a column that meet a condition: the distinct ones of the first.

        Raises:
            polars.exceptions.PolarsError: they cannot be read.
        """
        found = self.scan.select(pl.col(column)).filter(condition(pl.col(column)))
        return found.drop_nulls().head(_LATER_ROWS).unique().collect()[column]

    def hint(self, schema: pl.Schema) -> str:
        """Returns what may be wrong with the dialect if a column is missing, or nothing."""
        if self.dialects:
            return self.dialects[0].hint(list(schema))
        return unreadable_names(list(schema)) if self.is_text else ""

    def count(self, schema: pl.Schema, *, is_certain: bool) -> dict[Part, RecordCounter]:
        """Returns the counters of its records; none for Parquet and JSON.

        Args:
            schema: of the table.
            is_certain: whether an option says that fields are quoted.
        """
        columns = sum(name != EXTRA for name in schema)
        return {
            part: _counter(part, dialect, columns - _added(part, schema), is_certain=is_certain)
            for part, dialect in zip(self.parts, self.dialects, strict=False)
        }

    def example(
        self, marks: NDArray[np.bool_], column: str, preferred: str = ""
    ) -> tuple[int, str]:
        """Returns a row and its value, shortened for a message; not a blank one if possible.

        Args:
            marks: the rows to choose from, at least one; shape (n_rows,).
            column: the column of the value.
            preferred: a regular expression; of the first rows, one with such a value is taken.
        """
        first = int(marks.argmax())
        near = marks[first : first + _LOOKED_AT]
        dtype = self.scan.collect_schema()[column]
        values = self.scan.slice(first, len(near)).select(as_text(column, dtype))
        candidates = values.collect()[column].fill_null("").filter(pl.Series(near))
        rows = first + np.flatnonzero(near)
        liking = (candidates.str.strip_chars() != "").cast(pl.Int8)
        if preferred:
            liking += candidates.str.contains(preferred).cast(pl.Int8)
        place = liking.arg_max() or 0
        return int(rows[place]), shorten(candidates[place])


def as_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """Returns an expression that reads a column as text; bytes that are no UTF-8 become U+FFFD."""
    if dtype == pl.Binary:
        return pl.col(column).map_batches(_decoded, return_dtype=pl.String, is_elementwise=True)
    return pl.col(column).cast(pl.String)


def _decoded(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        texts = [value and value.decode(errors="replace") for value in values]
        return pl.Series(values.name, texts, dtype=pl.String)


def _counter(part: Part, dialect: Dialect, columns: int, *, is_certain: bool) -> RecordCounter:
    separator = dialect.byte.encode()
    quoting = Quoting(separator, columns, is_certain) if dialect.is_quoted else None
    return RecordCounter(
        part,
        quoting,
        has_header=dialect.has_header,
        skipped=dialect.skipped,
        line_end=dialect.line_end.encode(),
        shape=(separator, columns),
    )


def _added(part: Part, schema: pl.Schema) -> int:
    return sum(name in schema for name, _ in part.columns)


def table_of(parts: Sequence[Part], options: TableOptions, shown: Path, place: Path) -> Table:
    """Returns the table that files hold.

    Args:
        parts: the files, at least one.
        options: its dialect.
        shown: the path of the table in messages.
        place: a folder for temporary files.

    Raises:
        DatasetError: the files are of different kinds, have different columns, or do not have the
            dialect that the options say.
    """
    packed, parts = parts, decoded(parts, options, place)
    mark = mark_of(head_of(packed[0]))
    wide = mark.upper() if mark not in {None, "utf-8"} else ""
    name = str(parts[0]) if len(parts) == 1 else str(shown)
    kinds = [_kind(part) for part in parts]
    for part, kind in zip(parts, kinds, strict=True):
        if kind != kinds[0]:
            raise DatasetError(
                f"{parts[0]} is {kinds[0]}, but {part} is {kind}; name those that belong together "
                "by a pattern, such as 'data/part-*.csv'"
            )
    _refuse_text_options(name, kinds[0], options)
    if kinds[0] == _PARQUET:
        scans = [_with_folders(pl.scan_parquet(part.plain, glob=False), part) for part in parts]
        return Table(name, parts, _joined(parts, scans), is_text=False)
    if kinds[0] == _JSON:
        scans = []
        for number, part in enumerate(parts):
            with reading(part), part.plain.open("rb") as file:
                scan = json_scan(file, part, place / str(number))
            scans.append(_with_folders(scan, part))
        return Table(name, parts, _joined(parts, scans), mark=wide)
    return _text_table(name, parts, options, place, wide)


def _refuse_text_options(name: str, kind: str, options: TableOptions) -> None:
    if kind == _TEXT:
        return
    lacking = dict(_TEXT_OPTIONS)
    if kind == _PARQUET:
        lacking["encoding"] = "text is always UTF-8"
    for option, lacks in lacking.items():
        if getattr(options, option) is not None:
            raise DatasetError(f"{name} is {kind}, in which {lacks}; leave --{option} out")


def _kind(part: Part) -> str:
    head = head_of(part)
    if is_parquet(part):
        return _PARQUET
    ending = Path(without_ending(part.original.name)).suffix.lower()
    return _JSON if is_json(head) or (ending in _JSON_ENDINGS and b"{" in head) else _TEXT


def _text_table(
    name: str, parts: Sequence[Part], options: TableOptions, place: Path, mark: str
) -> Table:
    wanted = {options.user_column.strip(), options.item_column.strip()}
    dialects = [
        dialect_of(part, options, wanted - {name for name, _ in part.columns}) for part in parts
    ]
    read = [
        separated(part, place / f"separated-{number}")
        if dialect.separator == DOUBLE_COLON
        else part
        for number, (part, dialect) in enumerate(zip(parts, dialects, strict=True))
    ]
    scans = []
    for part, dialect in zip(read, dialects, strict=True):
        with reading(part):
            scan = dialect.scan(part.plain, EXTRA)
        scans.append(_with_folders(scan, part))
    return Table(name, read, _joined(read, scans), scans, dialects, mark=mark)


def _with_folders(scan: pl.LazyFrame, part: Part) -> pl.LazyFrame:
    """Adds the columns that the names of folders give; those of the file itself come first."""
    if not part.columns:
        return scan
    with reading(part):
        names = scan.collect_schema().names()
    more = [pl.lit(value).alias(name) for name, value in part.columns if name not in names]
    return scan.with_columns(more)


def _joined(parts: Sequence[Part], scans: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Joins the rows of parts with the same columns."""
    if len(scans) == 1:
        return scans[0]
    schemas = []
    for part, scan in zip(parts, scans, strict=True):
        with reading(part):
            schemas.append(scan.collect_schema())
    same_columns(parts, [schema.names() for schema in schemas])
    common = {
        name: _common_type(name, parts, [schema[name] for schema in schemas]) for name in schemas[0]
    }
    return pl.concat(
        scan.select(
            pl.col(name) if schema[name] == dtype else pl.col(name).cast(dtype)
            for name, dtype in common.items()
        )
        for scan, schema in zip(scans, schemas, strict=True)
    )


def _common_type(name: str, parts: Sequence[Part], types: Sequence[pl.DataType]) -> pl.DataType:
    """Returns the type in which a column of all parts can be read without loss."""
    known = [dtype for dtype in types if dtype != pl.Null]
    if not known or all(dtype == known[0] for dtype in known):
        return known[0] if known else types[0]
    for part, dtype in zip(parts, types, strict=True):
        if not (dtype.is_integer() or dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum)):
            other = next(n for n, one in enumerate(types) if one != dtype)
            raise DatasetError(
                f"{part} and {parts[other]} have different types in the column '{name}': "
                f"{dtype} and {types[other]}; write all parts with the same types"
            )
    return pl.String()
