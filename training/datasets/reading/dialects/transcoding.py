"""Text in other encodings, or separated by ``::``, is written anew as the parser takes it.

It goes in blocks to a temporary file. UTF-8 separated by one byte is read as it lies there.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from training.datasets.reading.compression import spool
from training.datasets.reading.dialects.options import DOUBLE_COLON, DialectOptions
from training.datasets.reading.opening import Part, head_of, is_parquet
from training.datasets.reading.sources import reading, shorten
from training.errors import DatasetError

# Stands for ``::``; the ASCII character that was made to separate fields.
UNIT_SEPARATOR: Final = "\x1f"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK_BYTES: Final = 2**20
_MOST_COLONS: Final = 1_000
_COLONS: Final = re.compile(rb":{2,}")
_ASCII: Final = frozenset(["ascii", "utf-8", "utf-8-sig"])
# Without a mark, these leave the order of the bytes open.
_UNORDERED: Final = frozenset(["utf-16", "utf-32"])


def mark_of(head: bytes) -> str | None:
    """Returns the encoding that a byte order mark names, None without one."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def decoded(parts: Sequence[Part], options: DialectOptions, place: Path) -> list[Part]:
    """Returns the parts as UTF-8.

    Args:
        parts: of a table.
        options: the encoding; without one, UTF-8, or UTF-16 where a mark says so.
        place: a folder for temporary files.

    Raises:
        DatasetError: a part does not have this encoding.
    """
    return [
        part if is_parquet(part) else _decoded(part, options, place / f"decoded-{number}")
        for number, part in enumerate(parts)
    ]


def _decoded(part: Part, options: DialectOptions, target: Path) -> Part:
    head = head_of(part)
    mark, codec = mark_of(head), options.codec
    if mark is not None and codec is not None and not codec.startswith(mark):
        raise DatasetError(
            f"{part} begins with the mark of {mark.upper()}, so it is not {options.encoding}; "
            "leave --encoding out"
        )
    if mark not in {None, "utf-8"}:
        codec = mark  # which also says the order of the bytes
    if codec is None:
        if mark is None:
            _refuse_unmarked(part, head)
        return part
    if head and mark is None and codec in _UNORDERED:
        raise DatasetError(
            f"{part} has no byte order mark, which --encoding {options.encoding} needs; name the "
            f"order of the bytes ({codec}-le or {codec}-be), or leave --encoding out for UTF-8"
        )
    with reading(part), part.plain.open("rb") as file:
        stream = _Decoding(file, codec, options.encoding or codec, part)
        if codec in _ASCII:
            stream.drain()
            return part
        spool(stream, target, shown=part)
    return replace(part, plain=target)


def _refuse_unmarked(part: Part, head: bytes) -> None:
    """Refuses UTF-16 without a mark, in which every second byte of most texts is zero."""
    for first, order in ((1, "le"), (0, "be")):
        is_text = 0 not in head[1 - first :: 2]
        if len(head) >= 4 and is_text and 2 * head[first::2].count(0) > len(head[first::2]):
            raise DatasetError(
                f"{part} looks like UTF-16 without its mark; --encoding utf-16-{order} reads it"
            )


