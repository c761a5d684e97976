"""The files of a table, text, Parquet or JSON by their content, as one scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.compression import without_ending
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
_SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its format.

    Attributes:
        shown: its path, for messages.
        parts: its files.
        scan: its columns, as text where it is no Parquet.
        separator: between its fields, None in Parquet and JSON.
        is_quoted: whether its fields may be quoted.
        is_text: whether it may hold invalid UTF-8.
    """

    shown: str
    parts: Sequence[Part]
    scan: pl.LazyFrame
    separator: str | None = None
    is_quoted: bool = False
    is_text: bool = True

    @property
    def after(self) -> str:
        """From where rows are counted, for a message."""
        return " after the header" if self.separator is not None else ""

    def count(self, schema: pl.Schema, *, is_certain: bool) -> dict[Part, RecordCounter]:
        """Returns the counters of its records; none for Parquet and JSON.

        Args:
            schema: of the table.
            is_certain: whether an option says that fields are quoted.
        """
        if self.separator is None:
            return {}
        columns = sum(name != EXTRA for name in schema)
        separator = self.separator.encode()
        return {
            part: RecordCounter(
                part,
                Quoting(separator, columns - _added(part, schema), is_certain)
                if self.is_quoted
                else None,
                has_header=True,
            )
            for part in self.parts
        }

    def example(self, marks: NDArray[np.bool_], column: str) -> tuple[int, str]:
        """Returns a row and its value, shortened for a message; not a blank one if possible.

        Args:
            marks: the rows to choose from, at least one; shape (n_rows,).
            column: the column of the value.
        """
        first = int(marks.argmax())
        near = marks[first : first + _LOOKED_AT]
        values = self.scan.slice(first, len(near)).select(pl.col(column).cast(pl.String))
        candidates = values.collect()[column].fill_null("").filter(pl.Series(near))
        rows = first + np.flatnonzero(near)
        place = (candidates.str.strip_chars() != "").arg_max() or 0
        return int(rows[place]), shorten(candidates[place])


def _added(part: Part, schema: pl.Schema) -> int:
    return sum(name in schema for name, _ in part.columns)


def table_of(parts: Sequence[Part], options: TableOptions, shown: Path, place: Path) -> Table:
    """Returns the table that files hold.

    Args:
        parts: the files, at least one.
        options: whether fields are quoted.
        shown: the path of the table in messages.
        place: a folder for temporary files.

    Raises:
        DatasetError: the files are of different kinds, or have different columns.
    """
    name = str(parts[0]) if len(parts) == 1 else str(shown)
    kinds = [_kind(part) for part in parts]
    for part, kind in zip(parts, kinds, strict=True):
        if kind != kinds[0]:
            raise DatasetError(
                f"{parts[0]} is {kinds[0]}, but {part} is {kind}; name those that belong together "
                "by a pattern, such as 'data/part-*.csv'"
            )
    if kinds[0] != _TEXT and options.quoting is not None:
        raise DatasetError(f"{name} is {kinds[0]}, in which nothing is quoted; leave --quoting out")
    if kinds[0] == _PARQUET:
        scans = [_with_folders(pl.scan_parquet(part.plain, glob=False), part) for part in parts]
        return Table(name, parts, _joined(parts, scans), is_text=False)
    if kinds[0] == _JSON:
        scans = []
        for number, part in enumerate(parts):
            with reading(part), part.plain.open("rb") as file:
                scan = json_scan(file, part, place / str(number))
            scans.append(_with_folders(scan, part))
        return Table(name, parts, _joined(parts, scans))
    return _text_table(name, parts, options)


def _kind(part: Part) -> str:
    head = head_of(part)
    if is_parquet(part):
        return _PARQUET
    ending = Path(without_ending(part.original.name)).suffix.lower()
    return _JSON if is_json(head) or (ending in _JSON_ENDINGS and b"{" in head) else _TEXT


def _text_table(name: str, parts: Sequence[Part], options: TableOptions) -> Table:
    separator = _separator(parts[0])
    is_quoted = separator == "," if options.quoting is None else options.quoting
    # All columns are read as text: a guessed type would change 007 to 7 and a long id to a float.
    scans = []
    for part in parts:
        read = partial(
            pl.scan_csv,
            part.plain,
            separator=separator,
            quote_char='"' if is_quoted else None,
            encoding="utf8-lossy",
            empty_string_is_null=False,
            missing_columns="insert",
            extra_columns="ignore",
            glob=False,
        )
        with reading(part):
            header = read(infer_schema=False).collect_schema().names()
        scan = read(schema=dict.fromkeys([*header, EXTRA], pl.String))
        scans.append(_with_folders(scan, part))
    return Table(name, parts, _joined(parts, scans), separator, is_quoted)


def _separator(part: Part) -> str:
    ending = Path(without_ending(part.original.name)).suffix.lower()
    if ending in _SEPARATORS:
        return _SEPARATORS[ending]
    line = head_of(part).lstrip().partition(b"\n")[0]
    return "\t" if line.count(b"\t") >= max(line.count(b","), 1) else ","


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
