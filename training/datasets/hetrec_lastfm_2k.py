"""The dataset ``hetrec-lastfm-2k``: the artists of 2,000 users of Last.fm, from HetRec 2011.

Tab-separated with a header: ``user_artists.dat`` has user, artist and plays; ``artists.dat`` has
the number, name and two addresses of each artist. Cantador, Brusilovsky and Kuflik, RecSys 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.records import Records
from training.datasets.dataset import Dataset, Download
from training.datasets.lastfm import LICENCE
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    Encoded,
    most_frequent_names,
    records_of,
    too_long,
)
from training.datasets.reading.opening import Part, opening_file
from training.datasets.reading.record_count import RecordCounter
from training.datasets.reading.rows import Rows
from training.datasets.reading.sources import find_file, reading
from training.datasets.reading.survey import surveying
from training.datasets.reading.tab_separated import encode_plays, refuse_without_records, scan

NAME: Final = "hetrec-lastfm-2k"
PLAYS_FILE: Final = "user_artists.dat"
ARTISTS_FILE: Final = "artists.dat"
SUBFOLDER: Final = "hetrec2011-lastfm-2k"
SOURCE: Final = "https://grouplens.org/datasets/hetrec-2011/"

REASON_NO_ID: Final = "user or artist id missing"
REASON_BROKEN_ID: Final = "id with invalid UTF-8"
NOTE_NAMELESS: Final = "artist without a name in artists.dat, shown by its id"
NOTE_BROKEN_NAME: Final = "name with invalid UTF-8, shown with U+FFFD"

_HEADERS: Final = ("userID", "//userID")
_COLUMNS: Final = ("user", "artist", "plays")
_ARTIST_COLUMNS: Final = ("item", "name", "url", "picture")
_EXPECTED: Final = "userID, artistID, weight, separated by tabs"


def load(path: Path, options: object) -> Records:
    """Reads the plays and the names of artists.

    Args:
        path: the folder of both files.
        options: unused.

    Raises:
        DatasetError: a file is missing, empty or of another kind, or no row of it can be used.
    """
    del options
    found = find_file(path, PLAYS_FILE, subfolder=SUBFOLDER, source=SOURCE)
    names = find_file(found.parent, ARTISTS_FILE, subfolder=SUBFOLDER, source=SOURCE)
    with opening_file(found) as plays_file, opening_file(names) as artists_file:
        return _read(plays_file, artists_file)


def _read(plays_file: Part, artists_file: Part) -> Records:
    count = {plays_file: RecordCounter(plays_file)}
    with surveying(plays_file, artists_file, count=count) as survey:
        encoded, rows, plays = encode_plays(plays_file, survey, _COLUMNS, ("artist",))
        _ignore_header(encoded, rows)
        _drop_bad_ids(rows, encoded.users, encoded.user_codes)
        _drop_bad_ids(rows, encoded.items["artist"], encoded.item_codes)
        rows.drop_bad_plays(plays)
        refuse_without_records(plays_file, rows, _EXPECTED)
        names = _read_names(artists_file)
        return records_of(
            encoded,
            rows,
            encoded.items["artist"],
            plays,
            dataset=NAME,
            sources=survey.result().sources,
            noted=_notes(encoded, rows, names),
            names=names,
        )


def _ignore_header(encoded: Encoded, rows: Rows) -> None:
    is_header = np.zeros(len(encoded), dtype=bool)
    is_header[:1] = [encoded.users[int(code)] in _HEADERS for code in encoded.user_codes[:1]]
    rows.ignore(is_header)


def _drop_bad_ids(rows: Rows, ids: pl.Series, codes: NDArray[np.int32]) -> None:
    rows.drop(REASON_NO_ID, (ids == "").to_numpy()[codes])
    rows.drop(REASON_BROKEN_ID, ids.str.contains(REPLACEMENT, literal=True).to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(ids)[codes])


def _read_names(file: Part) -> pl.DataFrame:
    with reading(file):
        artists = scan(file, _ARTIST_COLUMNS).select("item", "name", rows=1).collect()
    return most_frequent_names(artists)


def _notes(encoded: Encoded, rows: Rows, names: pl.DataFrame) -> dict[str, int]:
    played = encoded.items["artist"].gather(encoded.item_codes[rows.usable])
    broken = names.filter(pl.col("name").str.contains(REPLACEMENT, literal=True))
    return {
        NOTE_NAMELESS: int((~played.is_in(names["item"].implode())).sum()),
        NOTE_BROKEN_NAME: int(played.is_in(broken["item"].implode()).sum()),
    }


DATASET: Final = Dataset(
    name=NAME,
    description="Artists of 1,892 users of Last.fm, 92,834 rows",
    licence=f"{LICENCE}; cite Last.fm and HetRec 2011",
    source=SOURCE,
    files=(PLAYS_FILE, ARTISTS_FILE),
    load=load,
    # The checksum is that of the published archive. Files in a copy may be converted (line ends,
    # header); the loader reads those as well.
    download=Download(
        url="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
        archive="hetrec2011-lastfm-2k.zip",
        size=2_589_075,
        largest=64_000_000,
        files={PLAYS_FILE: None, ARTISTS_FILE: None, "readme.txt": None},
        checksum="sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
        optional=frozenset({"readme.txt"}),
    ),
    subfolder=SUBFOLDER,
)
