"""Columns of listens: from JSON lines and Parquet files of ListenBrainz to plays of artists.

A listen names its artists in up to three places: the mapping to MusicBrainz with a name for each
artist, the mapping with MBIDs only, and what the player sent. The first place that has MBIDs
counts.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from training.datasets.lastfm import MBID, NAME
from training.datasets.reading.encoding import USER
from training.datasets.reading.json_lines import BROKEN
from training.datasets.reading.sources import shorten
from training.datasets.reading.times import seconds_of, seconds_of_text

TIME: Final = "time"
TRACK: Final = "track"
IS_SHARED: Final = "is_shared"
IS_BROKEN: Final = "is_broken"

_CREDIT: Final = pl.Struct({"artist_mbid": pl.String, "artist_credit_name": pl.String})
_MBIDS: Final = pl.List(pl.String)
# The fields to read. Dumps have a timestamp, exports and the API listened_at.
JSON_SCHEMA: Final = {
    "user_name": pl.String(),
    "timestamp": pl.String(),
    "listened_at": pl.String(),
    "track_metadata": pl.Struct(
        {
            "artist_name": pl.String,
            "track_name": pl.String,
            "additional_info": pl.Struct({"artist_mbids": _MBIDS}),
            "mbid_mapping": pl.Struct({"artist_mbids": _MBIDS, "artists": pl.List(_CREDIT)}),
        }
    ),
}
# The columns of a Spark dump that are read.
PARQUET_COLUMNS: Final = (
    "listened_at",
    "user_id",
    "artist_name",
    "recording_name",
    "artist_credit_mbids",
)

_WRITTEN: Final = "written"
_CREDITS: Final = "credits"
_IDS: Final = "mbids"


def of_json(listens: pl.DataFrame, owner: str | None) -> pl.DataFrame:
    """Returns the listens of JSON lines, one row each.

    Args:
        listens: columns of ``JSON_SCHEMA`` and ``BROKEN``.
        owner: the user of lines that name none; None where each line has to.
    """
    track = pl.col("track_metadata").struct
    mapping = track.field("mbid_mapping").struct
    sent = track.field("additional_info").struct.field("artist_mbids").list.drop_nulls()
    credits_ = mapping.field("artists")
    is_credited = credits_.list.first().struct.field("artist_mbid").is_not_null()
    mapped = mapping.field("artist_mbids").list.drop_nulls()
    return listens.select(
        pl.coalesce("user_name", pl.lit(owner, pl.String), pl.lit("")).alias(USER),
        track.field("artist_name").alias(NAME),
        pl.coalesce("timestamp", "listened_at").alias(_WRITTEN),
        track.field("track_name").alias(TRACK),
        pl.col(BROKEN).is_not_null().alias(IS_BROKEN),
        pl.when(is_credited).then(credits_).alias(_CREDITS),
        pl.when(mapped.list.len() > 0).then(mapped).otherwise(sent).alias(_IDS),
    ).with_columns(seconds_of_text(pl.col(_WRITTEN)).alias(TIME))


def of_parquet(listens: pl.DataFrame) -> pl.DataFrame:
    """Returns the listens of a Spark dump, one row each.

    Args:
        listens: the ``PARQUET_COLUMNS``.
    """
    time = pl.col("listened_at")
    seconds = seconds_of(time, listens.schema["listened_at"])
    return listens.select(
        pl.col("user_id").cast(pl.String).fill_null("").alias(USER),
        pl.col("artist_name").alias(NAME),
        time.cast(pl.String).alias(_WRITTEN),
        pl.col("recording_name").alias(TRACK),
        pl.lit(value=False).alias(IS_BROKEN),
        pl.lit(None, pl.List(_CREDIT)).alias(_CREDITS),
        pl.col("artist_credit_mbids").list.drop_nulls().alias(_IDS),
        (pl.lit(None, pl.Int64) if seconds is None else seconds).alias(TIME),
    )


def plays_of(listens: pl.DataFrame) -> pl.DataFrame:
    """Returns a row for each artist of each listen.

    Args:
        listens: from ``of_json`` or ``of_parquet``.

    Returns:
        Columns ``user``, ``mbid`` and ``name`` (String, empty where unknown), ``time`` (Int64,
        seconds since 1970, null where unreadable), ``track`` (a hash of its name), ``is_shared``
        (whether the listen has several artists) and ``is_broken`` (the line was no JSON object).
    """
    count = pl.coalesce(pl.col(_CREDITS).list.len(), pl.col(_IDS).list.len(), pl.lit(0))
    listens = listens.with_columns((count > 1).alias(IS_SHARED), pl.col(TRACK).hash())
    first = pl.col(_CREDITS).list.first().struct
    alone = listens.filter(~pl.col(IS_SHARED)).with_columns(
        pl.coalesce(first.field("artist_mbid"), pl.col(_IDS).list.first()).alias(MBID),
        pl.coalesce(first.field("artist_credit_name"), NAME).alias(NAME),
    )
    shared = listens.filter(IS_SHARED)
    credited = shared.filter(pl.col(_CREDITS).is_not_null()).explode(_CREDITS)
    credited = credited.with_columns(
        pl.col(_CREDITS).struct.field("artist_mbid").alias(MBID),
        pl.col(_CREDITS).struct.field("artist_credit_name").alias(NAME),
    )
    # The name of the listen is that of all its artists together.
    listed = shared.filter(pl.col(_CREDITS).is_null()).explode(_IDS)
    listed = listed.with_columns(pl.col(_IDS).alias(MBID), pl.lit("").alias(NAME))
    columns = [USER, MBID, NAME, TIME, TRACK, IS_SHARED, IS_BROKEN]
    return pl.concat([frame.select(columns) for frame in (alone, credited, listed)]).with_columns(
        pl.col(USER, MBID, NAME).fill_null("")
    )


def first_written(listens: pl.DataFrame, marks: pl.Expr) -> str | None:
    """Returns the time, as it was written, of the first listen with a mark; None for none."""
    found = listens.filter(marks, ~pl.col(IS_BROKEN)).head(1)
    return None if found.is_empty() else f"'{shorten(str(found[_WRITTEN][0] or ''))}'"
