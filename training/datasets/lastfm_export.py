"""The dataset ``lastfm-export``: the plays of single accounts, as exporters of Last.fm write them.

Each file is the history of one user. With a header, columns are found by their names; without one,
by their places: artist, album, track, time (comma), or time, track, artist, album and their MBIDs
(tab). Artists have ids as in ``lastfm-360k``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import polars as pl

from training.data.records import Records
from training.datasets.accounts import (
    REASON_REPEATED,
    AccountOptions,
    examples_of_times,
    listed,
    name_users,
    refuse_unusable,
)
from training.datasets.dataset import Dataset
from training.datasets.lastfm import LastfmOptions, identify_artists, note_artists
from training.datasets.reading.encoding import USER, Encoded, encode, records_of
from training.datasets.reading.opening import Part
from training.datasets.reading.record_count import Quoting, RecordCounter
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import (
    SourceFile,
    find_files,
    fingerprinting,
    unpacked,
)
from training.datasets.reading.sources import reading, refuse_binary, shorten
from training.datasets.reading.survey import surveying
from training.datasets.reading.tab_separated import REASON_COLUMNS
from training.datasets.reading.time_form import TimeForm, TimeFormOptions
from training.datasets.reading.times import (
    REASON_PERIOD,
    REASON_TIME,
    from_text,
    is_implausible,
    seconds_of_text,
)
from training.errors import DatasetError

NAME: Final = "lastfm-export"
SOURCE: Final = "https://lastfm.ghan.nl/export/"

_ENDINGS: Final = (".csv", ".tsv", ".txt")
_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("uts", "unixtime", "timestamp", "utc_time", "iso time", "date", "time"),
    "name": ("artist", "artist name", "artist_name", "artistname"),
    "mbid": ("artist_mbid", "artist mbid", "artistmbid"),
}
# Forms without a header: separator and number of columns to the columns of time, name and MBID.
_PLACES: Final[Mapping[tuple[str, int], Mapping[str, int]]] = {
    (",", 4): {"time": 3, "name": 0},
    (";", 4): {"time": 3, "name": 0},
    ("\t", 4): {"time": 3, "name": 0},
    ("\t", 7): {"time": 0, "name": 2, "mbid": 5},
}
# English names of months, whatever the language of this machine.
_DAY_FIRST: Final = ("%d %b %Y, %H:%M", "%d %b %Y %H:%M", "%d %b %Y, %H:%M:%S", "%d %b %Y %H:%M:%S")
# "Wed, " or "Wednesday " before a date.
_DAY_NAME: Final = r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +"
_MENTIONED: Final = re.compile(r"recenttracks-(.+)-\d{9,}")
_REMEDY: Final = (
    "Expected a header such as uts,utc_time,artist,artist_mbid,…, or rows of artist, album, track "
    "and a time such as 31 Jan 2024 12:34"
)
_EXTRA: Final = "\0extra"


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AccountOptions, TimeFormOptions):
    """Options of reading exports."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions(ExportOptions, LastfmOptions):
    """All options of the loader."""


@dataclass(frozen=True, slots=True)
class _Export:
    """How a file is written.

    Attributes:
        separator: one character.
        columns: its number of columns.
        places: role (``time``, ``name``, ``mbid``) to column.
        has_header: whether its first line names the columns.
        user: the name in its header, None where it has none.
    """

    separator: str
    columns: int
    places: Mapping[str, int]
    has_header: bool
    user: str | None = None


def load(path: Path, options: LoadOptions) -> Records:
    """Reads the plays of one account or of several, one record for each.

    Args:
        path: the file of an account, ``-`` for standard input, or a folder, zip archive or
            pattern of such files.
        options: the id of the only user, the form of times, and whether artists without MBID are
            items.

    Raises:
        DatasetError: there is no export, a file is of another kind or damaged, or no play can be
            used.
    """
    files = _find(path)
    with unpacked(files) as parts:
        exports = [_form_of(part) for part in parts]
        owners = [form.user or _user_of(file) for form, file in zip(exports, files, strict=True)]
        users = name_users(owners, path, options)
        count = {
            part: RecordCounter(part, _quoting(form))
            for part, form in zip(parts, exports, strict=True)
        }
        with fingerprinting(parts) as checksums, surveying(*parts, count=count) as survey:
            try:
                plays = _read(parts, exports, users, options.time_form)
            except DatasetError:
                survey.result()  # names the line, if a quotation mark is the cause
                raise
            for number, (part, form) in enumerate(zip(parts, exports, strict=True)):
                read = int((plays["file"] == number).sum())
                survey.result().check([part], read + form.has_header)
            sources = checksums.result()
    encoded = encode(plays.lazy(), ["mbid", "name"], [pl.exclude(USER, "mbid", "name")])
    rows = _check(encoded)
    item_ids = identify_artists(encoded, rows, by_name=not options.drop_items_without_id)
    examples = examples_of_times(encoded, rows, files, options.time_form, takes_form=True)
    refuse_unusable(path, rows, "plays", f"{_REMEDY}. Is it the right file?", examples)
    records = records_of(
        encoded,
        rows,
        item_ids,
        np.ones(len(encoded), dtype=np.float32),
        dataset=NAME,
        sources=sources,
        noted=note_artists(encoded, rows, item_ids),
        timestamps=encoded.rest["time"].fill_null(0).to_numpy(),
    )
    return replace(records, rows=replace(records.rows, examples=examples))


