"""Counts the records of a text file without the parser that reads them.

A stray quotation mark can make a parser silently read many rows as one. So the records are counted
a second time, by the beginnings and ends of quoted fields (RFC 4180), and a file is refused where
those are not clear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from training.datasets.reading.sources import shorten
from training.errors import DatasetError

_QUOTE: Final = ord('"')
_NEWLINE: Final = b"\n"
_RETURN: Final = ord("\r")
_MARK: Final = b"\xef\xbb\xbf"
_QUOTED_PART: Final = re.compile(rb'"[^"]*"')
# In a longer quoted field the quotation mark was most likely never closed.
_LONGEST_RECORD: Final = 2**24
_REMEDY: Final = (
    'Double a quotation mark that is a character and put its field in quotation marks ("12"" Mix"),'
    " or give --no-quoting if quotation marks are only characters"
)


@dataclass(frozen=True, slots=True)
class Quoting:
    """The format of a file with quoted fields.

    Attributes:
        separator: one byte, between fields.
        columns: number of columns in the header.
        is_certain: whether an option says that fields are quoted. Otherwise a quoted field of
            several lines is refused if most of the lines could be records of their own.
    """

    separator: bytes
    columns: int
    is_certain: bool = False


class RecordCounter:
    """Counts records in blocks of text; a record ends at a line end outside of quoted fields.

    Args:
        path: the file, for messages.
        quoting: None for a file in which each line is a record.
        has_header: whether there is a header; blank lines before it are no records.
        skipped: lines before the header or the first record that are no records either.
        line_end: one byte. Where it is CR, a line that ends in LF is refused.
        shape: the separator of an unquoted file and its number of columns. With it, or with
            ``quoting``, rows between which CR stands alone are refused, as they would be one row.
    """

    def __init__(
        self,
        path: object,
        quoting: Quoting | None = None,
        *,
        has_header: bool = False,
        skipped: int = 0,
        line_end: bytes = _NEWLINE,
        shape: tuple[bytes, int] | None = None,
    ) -> None:
        self._path = path
        self._quoting = quoting
        self._skips_blank = has_header
        self._skipped = skipped
        self._end = line_end
        self._shape = shape if quoting is None else (quoting.separator, quoting.columns)
        self._rest = b""
        self._records = 0
        self._lines = 0
        self._is_first = True
        self._room = np.empty(0, dtype=np.bool_)

    def feed(self, block: bytes | memoryview) -> None:
        """Counts the next part of the file.

        Raises:
            DatasetError: a quotation mark stands where it may not, or its field is too long.
        """
        if self._is_first or self._skipped or self._skips_blank:
            block = self._begin(bytes(block))
        if self._quoting is None:
            self._check_ends(block)
            is_end = np.frombuffer(block, np.uint8) == self._end[0]
            found = int(np.count_nonzero(is_end))
            self._records, self._lines = self._records + found, self._lines + found
            self._rest = bytes(block[-1:]) or self._rest
            return
        text = self._rest + block
        end = self._end_of_records(text, self._quoting)
        self._rest = text[end:]
        if len(self._rest) > _LONGEST_RECORD:
            self._refuse_open()

    def _begin(self, block: bytes) -> bytes:
        """Removes the byte order mark, lines to skip, and blank lines before a header."""
        if self._is_first:
            block, self._is_first = block.removeprefix(_MARK), False
        while self._skipped:
            _, end, block = block.partition(self._end)
            if not end:
                return b""
            self._skipped, self._lines = self._skipped - 1, self._lines + 1
        if self._skips_blank:
            content = block.lstrip(b"\r\n")
            self._lines += block.count(self._end, 0, len(block) - len(content))
            block, self._skips_blank = content, not content
        return block

    def finish(self) -> int:
        """Returns the number of records.

        Raises:
            DatasetError: a quoted field is open at the end.
        """
        if self._quoting is None:
            return self._records + (self._rest not in {b"", self._end})
        if self._rest:
            text, self._rest = self._rest + self._end, b""
            if self._end_of_records(text, self._quoting) < len(text):
                self._rest = text
                self._refuse_open()
        return self._records

    def _end_of_records(self, text: bytes, quoting: Quoting) -> int:
        """Counts the complete records at the beginning of a text; returns where they end."""
        content = np.frombuffer(text, dtype=np.uint8)
        room = self._room_for(len(content))
        newline = _bits(content, self._end[0], room)
        self._check_ends(text)
        if b'"' not in text or _is_regular(text, newline, quoting.separator[0], room):
            found = int(np.bitwise_count(newline).sum())
            self._records, self._lines = self._records + found, self._lines + found
            return text.rfind(self._end) + 1
        quotes = np.flatnonzero(content == _QUOTE)
        newlines = np.flatnonzero(content == self._end[0])
        is_quoted = (np.searchsorted(quotes, newlines) & 1).astype(bool)
        ends = newlines[~is_quoted]
        if not len(ends):
            return 0
        end = int(ends[-1]) + 1
        quotes = quotes[: np.searchsorted(quotes, end)]
        self._check_quotes(text, content, quotes, quoting)
        if is_quoted.any() and not quoting.is_certain:
            self._doubt_long_fields(text, ends, newlines[is_quoted & (newlines < end)], quoting)
        self._records += len(ends)
        self._lines += int(np.searchsorted(newlines, end))
        return end

    def _room_for(self, length: int) -> NDArray[np.bool_]:
        if len(self._room) < length:
            self._room = np.empty(2 * length, dtype=np.bool_)
        return self._room[:length]

    def _check_quotes(
        self, text: bytes, content: NDArray[np.uint8], quotes: NDArray[np.intp], quoting: Quoting
    ) -> None:
        """Refuses a quotation mark in the middle of a field, unless it makes no difference.

        Args:
            text: whole records.
            content: the bytes of ``text``, and possibly more.
            quotes: positions of its quotation marks, an even number.
            quoting: the format.
        """
        separator, newline = quoting.separator[0], self._end[0]
        openers, closers = quotes[0::2], quotes[1::2]
        before = content[openers - 1]
        begins = (before == separator) | (before == newline) | (openers == 0)
        # An opening mark directly after a closing one is the second half of a doubled mark.
        goes_on = np.zeros(len(openers), dtype=bool)
        goes_on[1:] = openers[1:] == closers[:-1] + 1
        after = content[closers + 1]
        ends = (after == separator) | (after == newline) | (after == _RETURN)
        ends[:-1] |= goes_on[1:]
        is_odd = ~(begins | goes_on)
        for pair in np.flatnonzero(is_odd).tolist():
            place = pair
            while place == pair or (place < len(openers) and goes_on[place]):
                inside = text[openers[place] : closers[place]]
                if self._end in inside or inside.endswith(quoting.separator):
                    self._refuse_quote(text, int(openers[place]), None)
                ends[place] = True  # two characters of one field that is not quoted
                place += 1
        if not ends.all():
            pair = int(np.argmin(ends))
            while goes_on[pair] and not is_odd[pair]:
                pair -= 1
            self._refuse_quote(text, int(closers[np.argmin(ends)]), int(openers[pair]))

    def _doubt_long_fields(
        self,
        text: bytes,
        ends: NDArray[np.intp],
        inner: NDArray[np.intp],
        quoting: Quoting,
    ) -> None:
        """Refuses a record of several lines if most of these look like records themselves."""
        for record in np.unique(np.searchsorted(ends, inner)).tolist():
            begin = int(ends[record - 1]) + 1 if record else 0
            lines = text[begin : int(ends[record])].split(self._end)
            fits = [line.count(quoting.separator) == quoting.columns - 1 for line in lines]
            if fits[0] and fits[-1] and 2 * sum(fits) > len(fits):
                first = self._line_of(text, begin)
                raise DatasetError(
                    f"{self._path}: a quotation mark in line {first} begins a field that ends in "
                    f"line {first + len(lines) - 1}, but these lines look like rows of their own: "
                    f"'{shorten(lines[0].decode(errors='replace'))}'. Give --quoting if one field "
                    "holds them all, --no-quoting if quotation marks are only characters, or "
                    "correct the line"
                )

    def _check_ends(self, block: bytes | memoryview) -> None:
        """Refuses a line end of another kind, outside of quotation marks."""
        if self._end != _NEWLINE:
            self._refuse_newlines(bytes(block))
        elif self._shape is not None:
            text = bytes(block)
            if b"\r" in text and text.count(b"\r") > text.count(b"\r\n"):
                self._doubt_returns(text, *self._shape)

    def _refuse_newlines(self, text: bytes) -> None:
        content = np.frombuffer(text, dtype=np.uint8)
        feeds = np.flatnonzero(content == _NEWLINE[0])
        if self._quoting is not None:
            quotes = np.flatnonzero(content == _QUOTE)
            feeds = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
        if len(feeds):
            raise DatasetError(
                f"{self._path}: line {self._line_of(text, int(feeds[0]))} ends in LF, and the "
                "lines before it in CR alone; write the file with one kind of line ends"
            )

    def _doubt_returns(self, text: bytes, separator: bytes, columns: int) -> None:
        """Refuses a line that CR divides into rows; elsewhere CR is a character."""
        start = 0
        for line in text.split(_NEWLINE) if columns > 1 else ():
            bare = line if self._quoting is None else _QUOTED_PART.sub(b"", line)
            rows = bare.removesuffix(b"\r").split(b"\r")
            if len(rows) > 1 and sum(row.count(separator) == columns - 1 for row in rows) > 1:
                raise DatasetError(
                    f"{self._path}: line {self._line_of(text, start)} holds {len(rows)} rows that "
                    f"end in CR alone: '{shorten(line.decode(errors='replace'))}'; write the file "
                    "with one kind of line ends"
                )
            start += len(line) + 1

    def _refuse_quote(self, text: bytes, at: int, opener: int | None) -> NoReturn:
        line = self._line_of(text, at)
        begin = text.rfind(self._end, 0, at) + 1
        shown = shorten(text[begin : text.find(self._end, at)].decode(errors="replace"))
        since = ""
        if opener is not None and (first := self._line_of(text, opener)) != line:
            since = f", in a quoted field that begins in line {first}"
        raise DatasetError(
            f"{self._path}: in line {line} a quotation mark stands in the middle of a field"
            f"{since}, so it is unclear where rows end: '{shown}'. {_REMEDY}"
        )

    def _refuse_open(self) -> NoReturn:
        text = self._rest
        newlines = (at for at, byte in enumerate(text) if byte == self._end[0])
        inner = next((at for at in newlines if text.count(b'"', 0, at) % 2), len(text))
        opener = text.rfind(b'"', 0, inner)
        shown = shorten(text[text.rfind(self._end, 0, opener) + 1 : inner].decode(errors="replace"))
        raise DatasetError(
            f"{self._path}: in line {self._line_of(text, opener)} a quotation mark is opened and "
            f"never closed: '{shown}'. {_REMEDY}"
        )

    def _line_of(self, text: bytes, at: int) -> int:
        """Returns the line number, from 1, of a position in the present text."""
        return self._lines + text.count(self._end, 0, at) + 1


def _is_regular(
    text: bytes, newline: NDArray[np.uint64], separator: int, room: NDArray[np.bool_]
) -> bool:
    """Returns whether every quotation mark begins, ends or is doubled in a field of one line.

    Handles 64 characters at a time, one bit each, as simdjson does (Langdale and Lemire, "Parsing
    gigabytes of JSON per second", 2019, section 3.1): handling quotation marks one by one takes
    several times as long.

    Args:
        text: begins with a record; the last record may be cut off.
        newline: its line ends, from ``_bits``.
        separator: between fields.
        room: see ``_bits``.
    """
    content = np.frombuffer(text, dtype=np.uint8)
    quote = _bits(content, _QUOTE, room)
    inside = _from_odd_to_even(quote)
    if (newline & inside).any():
        return False
    edge = quote | newline | _bits(content, separator, room)
    follows = edge << 1
    follows[1:] |= edge[:-1] >> 63
    follows[0] |= 1
    if (quote & inside & ~follows).any():
        return False
    if b"\r" in text:
        edge |= _bits(content, _RETURN, room)
    precedes = edge >> 1
    precedes[:-1] |= edge[1:] << 63
    # The character after the last one comes with the next block.
    precedes[-1] |= np.uint64(1) << np.uint64((len(content) - 1) % 64)
    return not (quote & ~inside & ~precedes).any()


def _bits(
    content: NDArray[np.uint8], character: int, room: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Returns one bit for each byte, set where it is a given character; the first bit is lowest.

    Args:
        content: the bytes.
        character: the character to find.
        room: memory to work in, of the length of ``content``; allocating it would take longer.
    """
    packed = np.zeros(-(-len(content) // 64) * 8, dtype=np.uint8)
    np.equal(content, character, out=room)
    packed[: -(-len(content) // 8)] = np.packbits(room, bitorder="little")
    return packed.view("<u8")


def _from_odd_to_even(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sets all bits from each odd-numbered set bit up to, but not including, the next set bit."""
    parity = bits.copy()
    for places in (1, 2, 4, 8, 16, 32):
        parity ^= parity << places
    carried = np.bitwise_xor.accumulate(parity >> 63)
    parity[1:] ^= np.uint64(0) - carried[:-1]
    return parity
