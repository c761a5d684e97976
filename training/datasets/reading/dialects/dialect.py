"""The dialect of a text file: how its fields and lines are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from training.datasets.reading.dialects.options import DOUBLE_COLON
from training.datasets.reading.dialects.transcoding import UNIT_SEPARATOR
from training.datasets.reading.encoding import REPLACEMENT

OTHER_ENCODING: Final = "--encoding cp1252 may read it"
_NUMBER: Final = re.compile(r"-?[0-9.]+")
_WORDS: Final = {"\t": "tabs", " ": "spaces"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written; its encoding is UTF-8.

    Attributes:
        separator: between fields, one character or ``::``.
        is_quoted: whether fields may stand in quotation marks.
        columns: the names of its columns where an option says them; None where its header does.
        has_header: whether its first line is a header.
        line_end: LF, which also stands for CR and LF, or CR alone.
        skipped: lines before the header, such as ``sep=;``.
        late_header: the number of a later line that holds the names of the columns, or 0.
        taken: what the first lines of the file said, in words, with the option that sets it.
    """

    separator: str = ","
    is_quoted: bool = True
    columns: tuple[str, ...] | None = None
    has_header: bool = True
    line_end: str = "\n"
    skipped: int = 0
    late_header: int = 0
    taken: tuple[tuple[str, str], ...] = ()

    @property
    def byte(self) -> str:
        """What stands between the fields of the file that is parsed."""
        return UNIT_SEPARATOR if self.separator == DOUBLE_COLON else self.separator

    def scan(self, file: Path, extra: str) -> pl.LazyFrame:
        """Returns the rows of a file as text.

        All columns are text: a guessed type would change 007 to 7 and a long id to a float.
        Fields that a row lacks are empty.

        Args:
            file: the file.
            extra: the name of a column for the first surplus field of a row.

        Raises:
            polars.exceptions.PolarsError: the file cannot be read.
        """
        read, names = self._scan(file), self.columns or ()
        if self.has_header:
            header = read(has_header=True, infer_schema=False).collect_schema().names()
        else:
            header = list(names)
        schema = dict.fromkeys([*header, extra], pl.String)
        rows: pl.LazyFrame = read(has_header=self.has_header, schema=schema)
        if not names or list(names) == header:
            return rows
        # The parser looks columns up by the names in the header, whatever the schema says.
        return rows.rename(dict(zip(header, names, strict=True)))

    def hint(self, names: Sequence[str]) -> str:
        """Returns what may be wrong if the file lacks a column, as the end of a message.

        Args:
            names: of the columns that were found, with marks that no file has.
        """
        found = [name for name in names if not name.startswith("\0")]
        if self.late_header:
            return f". Line {self.late_header} has its name; take out the lines before it"
        if unreadable := unreadable_names(found):
            return unreadable
        if len(found) == 1:
            return (
                f". Its first line has no {shown_separator(self.separator)}; --separator names "
                "what stands between its fields"
            )
        if self.columns is None and any(map(_NUMBER.fullmatch, found)):
            return ". If its first line is a row, --columns user_id,item_id,… names its columns"
        if self.columns is not None and all(name.isdigit() for name in found):
            return ". Without a header its columns have numbers; --columns names them"
        return ""

    def _scan(self, file: Path) -> Callable[..., pl.LazyFrame]:
        return partial(
            pl.scan_csv,
            file,
            separator=self.byte,
            quote_char='"' if self.is_quoted else None,
            eol_char=self.line_end,
            skip_lines=self.skipped,
            encoding="utf8-lossy",
            empty_string_is_null=False,
            missing_columns="insert",
            extra_columns="ignore",
            glob=False,
        )


def unreadable_names(names: Sequence[str]) -> str:
    """Returns what to do about names of columns that are no UTF-8, as the end of a message."""
    if any(REPLACEMENT in name for name in names):
        return f". Its first line is no UTF-8; {OTHER_ENCODING}"
    return ""


def shown_separator(separator: str) -> str:
    """Returns a separator for a message."""
    return _WORDS.get(separator, f"'{separator}'" if separator.isprintable() else repr(separator))


def described(taken: Sequence[tuple[str, str]]) -> str:
    """Returns one line about what the first lines of a file said, or nothing.

    Args:
        taken: see ``Dialect``.
    """
    if not taken:
        return ""
    options = " ".join(dict.fromkeys(option for _, option in taken if option))
    sets = f" ({options} would say otherwise)" if options else ""
    return f"read as its first lines show: {', '.join(what for what, _ in taken)}{sets}"
