"""The dataset ``spotify``: the streaming histories that listeners can download from Spotify.

JSON files with one array of plays each. The *account data* have the time to the minute, the name of
the artist, the name of the track and the milliseconds played; the *extended streaming history* has
the time to the second, and says what is a podcast, an audiobook or a private session. Both times
are those of the end of a play, in UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from training.data.records import Records
from training.datasets.accounts import (
    NAME_PREFIX,
    AccountOptions,
    listed,
    name_users,
    refuse_unusable,
)
from training.datasets.dataset import Dataset
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    USER,
    Encoded,
    encode,
    records_of,
    too_long,
)
from training.datasets.reading.json_objects import NO_CHARACTER, read_objects
from training.datasets.reading.parts import Part, find_parts, fingerprints
from training.datasets.reading.rows import Rows
from training.datasets.reading.sources import reading, shorten
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME, is_implausible, seconds_of
from training.errors import DatasetError

NAME: Final = "spotify"
SOURCE: Final = "https://www.spotify.com/account/privacy/"

REASON_NO_PLAY: Final = "neither endTime nor ts, so no play"
REASON_EPISODE: Final = "episode of a podcast"
REASON_AUDIOBOOK: Final = "part of an audiobook"
REASON_PRIVATE: Final = "played in a private session"
REASON_NO_ARTIST: Final = "name of the artist is missing"
REASON_BROKEN_NAME: Final = "name of the artist with an invalid character"
REASON_NO_LENGTH: Final = "milliseconds played missing or no number"
REASON_REPEATED: Final = "the same play as in another file"
REASON_IN_BOTH: Final = "play of the account data that the extended history has as well"

_ACCOUNT: Final = ("endTime", "artistName", "trackName", "msPlayed")
_EXTENDED: Final = (
    "ts",
    "master_metadata_album_artist_name",
    "master_metadata_track_name",
    "ms_played",
    "episode_name",
    "spotify_episode_uri",
    "audiobook_title",
    "audiobook_uri",
    "incognito_mode",
)
_MUSIC: Final = re.compile(r"(streaminghistory|streaming_history_audio|endsong).*\.json")
_OTHER: Final = re.compile(
    r"(streaminghistory_(podcast|audiobook|video)|streaming_history_video).*\.json"
)
# The folders of a download; above them is the folder of the account.
_INNER: Final = re.compile(
    r"(mydata|my_spotify_data.*|spotify account data|spotify extended streaming history)"
)
_ADVICE: Final = f"Are they the files of a download from {SOURCE}?"


@dataclass(frozen=True, kw_only=True)
class SpotifyOptions(AccountOptions):
    """Options of reading streaming histories."""

    least_seconds: float = 30.0
    "Leave out what was played for less than this, in `spotify`."


def load(path: Path, options: SpotifyOptions) -> Records:
    """Reads streaming histories, one record for each play. Artists are known by their names.

    Args:
        path: a file, a folder, or a zip archive as downloaded; or a folder of accounts, each a
            folder or an archive whose name is the id of the user.
        options: the shortest play, and the id of the only user.

    Raises:
        DatasetError: there is no history, a file is damaged, it is unclear whose a file is, or no
            play can be used.
    """
    if not (0 <= options.least_seconds < math.inf):
        raise DatasetError(
            f"--least-seconds has to be a number of seconds, at least 0, not "
            f"{options.least_seconds}"
        )
    music, others = _find(path)
    users = name_users([_account(part) for part in music], path, options)
    plays = _read(music, users)
    encoded = encode(plays.lazy(), ["name"], [pl.exclude(USER, "name")])
    rows = _check(encoded, options.least_seconds)
    refuse_unusable(path, rows, "plays", _ADVICE)
    records = records_of(
        encoded,
        rows,
        NAME_PREFIX + encoded.items["name"],
        np.ones(len(encoded), dtype=np.float32),
        dataset=NAME,
        sources=fingerprints(music, path),
        noted=_notes(encoded, rows),
        timestamps=encoded.rest["time"].fill_null(0).to_numpy(),
    )
    counts = replace(records.rows, examples=_examples(encoded, rows, music))
    return replace(records, rows=counts, remark=_remark(others))
