"""The dataset ``lastfm-1k``: each play of 1,000 users of Last.fm, with its time.

Tab-separated, without a header and without quoting: user, time (ISO 8601, UTC), MusicBrainz id
(MBID) of the artist or nothing, name of the artist, MBID of the track or nothing, its name. Celma,
"Music Recommendation and Discovery", 2010.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
from training.datasets.reading.encoding import Encoded, records_of
from training.datasets.reading.rows import Rows
from training.datasets.reading.survey import opened
from training.datasets.reading.tab_separated import encode_rows, refuse_without_records
from training.datasets.reading.times import REASON_TIME, UTC_SECONDS, from_text

NAME: Final = "lastfm-1k"
PLAYS_FILE: Final = "userid-timestamp-artid-artname-traid-traname.tsv"
PROFILE_FILE: Final = "userid-profile.tsv"
SUBFOLDER: Final = "lastfm-dataset-1K"

REASON_USER: Final = "user is not of the form user_000001"
REASON_ABSURD: Final = "time before Last.fm began (2002) or after the data appeared (May 2010)"
NOTE_LATE: Final = "time after 5 May 2009, when the data should end"

_USER: Final = "^user_[0-9]{6}$"
_COLUMNS: Final = ("user", "time", "mbid", "name", "track_mbid", "track")
_EXPECTED: Final = (
    "user, time, artist MBID (or nothing), artist name, track MBID (or nothing), track name, "
    "separated by tabs"
)
_BEGIN: Final = int(datetime(2002, 1, 1, tzinfo=UTC).timestamp())
_END: Final = int(datetime(2010, 6, 1, tzinfo=UTC).timestamp())
_LATE: Final = int(datetime(2009, 5, 6, tzinfo=UTC).timestamp())


def load(path: Path, options: LastfmOptions) -> Records:
    """Reads the file of plays, one record each. The file of profiles is not needed.

    Artists have the ids that they have in ``lastfm-360k``.

    Args:
        path: the file, its folder, or the folder that the archive was unpacked in.
        options: whether artists without MBID are items.

    Raises:
        DatasetError: the file is missing, empty or of another kind, or no row of it can be used.
    """
    with opened(path, PLAYS_FILE, subfolder=SUBFOLDER, source=SOURCE) as (file, survey):
        seconds = from_text(pl.col("time"), UTC_SECONDS)
        encoded, rows = encode_rows(file, survey, _COLUMNS, ("mbid", "name"), [seconds])
        is_user = encoded.users.str.contains(_USER).to_numpy()
        rows.drop(REASON_USER, ~is_user[encoded.user_codes])
        timestamps = _check_times(encoded, rows)
        item_ids = identify_artists(encoded, rows, by_name=not options.drop_items_without_id)
        refuse_without_records(file, rows, _EXPECTED)
        late = {NOTE_LATE: int((timestamps[rows.usable] >= _LATE).sum())}
        return records_of(
            encoded,
            rows,
            item_ids,
            np.ones(len(encoded), dtype=np.float32),
            dataset=NAME,
            sources=survey.result().sources,
            noted=late | note_artists(encoded, rows, item_ids),
            timestamps=timestamps,
        )


def _check_times(encoded: Encoded, rows: Rows) -> NDArray[np.int64]:
    """Returns the times by row, and drops the rows with an impossible or unreadable time."""
    seconds = encoded.rest["time"]
    rows.drop(REASON_TIME, seconds.is_null().to_numpy())
    timestamps: NDArray[np.int64] = seconds.fill_null(0).to_numpy()
    # The clocks of some players were wrong: plays are dated years after the data were collected.
    rows.drop(REASON_ABSURD, (timestamps < _BEGIN) | (timestamps >= _END))
    return timestamps


DATASET: Final = Dataset(
    name=NAME,
    description="Each play of 992 users of Last.fm with its time, 19.2 million rows",
    licence=LICENCE,
    source=SOURCE,
    files=(PLAYS_FILE, PROFILE_FILE),
    load=load,
    download=download_of(
        SUBFOLDER,
        673_000_000,
        {
            PLAYS_FILE: "md5:64747b21563e3d2aa95751e0ddc46b68",
            PROFILE_FILE: "md5:c53608b6b445db201098c1489ea497df",
        },
        PROFILE_FILE,
    ),
    subfolder=SUBFOLDER,
    times=NAME,
)
