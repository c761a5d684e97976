"""Writes random records in random dialects, and says what reading them back gave.

The writer shares no code with the reader. ``benchmarks/round_trip.py`` runs many examples.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
from backports import zstd
from hypothesis import strategies as st

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.table import load
from training.errors import DatasetError

COLUMNS: Final = ("user_id", "item_id", "weight", "name", "timestamp", "track")
SEPARATORS: Final = (",", ";", "\t", "|", "::")
# Encoding of the text, and the bytes before it.
ENCODINGS: Final[Mapping[str, tuple[str, bytes]]] = {
    "utf-8": ("utf-8", b""),
    "utf-8 with mark": ("utf-8", b"\xef\xbb\xbf"),
    "utf-16 little": ("utf-16-le", b"\xff\xfe"),
    "utf-16 big": ("utf-16-be", b"\xfe\xff"),
    "cp1252": ("cp1252", b""),
    "latin-1": ("latin-1", b""),
}
NUMBERS: Final = (
    (".", ""),
    (",", ""),
    (".", ","),
    (",", "."),
    (".", "'"),
    (",", " "),
    (",", "\xa0"),
)
PIECES: Final = (
    *"\",;\t|:\n\r ' .07aZé\xa0\0",
    *(
        "\u2019",
        "€",
        "漢",
        "🎵",
        "e\u0301",
        "Ã©",
        '""',
        "::",
        "\r\n",
        "NULL",
        "1,5",
        "1::2::3",
        "sep=;",
    ),
    *("u1", "x1", "Björk", "Weird Al", "user_id", '12" Mix'),
)


def _zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plays.csv", content)
    return file.getvalue()


COMPRESSIONS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": _zipped,
}


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


TIMES: Final[Mapping[str, Callable[[int], str]]] = {
    "seconds": str,
    "milliseconds": lambda seconds: f"{seconds}250",
    "nanoseconds": lambda seconds: f"{seconds}250000000",
    "fraction": lambda seconds: f"{seconds}.25",
    "iso": lambda seconds: _moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso with offset": lambda seconds: (
        _moment(seconds).astimezone(timezone(timedelta(hours=2))).isoformat(" ")
    ),
    "%d/%m/%Y %H:%M:%S": lambda seconds: _moment(seconds).strftime("%d/%m/%Y %H:%M:%S"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """A row: as text, but for its plays and its time in seconds."""

    user: str
    item: str
    plays: float
    name: str
    time: int
    track: str


@dataclass(frozen=True, slots=True)
class Written:
    """A way of writing a table; ``is_told`` says whether options name all of it."""

    separator: str
    quoting: str
    line_end: str
    encoding: str
    ending: str
    compression: str
    has_header: bool
    has_separator_line: bool
    decimal: str
    thousands: str
    time: str
    order: tuple[str, ...]
    is_told: bool

    def number(self, value: float) -> str:
        """Writes plays."""
        whole, _, fraction = f"{value:,.4f}".rstrip("0").partition(".")
        text = whole.replace(",", self.thousands)
        return f"{text}{self.decimal}{fraction}" if fraction else text

    def fields(self, record: Record) -> list[str]:
        """Writes the fields of a row."""
        time = TIMES[self.time](record.time)
        if self.time == "fraction":
            time = time.replace(".", self.decimal)
        by_column = {
            "user_id": record.user,
            "item_id": record.item,
            "weight": self.number(record.plays),
            "name": record.name,
            "timestamp": time,
            "track": record.track,
        }
        return [by_column[column] for column in self.order]

    def line(self, fields: list[str]) -> str:
        """Writes a row."""
        return self.separator.join(map(self._quoted, fields)) + self.line_end

    def _quoted(self, field: str) -> str:
        needed = any(one in field for one in (self.separator, '"', "\n", "\r")) or not field
        if self.quoting == "all" or (self.quoting == "minimal" and needed):
            return '"' + field.replace('"', '""') + '"'
        return field

    def content(self, records: list[Record]) -> bytes:
        """Writes a table."""
        lines = [f"sep={self.separator}{self.line_end}"] if self.has_separator_line else []
        lines += [self.line(list(self.order))] if self.has_header else []
        lines += [self.line(self.fields(record)) for record in records]
        codec, mark = ENCODINGS[self.encoding]
        return COMPRESSIONS[self.compression](mark + "".join(lines).encode(codec))

    def options(self, records: list[Record]) -> LoadOptions:
        """Returns the options without which the table has two meanings, or all of them."""
        told: dict[str, Any] = {"timestamp_column": "timestamp"}
        if not self.has_header:
            told["columns"] = ",".join(self.order)
        if self.encoding in {"cp1252", "latin-1"}:
            told["encoding"] = self.encoding
        if self.time.startswith("%"):
            told["timestamp_format"] = self.time
        if self.separator != "::":
            has_marks = any('"' in self.line(self.fields(record)) for record in records)
            if self.is_told or has_marks:
                told["quoting"] = self.quoting != "none"
        if self.is_told:
            told |= {
                "separator": self.separator,
                "header": self.has_header,
                "decimal": self.decimal,
                "thousands": self.thousands or None,
            }
        return LoadOptions(**told)


TEXT: Final = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
ID: Final = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join)
PLAYS: Final = st.one_of(
    st.integers(1, 999),
    st.integers(1000, 5_000_000),
    st.sampled_from([0.5, 2.25, 4.625, 1234.5, 1000.125]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Written, list[Record]]:
    """Draws a way of writing, and records that can be written so."""
    separator = draw(st.sampled_from(SEPARATORS))
    numbers = draw(st.sampled_from(NUMBERS))
    quotings = ["all", "minimal"] if separator in numbers else ["all", "minimal", "none"]
    written = Written(
        separator=separator,
        quoting="none" if separator == "::" else draw(st.sampled_from(quotings)),
        line_end=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        encoding=draw(st.sampled_from(list(ENCODINGS))),
        ending=draw(st.sampled_from([".csv", ".tsv", ".txt", ".dat", ""])),
        compression=draw(st.sampled_from(list(COMPRESSIONS))),
        has_header=draw(st.booleans()),
        has_separator_line=separator != "::" and draw(st.sampled_from([False, False, True])),
        decimal=numbers[0],
        thousands=numbers[1],
        time=draw(st.sampled_from(list(TIMES))),
        order=tuple(draw(st.permutations(COLUMNS))),
        is_told=draw(st.booleans()),
    )
    records = draw(
        st.lists(
            st.builds(Record, ID, ID, PLAYS, TEXT, st.integers(700_000_000, 1_700_000_000), TEXT),
            min_size=1,
            max_size=8,
        )
    )
    # A colon beside a double one is refused; most tables have none.
    edges = "" if draw(st.sampled_from([False, False, False, True])) else ":"
    return written, [writable(record, written, edges) for record in records]


def writable(record: Record, written: Written, edges: str) -> Record:
    """Returns a record without the characters that the dialect cannot write.

    Args:
        record: with any characters.
        written: the dialect.
        edges: what is taken off the ends of fields between double colons.
    """

    def text(field: str, default: str) -> str:
        codec, _ = ENCODINGS[written.encoding]
        field = field.encode(codec, errors="ignore").decode(codec)
        if written.quoting == "none":
            for one in ("\r", "\n", written.separator[0] if written.separator != "::" else "\0"):
                field = field.replace(one, "")
            while "::" in field and written.separator == "::":
                field = field.replace("::", ":")
            field = field.strip(edges) if edges and written.separator == "::" else field
        return field or default

    return replace(
        record,
        user=text(record.user, "u"),
        item=text(record.item, "x"),
        name=text(record.name, ""),
        track=text(record.track, ""),
    )


def outcome(written: Written, records: list[Record], folder: Path) -> str:
    """Returns ``equal``, ``refused``, ``counted`` (rows were dropped with a reason) or an account.

    Args:
        written: how to write them.
        records: what to write.
        folder: where to.
    """
    file = folder / f"plays{written.ending}{written.compression}"
    file.write_bytes(written.content(records))
    try:
        found = load(file, written.options(records))
    except DatasetError as error:
        return f"refused: {error}"
    expected = Counter(
        (one.user, one.item, float(np.float32(one.plays)), one.time) for one in records
    )
    rows = Counter(_rows(found))
    if found.rows.read != len(records) or rows - expected:
        return f"different: {rows - expected} instead of {expected - rows}; {found.rows}"
    if expected - rows:
        is_counted = found.rows.read == found.rows.taken + sum(found.rows.dropped.values())
        return f"counted: {found.rows.dropped}" if is_counted else "different: rows are missing"
    names = dict(zip(found.item_ids, found.items.names, strict=True))
    return "equal" if names == names_of(records) else f"different: {names}, {names_of(records)}"


def _rows(found: Records) -> list[tuple[str, str, float, int]]:
    assert found.timestamps is not None
    return [
        (found.user_ids[int(user)], found.item_ids[int(item)], float(plays), int(time))
        for user, item, plays, time in zip(
            found.user_codes, found.item_codes, found.plays, found.timestamps, strict=True
        )
    ]


def names_of(records: list[Record]) -> dict[str, str]:
    """Returns the most frequent name of each item, of several the lowest, or else its id."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[record.item][record.name] += 1
    return {
        item: min(
            (name for name in found if name),
            key=lambda name: (-found[name], name.encode()),
            default=item,
        )
        for item, found in counts.items()
    }
