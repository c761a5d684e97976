"""The dataset ``lastfm-360k``: the artists that 360,000 users of Last.fm played most.

Tab-separated, without a header and without quoting: SHA-1 of the user, MusicBrainz id (MBID) of the
artist or nothing, name of the artist, plays. Celma, "Music Recommendation and Discovery", 2010.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from training.data.records import Records
from training.datasets.dataset import Dataset
from training.datasets.lastfm import (
    LICENCE,
    SOURCE,
    LastfmOptions,
    download_of,
    identify_artists,
    note_artists,
)
from training.datasets.reading.encoding import records_of
from training.datasets.reading.survey import opened
from training.datasets.reading.tab_separated import encode_plays, refuse_without_records

NAME: Final = "lastfm-360k"
PLAYS_FILE: Final = "usersha1-artmbid-artname-plays.tsv"
PROFILE_FILE: Final = "usersha1-profile.tsv"
SUBFOLDER: Final = "lastfm-dataset-360K"

REASON_USER: Final = "user is no SHA-1"

_SHA1: Final = "^[0-9a-fA-F]{40}$"
_COLUMNS: Final = ("user", "mbid", "name", "plays")
_EXPECTED: Final = (
    "SHA-1 of the user, artist MBID (or nothing), artist name, plays, separated by tabs"
)


def load(path: Path, options: LastfmOptions) -> Records:
    """Reads the file of plays. The file of profiles is not needed.

    An artist without MBID is identified by its name; see ``lastfm``. An MBID has the name that is
    most frequent beside it.

    Args:
        path: the file, its folder, or the folder that the archive was unpacked in.
        options: whether artists without MBID are items.

    Raises:
        DatasetError: the file is missing, empty or of another kind, or no row of it can be used.
    """
    with opened(path, PLAYS_FILE, subfolder=SUBFOLDER, source=SOURCE) as (file, survey):
        encoded, rows, plays = encode_plays(file, survey, _COLUMNS, ("mbid", "name"))
        is_sha1 = encoded.users.str.contains(_SHA1).to_numpy()
        rows.drop(REASON_USER, ~is_sha1[encoded.user_codes])
        item_ids = identify_artists(encoded, rows, by_name=not options.drop_items_without_id)
        rows.drop_bad_plays(plays)
        refuse_without_records(file, rows, _EXPECTED)
        return records_of(
            encoded,
            rows,
            item_ids,
            plays,
            dataset=NAME,
            sources=survey.result().sources,
            noted=note_artists(encoded, rows, item_ids),
        )


DATASET: Final = Dataset(
    name=NAME,
    description="Artists that 359,000 users of Last.fm played most, 17.5 million rows",
    licence=LICENCE,
    source=SOURCE,
    files=(PLAYS_FILE, PROFILE_FILE),
    load=load,
    download=download_of(
        SUBFOLDER,
        542_000_000,
        {PLAYS_FILE: "md5:be672526eb7c69495c27ad27803148f1", PROFILE_FILE: None},
        PROFILE_FILE,
    ),
    subfolder=SUBFOLDER,
)
