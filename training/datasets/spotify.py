"""The dataset ``spotify``: the streaming histories that listeners can download from Spotify.

JSON files with one array of plays each. The *account data* have the time to the minute, the name of
the artist, the name of the track and the milliseconds played; the *extended streaming history* has
the time to the second, and says what is a podcast, an audiobook or a private session. Both times
are those of the end of a play, in UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from training.data.records import Records
from training.datasets.accounts import (
    NAME_PREFIX,
    REASON_REPEATED,
    AccountOptions,
    account_of,
    examples_of_times,
    listed,
    name_users,
    refuse_unusable,
)
from training.datasets.dataset import Dataset
from training.datasets.lastfm import NOTE_BROKEN_NAME
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
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import SourceFile, find_files, fingerprints
from training.datasets.reading.sources import reading
from training.datasets.reading.times import (
    REASON_PERIOD,
    REASON_TIME,
    is_implausible,
    seconds_of_text,
)
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
REASON_IN_BOTH: Final = "play of the account data that the extended history has as well"

_FILES: Final = (
    "StreamingHistory*.json",
    "Streaming_History_Audio*.json",
    "endsong*.json",
    "*.zip",
)
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
    r"(mydata|my_spotify_data( ?\(\d+\))?|spotify (account data|extended streaming history))"
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
            folder or an archive whose name is the id of the user; or a pattern of these.
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
    users = name_users([account_of(file, _INNER) for file in music], path, options)
    plays = _read(music, users)
    encoded = encode(plays.lazy(), ["name"], [pl.exclude(USER, "name")])
    rows = _check(encoded, options.least_seconds)
    examples = examples_of_times(encoded, rows, music)
    refuse_unusable(path, rows, "plays", _ADVICE, examples)
    records = records_of(
        encoded,
        rows,
        NAME_PREFIX + encoded.items["name"],
        np.ones(len(encoded), dtype=np.float32),
        dataset=NAME,
        sources=fingerprints(music),
        noted=_notes(encoded, rows),
        timestamps=encoded.rest["time"].fill_null(0).to_numpy(),
    )
    counts = replace(records.rows, examples=examples)
    return replace(records, rows=counts, remark=_remark(others))


def _find(path: Path) -> tuple[list[SourceFile], list[SourceFile]]:
    """Returns the files of music, and those of podcasts, audiobooks and videos."""
    files = find_files(path)
    if path.is_file() and len(files) == 1 and files[0].member is None:
        return files, []  # a file that is named is read, whatever its name
    others = [file for file in files if _OTHER.fullmatch(file.name.lower())]
    music = [file for file in files if _MUSIC.fullmatch(file.name.lower()) and file not in others]
    if not music:
        also = f"; it holds {listed({file.name for file in files})}" if files else ""
        raise DatasetError(
            f"{path} holds no {' or '.join(_FILES[:2])}{also}. Download your data from {SOURCE}"
        )
    return music, others


def _read(files: Sequence[SourceFile], users: Sequence[str]) -> pl.DataFrame:
    """Returns the plays of all files: one row for each element of their arrays."""
    frames = []
    for number, (file, user) in enumerate(zip(files, users, strict=True)):
        plays = read_objects(file.read(), [*_ACCOUNT, *_EXTENDED], file.shown)
        frames.append(plays.select(pl.lit(user).alias(USER), *_columns(number)))
    with reading(files[0].path):
        plays = pl.concat(frames)
        return plays.with_columns(**_repeats(plays))


def _columns(number: int) -> list[pl.Expr]:
    """Returns the columns of a play, from the fields of either kind of history."""
    time = pl.coalesce("ts", "endTime")
    episode = pl.col("episode_name").is_not_null() | pl.col("spotify_episode_uri").is_not_null()
    audiobook = pl.col("audiobook_title").is_not_null() | pl.col("audiobook_uri").is_not_null()
    read = seconds_of_text(time)
    return [
        pl.coalesce("master_metadata_album_artist_name", "artistName").fill_null("").alias("name"),
        pl.coalesce("master_metadata_track_name", "trackName").alias("track"),
        time.alias("written"),
        read.alias("time"),
        pl.coalesce("ms_played", "msPlayed").cast(pl.Float64, strict=False).alias("length"),
        pl.col("ts").is_not_null().alias("extended"),
        episode.alias("episode"),
        audiobook.alias("audiobook"),
        (pl.col("incognito_mode") == "true").fill_null(value=False).alias("private"),
        pl.lit(number, dtype=pl.Int32).alias("file"),
    ]


def _repeats(plays: pl.DataFrame) -> dict[str, pl.Series]:
    """Marks plays that are in several files, and those of the account data in both histories."""
    same = ["user", "extended", "time", "name", "track", "length"]
    repeated = plays.select(pl.col("file") > pl.col("file").min().over(same)).to_series()
    minute = (pl.col("time") // 60).alias("minute")
    known = plays.filter("extended").select("user", "name", minute).unique()
    in_both = plays.select("user", "name", minute, "extended").join(
        known.with_columns(known=True),
        on=["user", "name", "minute"],
        how="left",
        maintain_order="left",
    )
    marks = in_both.select((~pl.col("extended") & pl.col("known")).fill_null(value=False))
    return {"repeated": repeated, "in_both": marks.to_series()}


def _check(encoded: Encoded, least_seconds: float) -> Rows:
    rest, codes = encoded.rest, encoded.item_codes
    names = encoded.items["name"]
    rows = Rows(len(encoded))
    rows.drop(REASON_NO_PLAY, rest["written"].is_null().to_numpy())
    rows.leave_out(REASON_EPISODE, rest["episode"].to_numpy())
    rows.leave_out(REASON_AUDIOBOOK, rest["audiobook"].to_numpy())
    rows.leave_out(REASON_PRIVATE, rest["private"].to_numpy())
    rows.drop(REASON_NO_ARTIST, (names == "").to_numpy()[codes])
    rows.drop(REASON_BROKEN_NAME, names.str.contains(NO_CHARACTER, literal=True).to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(NAME_PREFIX + names)[codes])
    rows.drop(REASON_TIME, rest["time"].is_null().to_numpy())
    rows.drop(REASON_PERIOD, is_implausible(rest["time"].fill_null(0).to_numpy()))
    length = rest["length"].fill_null(float("nan")).to_numpy()
    rows.drop(REASON_NO_LENGTH, ~np.isfinite(length) | (length < 0))
    rows.leave_out(f"played for less than {least_seconds:g} seconds", length < 1000 * least_seconds)
    rows.leave_out(REASON_REPEATED, rest["repeated"].to_numpy())
    rows.leave_out(REASON_IN_BOTH, rest["in_both"].to_numpy())
    return rows


def _notes(encoded: Encoded, rows: Rows) -> dict[str, int]:
    broken = encoded.items["name"].str.contains(REPLACEMENT, literal=True).to_numpy()
    return {NOTE_BROKEN_NAME: int(broken[encoded.item_codes[rows.usable]].sum())}


def _remark(others: Sequence[SourceFile]) -> str:
    if not others:
        return ""
    names = listed({file.name for file in others})
    return f"files of podcasts, audiobooks and videos are not read: {names}"


DATASET: Final = Dataset(
    name=NAME,
    description="Streaming histories that listeners downloaded from Spotify",
    licence="that of each listener: these are personal data",
    source=SOURCE,
    files=_FILES,
    load=load,
    options=SpotifyOptions,
)
