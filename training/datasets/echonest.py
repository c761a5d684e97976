"""The dataset ``echonest``: the Taste Profile subset of the Million Song Dataset.

``train_triplets.txt`` is tab-separated without a header: user, song, plays. ``unique_tracks.txt``
has track, song, name of the artist and title, separated by ``<SEP>``; ``sid_mismatches.txt`` lists
songs that were matched to a wrong track. McFee, Bertin-Mahieux, Ellis and Lanckriet, "The Million
Song Dataset Challenge", 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from training.data.records import Records
from training.datasets.accounts import NAME_PREFIX, listed
from training.datasets.dataset import Dataset
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    Encoded,
    most_frequent_names,
    records_of,
    too_long,
)
from training.datasets.reading.opening import Part
from training.datasets.reading.record_count import RecordCounter
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import (
    SourceFile,
    files_beside,
    find_files,
    fingerprinting,
    unpacked,
)
from training.datasets.reading.sources import reading, refuse_binary
from training.datasets.reading.survey import surveying
from training.datasets.reading.tab_separated import encode_plays, refuse_without_records
from training.errors import DatasetError

NAME: Final = "echonest"
PLAYS_FILE: Final = "train_triplets.txt"
TRACKS_FILE: Final = "unique_tracks.txt"
MISMATCHES_FILE: Final = "sid_mismatches.txt"
SOURCE: Final = "http://millionsongdataset.com/tasteprofile/"

REASON_NO_ID: Final = "user or song id missing"
REASON_BROKEN_ID: Final = "id with invalid UTF-8"
REASON_MISMATCH: Final = f"song in {MISMATCHES_FILE}, matched to a wrong track"
REASON_NO_ARTIST: Final = f"song without an artist in {TRACKS_FILE}"
REMARK_SONGS: Final = (
    f"the songs are the items, and have no names, since {TRACKS_FILE} does not lie beside "
    f"{PLAYS_FILE}; with it, artists are"
)

_COLUMNS: Final = ("user", "song", "plays")
_EXPECTED: Final = "user, song, plays, separated by tabs"
_SONG: Final = r"<(SO[0-9A-Z]{16}) "
_TRACK: Final = r"^[^<]*<SEP>(SO[0-9A-Z]{16})<SEP>(.*?)<SEP>"
_NO_SEPARATOR: Final = "\x01"


def load(path: Path, options: object) -> Records:
    """Reads the triplets; an artist has the plays of all its songs.

    Args:
        path: the folder of the files, the file of triplets, each as it is or in a zip archive, a
            pattern of them, or ``-`` for triplets from standard input.
        options: unused.

    Raises:
        DatasetError: a file is missing, empty or of another kind, or no row of it can be used.
    """
    del options
    found = _find(path)
    with unpacked(list(found.values())) as unpacked_parts:
        parts = dict(zip(found, unpacked_parts, strict=True))
        plays_file = parts[PLAYS_FILE]
        for part in parts.values():
            refuse_binary(part.plain, part)
        count = {plays_file: RecordCounter(plays_file)}
        with (
            fingerprinting(unpacked_parts) as sources,
            surveying(plays_file, count=count) as survey,
        ):
            encoded, rows, plays = encode_plays(plays_file, survey, _COLUMNS, ("song",))
            _drop_bad_ids(encoded, rows)
            rows.drop_bad_plays(plays)
            ids = _identify(encoded, rows, parts)
            refuse_without_records(plays_file, rows, _EXPECTED)
            records = records_of(
                encoded,
                rows,
                ids,
                plays,
                dataset=NAME,
                sources=sources.result(),
                names=_names(ids) if TRACKS_FILE in parts else None,
            )
    return records if TRACKS_FILE in found else replace(records, remark=REMARK_SONGS)


def _find(path: Path) -> dict[str, SourceFile]:
    """Returns the files that are there, by name."""
    files = find_files(path)
    plays = _first(files, PLAYS_FILE)
    if plays is None and not path.is_dir() and len(files) == 1:
        plays = files[0]  # a file that is named is read, whatever its name
    if plays is None:
        also = f"; it holds {listed({file.name for file in files})}" if files else ""
        raise DatasetError(f"{path} holds no {PLAYS_FILE}{also}. It comes from {SOURCE}")
    found = {PLAYS_FILE: plays}
    for name in (TRACKS_FILE, MISMATCHES_FILE):
        # What lies beside a file that is named belongs to it.
        beside = [] if path.is_dir() else files_beside(plays, name)
        if (file := _first([*files, *beside], name)) is not None:
            found[name] = file
    return found


def _first(files: list[SourceFile], name: str) -> SourceFile | None:
    """Returns the file with a name that lies highest."""
    fitting = [file for file in files if file.name == name]
    return min(fitting, key=lambda file: len(file.place.parts), default=None)


def _drop_bad_ids(encoded: Encoded, rows: Rows) -> None:
    for ids, codes in (
        (encoded.users, encoded.user_codes),
        (encoded.items["song"], encoded.item_codes),
    ):
        rows.drop(REASON_NO_ID, (ids == "").to_numpy()[codes])
        rows.drop(REASON_BROKEN_ID, ids.str.contains(REPLACEMENT, literal=True).to_numpy()[codes])
        rows.drop(REASON_LONG_ID, too_long(ids)[codes])


def _identify(encoded: Encoded, rows: Rows, files: Mapping[str, Part]) -> pl.Series:
    """Returns the item of each song, and drops the rows of songs that have none."""
    songs = encoded.items["song"]
    if MISMATCHES_FILE in files:
        wrong = _lines(files[MISMATCHES_FILE]).select(pl.first().str.extract(_SONG)).to_series()
        marks = songs.is_in(wrong.drop_nulls().unique().implode())
        rows.leave_out(REASON_MISMATCH, marks.to_numpy()[encoded.item_codes])
    if TRACKS_FILE not in files:
        return songs
    artists = _artists(files[TRACKS_FILE])
    if artists.is_empty():
        raise DatasetError(
            f"{files[TRACKS_FILE]} has no line of the form track<SEP>song<SEP>artist<SEP>title; "
            f"is it the right file? It comes from {SOURCE}"
        )
    known = (
        songs.alias("item").to_frame().join(artists, on="item", how="left", maintain_order="left")
    )
    ids = known.select((NAME_PREFIX + pl.col("name")).alias("item")).to_series()
    rows.drop(REASON_NO_ARTIST, ids.is_null().to_numpy()[encoded.item_codes])
    rows.drop(REASON_LONG_ID, too_long(ids)[encoded.item_codes])
    return ids


def _artists(file: Part) -> pl.DataFrame:
    """Returns the artist of each song; of several, the most frequent one."""
    groups = pl.first().str.extract_groups(_TRACK)
    tracks = _lines(file).select(
        groups.struct.field("1").alias("item"), groups.struct.field("2").alias("name"), rows=1
    )
    return most_frequent_names(tracks.drop_nulls())


def _lines(file: Part) -> pl.DataFrame:
    with reading(file):
        return pl.read_csv(
            file.plain,
            separator=_NO_SEPARATOR,
            has_header=False,
            quote_char=None,
            encoding="utf8-lossy",
            schema={"line": pl.String},
            truncate_ragged_lines=True,
        )


def _names(ids: pl.Series) -> pl.DataFrame:
    known = ids.drop_nulls().unique()
    return pl.DataFrame({"item": known, "name": known.str.strip_prefix(NAME_PREFIX)})


DATASET: Final = Dataset(
    name=NAME,
    description="Plays of songs by 1 million users, 48.4 million rows (Taste Profile subset)",
    licence="for research, see its page; cite the Million Song Dataset",
    source=SOURCE,
    files=(PLAYS_FILE, TRACKS_FILE, MISMATCHES_FILE),
    load=load,
    takes_input=True,
)
