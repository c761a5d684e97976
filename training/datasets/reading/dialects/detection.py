"""Finds out the dialect of a text file by its first lines, as far as options leave it open."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from training.datasets.reading.compression import without_ending
from training.datasets.reading.dialects.dialect import Dialect, shown_separator
from training.datasets.reading.dialects.options import DOUBLE_COLON, DialectOptions
from training.datasets.reading.dialects.transcoding import mark_of
from training.datasets.reading.opening import Part
from training.datasets.reading.sources import reading, shorten
from training.errors import DatasetError

_HEAD_BYTES: Final = 2**16
_RECORDS: Final = 100
_CANDIDATES: Final = (",", ";", "\t", "|", DOUBLE_COLON)
_BY_ENDING: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
# Excel takes the separator from such a first line, and writes it on request.
_SEPARATOR_LINE: Final = re.compile(
    r'"?sep=(\\t|[\t !#-/:-@[-`{-~])"?(?:\r\n|\n|\r|$)', re.IGNORECASE
)
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_ANY_SEPARATOR: Final = re.compile(r"::|[,;\t|]")
_LATEST_HEADER: Final = 50
_FIRST_END: Final = re.compile(r"\r*\n|\r")
# Share of the first rows that have the number of fields of the first one.
_REGULAR: Final = 0.9


@dataclass(frozen=True, slots=True)
class _Head:
    """The beginning of a file.

    Attributes:
        part: the file.
        options: of reading it.
        wanted: the columns that the file has to have.
        text: whole lines from the first one that is not blank.
    """

    part: Part
    options: DialectOptions
    wanted: AbstractSet[str]
    text: str

    @property
    def line(self) -> str:
        return _LINE_END.split(self.text, maxsplit=1)[0]

    def is_quoted(self, separator: str) -> bool:
        """Returns whether fields between these separators may be quoted."""
        if separator == DOUBLE_COLON:
            return False
        if self.options.quoting is not None:
            return self.options.quoting
        if separator.isprintable():
            return True
        # Between tabs and the like a quotation mark is mostly a character.
        cells = [cell.strip() for cell in self.line.split(separator)]
        is_whole = all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
        return len(cells) > 1 and is_whole

    def records(self, separator: str) -> list[list[str]]:
        """Returns the fields of the first records."""
        if not self.is_quoted(separator):
            lines = _LINE_END.split(self.text)[:_RECORDS]
            return [line.split(separator) for line in lines if line]
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=separator)
        try:
            return [record for record in islice(reader, _RECORDS) if record]
        except csv.Error:
            return []

    def first(self, separator: str) -> list[str]:
        """Returns the fields of the first record, without spaces around them."""
        return [cell.strip() for cell in next(iter(self.records(separator)), [])]

    def fits(self, separator: str) -> bool:
        """Returns whether it is clear that this separates the fields."""
        first = self.first(separator)
        if self.options.header is not False and self.wanted and self.wanted <= set(first):
            return True
        named = self.options.column_names
        if named is None and self.options.header is not False:
            return False
        expected = len(first) if named is None else len(named)
        widths = [len(record) for record in self.records(separator)]
        return expected > 1 and widths.count(expected) >= _REGULAR * len(widths)


def dialect_of(part: Part, options: DialectOptions, wanted: AbstractSet[str]) -> Dialect:
    """Returns the dialect of a text file.

    Args:
        part: in UTF-8.
        options: what is known of it.
        wanted: the columns that it has to have.

    Raises:
        DatasetError: several separators would fit, or its first line does not fit the options.
    """
    whole = text = _text_of(part)
    line = _SEPARATOR_LINE.match(text)
    if line is not None:
        text = text[line.end() :]
    line_end = _line_end(part, text)
    head = _Head(part, options, wanted, text.lstrip("\r\n"))
    if not head.text:
        raise DatasetError(f"{part} is empty: all of its lines are blank")
    said = line[1].replace("\\t", "\t") if line else None
    separator = options.field_separator or said or _separator(head)
    is_quoted = head.is_quoted(separator)
    has_header, columns = _header(head, separator)
    taken = []
    if options.field_separator is None and (said or separator != _usual(part)):
        taken.append((f"separated by {shown_separator(separator)}", "--separator"))
    if options.quoting is None and is_quoted and not separator.isprintable():
        taken.append(("fields in quotation marks", "--no-quoting"))
    if options.header is None and not has_header:
        taken.append(("no header", "--header"))
    if line_end == "\r":
        taken.append(("lines end in CR alone", ""))
    return Dialect(
        separator,
        is_quoted,
        columns,
        has_header,
        line_end,
        skipped=1 if line else 0,
        late_header=_late_header(head, len(_LINE_END.findall(whole.removesuffix(head.text)))),
        taken=tuple(taken),
    )


def _text_of(part: Part) -> str:
    """Returns the first lines of a file, without a mark; of the whole file if it is short."""
    with reading(part), part.plain.open("rb") as file:
        content = file.read(_HEAD_BYTES + 1)
    if len(content) > _HEAD_BYTES:
        end = max(content.rfind(b"\n"), content.rfind(b"\r"))
        content = content[: end + 1] or content
    encoding = "utf-8-sig" if mark_of(content) else "utf-8"
    return content.decode(encoding, errors="replace")


def _line_end(part: Part, text: str) -> str:
    """Returns LF, or CR where the first line ends in CR alone.

    Raises:
        DatasetError: lines end in a way that no program reads alike.
    """
    first = _FIRST_END.search(re.sub(r'"[^"]*"', "", text))
    if first is None or first[0] in {"\n", "\r\n"}:
        return "\n"
    if first[0] == "\r":
        return "\r"
    raise DatasetError(
        f"{part}: its lines end in CR CR LF, as when line ends are converted twice; write it "
        "again (in Python with newline='')"
    )


def _usual(part: Part) -> str | None:
    ending = Path(without_ending(part.original.name)).suffix.lower()
    return _BY_ENDING.get(ending)


def _separator(head: _Head) -> str:
    usual = _usual(head.part)
    fitting = [one for one in _CANDIDATES if head.fits(one)]
    if usual in fitting or len(fitting) == 1:
        return usual if usual in fitting else fitting[0]
    if fitting:
        shown = " and ".join(map(shown_separator, fitting))
        raise DatasetError(
            f"{head.part}: {shown} would separate its fields equally well: '{shorten(head.line)}'. "
            "--separator says which"
        )
    if usual is not None and len(head.first(usual)) > 1:
        return usual
    # The message about the columns that are missing is the better, the more there are.
    return max(dict.fromkeys([usual or ",", *_CANDIDATES]), key=lambda one: len(head.first(one)))


def _late_header(head: _Head, before: int) -> int:
    """Returns the number of the line that looks like a header below others, or 0.

    Args:
        head: the beginning of the file.
        before: lines before it.
    """
    lines = _LINE_END.split(head.text)[:_LATEST_HEADER]
    for number, line in enumerate(lines, start=1):
        names = {cell.strip(' "') for cell in _ANY_SEPARATOR.split(line)}
        if head.wanted <= names:
            return before + number if number > 1 and head.wanted else 0
    return 0


def _header(head: _Head, separator: str) -> tuple[bool, tuple[str, ...] | None]:
    """Returns whether there is a header, and the names of the columns where it does not say them.

    Raises:
        DatasetError: there are more or fewer columns than the options name, or the header names
            them in another way.
    """
    first, named, stated = head.first(separator), head.options.column_names, head.options.header
    if named is not None and stated is None:
        known = head.wanted | {name for name in named if not name.isdigit()}
        if known & set(first):
            _refuse_other_names(head, first, named)
            return True, named
    if named is None:
        numbers = tuple(str(place) for place in range(1, len(first) + 1))
        return stated is not False, None if stated is not False else numbers
    if len(first) != len(named):
        raise DatasetError(
            f"{head.part} has {_count(len(first))}, separated by {shown_separator(separator)}, and "
            f"--columns names {_count(len(named))}: '{shorten(head.line)}'. Name every column ('_' "
            "for one that is not read), or set --separator"
        )
    return stated is True, named


def _refuse_other_names(head: _Head, first: Sequence[str], named: Sequence[str]) -> None:
    """Refuses names that contradict those in the header; a column that is not read has any."""
    same = len(first) == len(named) and all(
        one == name or name == str(place)
        for place, (one, name) in enumerate(zip(first, named, strict=True), start=1)
    )
    if not same:
        raise DatasetError(
            f"{head.part} names its columns itself, and --columns in another way: "
            f"'{shorten(head.line)}'. Leave --columns out, or add --header to replace the names, "
            "or --no-header if that line is a row"
        )


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns:,} columns"