def _find(path: Path) -> list[SourceFile]:
    files = find_files(path)
    if not path.is_dir() and len(files) == 1:
        return files  # a file that is named is read, whatever its name
    exports = [file for file in files if file.name.lower().endswith(_ENDINGS)]
    if not exports:
        also = f"; it holds {listed({file.name for file in files})}" if files else ""
        raise DatasetError(f"{path} holds no *.csv, *.tsv or *.txt of an account{also}")
    return exports


def _user_of(file: SourceFile) -> str | None:
    if file.is_input:
        return None
    stem = PurePosixPath(file.name).stem
    named = _MENTIONED.fullmatch(stem)
    return named[1] if named else stem


def _form_of(file: Part) -> _Export:
    """Finds out how a file is written, by its first line.

    Raises:
        DatasetError: it is no known form.
    """
    refuse_binary(file.plain, file)
    with reading(file), file.plain.open("rb") as opened:
        text = opened.read(2**16).decode("utf-8-sig", errors="replace").lstrip("\r\n")
    first = next(iter(text.splitlines()), "")
    for separator in (",", ";", "\t"):
        cells = next(csv.reader([first], delimiter=separator), [])
        header = [cell.strip().lower() for cell in cells]
        owner = next((cell.partition("#")[2] for cell in cells if _is_owned(cell)), None)
        header = ["date" if _is_owned(cell) else cell for cell in header]
        places = {
            role: header.index(name)
            for role, names in _ROLES.items()
            for name in reversed(names)
            if name in header
        }
        if {"time", "name"} <= places.keys():
            return _Export(separator, len(cells), places, has_header=True, user=owner or None)
        if (by_place := _PLACES.get((separator, len(cells)))) is not None:
            return _Export(separator, len(cells), by_place, has_header=False)
    raise DatasetError(f"{file}: how it is written is unknown: '{shorten(first)}'. {_REMEDY}")


def _is_owned(cell: str) -> bool:
    return cell.strip().lower().startswith("date#")


def _quoting(form: _Export) -> Quoting | None:
    if form.separator == "\t":
        return None
    return Quoting(form.separator.encode(), form.columns, is_certain=False)


def _read(
    files: Sequence[Part],
    exports: Sequence[_Export],
    users: Sequence[str],
    time_form: TimeForm | None,
) -> pl.DataFrame:
    """Returns the plays of all files."""
    frames = []
    for number, (file, form) in enumerate(zip(files, exports, strict=True)):
        columns = [f"column {place}" for place in range(form.columns)]
        with reading(file):
            plays = pl.scan_csv(
                file.plain,
                separator=form.separator,
                has_header=False,
                quote_char=None if form.separator == "\t" else '"',
                encoding="utf8-lossy",
                schema=dict.fromkeys([*columns, _EXTRA], pl.String),
                empty_string_is_null=False,
                missing_columns="insert",
                extra_columns="ignore",
                glob=False,
            ).collect()
        written = pl.col(columns[form.places["time"]]).fill_null("")
        mbid = form.places.get("mbid")
        frames.append(
            plays[int(form.has_header) :].select(
                pl.lit(users[number]).alias(USER),
                (pl.lit("") if mbid is None else pl.col(columns[mbid])).fill_null("").alias("mbid"),
                pl.col(columns[form.places["name"]]).fill_null("").alias("name"),
                written.alias("written"),
                _seconds(written, time_form).alias("time"),
                (pl.col(_EXTRA).fill_null("") != "").alias("extra"),
                pl.lit(number, dtype=pl.Int32).alias("file"),
            )
        )
    same = [USER, "time", "mbid", "name"]
    return pl.concat(frames).with_columns(repeated=pl.col("file") > pl.col("file").min().over(same))


def _seconds(written: pl.Expr, asked: TimeForm | None) -> pl.Expr:
    if asked is not None:
        return asked.seconds_of(written)
    read = seconds_of_text(written)
    date = written.str.strip_chars().str.replace(_DAY_NAME, "")
    return pl.coalesce(read, *(from_text(date, form) for form in _DAY_FIRST))


def _check(encoded: Encoded) -> Rows:
    rest = encoded.rest
    rows = Rows(len(encoded))
    rows.drop(REASON_COLUMNS, rest["extra"].to_numpy())
    rows.drop(REASON_TIME, rest["time"].is_null().to_numpy())
    rows.drop(REASON_PERIOD, is_implausible(rest["time"].fill_null(0).to_numpy()))
    rows.leave_out(REASON_REPEATED, rest["repeated"].to_numpy())
    return rows


DATASET: Final = Dataset(
    name=NAME,
    description="Plays of single accounts, as the usual exporters of Last.fm write them",
    licence="that of each listener: these are personal data",
    source=SOURCE,
    files=("*.csv", "*.tsv", "*.txt", "*.zip"),
    load=load,
    takes_input=True,
    options=ExportOptions,
)