class _Decoding:
    """A stream of text in another encoding, as UTF-8.

    Args:
        file: the text.
        codec: its encoding.
        shown: the name of the encoding, for messages.
        part: the file, for messages.
    """

    def __init__(self, file: IO[bytes], codec: str, shown: str, part: Part) -> None:
        self._file = file
        self._codec = codec
        self._shown = shown
        self._part = part
        self._decoder = codecs.getincrementaldecoder(codec)()
        # Text with other characters than ASCII that is valid UTF-8 is hardly ever anything else.
        is_unicode = codec.startswith("utf")
        self._other = None if is_unicode else codecs.getincrementaldecoder("utf-8")()
        self._is_ascii = True
        self._lines = 0
        self._returns = 0
        self._pending = memoryview(b"")
        self._is_at_end = False

    def readinto(self, buffer: Any, /) -> int:
        """Reads the next bytes; returns their number, 0 at the end.

        Raises:
            DatasetError: the text does not have the encoding.
        """
        while not self._pending and not self._is_at_end:
            text = self._next()
            try:
                self._pending = memoryview(text.encode())
            except UnicodeEncodeError as error:
                raise DatasetError(
                    f"{self._part} is not {self._shown}: it holds half of a pair of surrogates, "
                    f"{error.object[error.start]!a}, which is no character. --encoding names "
                    "another one"
                ) from error
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def drain(self) -> None:
        """Reads to the end, for the sake of the errors.

        Raises:
            DatasetError: the text does not have the encoding.
        """
        while not self._is_at_end:
            self._next()

    def close(self) -> None:
        """Does nothing: the file belongs to the caller."""

    def _next(self) -> str:
        block = self._file.read(_BLOCK_BYTES)
        self._is_at_end = not block
        try:
            text = self._decoder.decode(block, final=self._is_at_end)
        except UnicodeDecodeError as error:
            self._refuse(error)
        self._compare(block, text)
        self._lines += text.count("\n")
        self._returns += text.count("\r")
        return text

    def _refuse(self, error: UnicodeDecodeError) -> NoReturn:
        if self._is_at_end:
            raise DatasetError(
                f"{self._part} ends in the middle of a character, if it is {self._shown}; fetch or "
                "write it again"
            ) from error
        before = error.object[: error.start].decode(self._codec, errors="replace")
        after = error.object[error.start : error.start + 40].decode(self._codec, errors="replace")
        lines = (self._lines + before.count("\n")) or (self._returns + before.count("\r"))
        line = re.split(r"[\r\n]", before)[-1] + re.split(r"[\r\n]", after)[0]
        bad = error.object[error.start : error.end].hex(" ")
        raise DatasetError(
            f"{self._part} is not {self._shown}: line {lines + 1} has the bytes {bad}: "
            f"'{shorten(line)}'. --encoding names another one"
        ) from error

    def _compare(self, block: bytes, text: str) -> None:
        """Refuses UTF-8 under another name, which would garble all but ASCII."""
        if self._other is None:
            return
        self._is_ascii &= block.isascii()
        try:
            self._other.decode(block, final=self._is_at_end)
        except UnicodeDecodeError:
            self._other = None
            return
        if self._is_at_end and not self._is_ascii:
            raise DatasetError(
                f"{self._part} is UTF-8, and --encoding {self._shown} would garble its "
                "letters; leave it out"
            )


def separated(part: Part, target: Path) -> Part:
    """Returns a part with one byte in the place of each ``::``.

    Args:
        part: text in UTF-8.
        target: a new file.

    Raises:
        DatasetError: it is unclear where a field ends, or the byte stands in the text already.
    """
    with reading(part), part.plain.open("rb") as file:
        spool(_Separating(file, part), target, shown=part)
    return replace(part, plain=target)


class _Separating:
    """A stream of text with a single byte for ``::``; a single colon stays.

    Args:
        file: the text.
        part: the file, for messages.
    """

    def __init__(self, file: IO[bytes], part: Part) -> None:
        self._file = file
        self._part = part
        self._rest = b""
        self._lines = 0
        self._pending = memoryview(b"")
        self._is_at_end = False

    def readinto(self, buffer: Any, /) -> int:
        """Reads the next bytes; returns their number, 0 at the end.

        Raises:
            DatasetError: see ``separated``.
        """
        while not self._pending and not self._is_at_end:
            self._pending = memoryview(self._next())
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def close(self) -> None:
        """Does nothing: the file belongs to the caller."""

    def _next(self) -> bytes:
        block = self._file.read(_BLOCK_BYTES)
        self._is_at_end = not block
        text = self._rest + block
        # Colons at the end of a block may go on in the next one.
        end = len(text) if self._is_at_end else len(text.rstrip(b":"))
        text, self._rest = text[:end], text[end:]
        if len(self._rest) > _MOST_COLONS:
            self._refuse(self._rest, 0, f"has more than {_MOST_COLONS:,} colons in a row")
        self._check(text)
        self._lines += text.count(b"\n")
        return text.replace(DOUBLE_COLON.encode(), UNIT_SEPARATOR.encode())

    def _check(self, text: bytes) -> None:
        if (at := text.find(UNIT_SEPARATOR.encode())) >= 0:
            self._refuse(text, at, "holds the control character U+001F; take it out")
        if b":::" not in text:
            return
        for colons in _COLONS.finditer(text):
            if len(colons[0]) % 2:
                self._refuse(
                    text,
                    colons.start(),
                    f"has {len(colons[0])} colons in a row, so it is unclear where a field ends; "
                    "write it with another separator",
                )

    def _refuse(self, text: bytes, at: int, what: str) -> None:
        end = b"\n" if b"\n" in text else b"\r"
        begin = text.rfind(end, 0, at) + 1
        line = re.split(rb"[\r\n]", text[begin : begin + 400])[0].decode(errors="replace")
        number = self._lines + text.count(end, 0, at) + 1
        raise DatasetError(f"{self._part}: line {number} {what}: '{shorten(line)}'")
