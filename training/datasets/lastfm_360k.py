"""The dataset ``lastfm-360k``: the artists that 360,000 users of Last.fm played most.

Tab-separated, without a header and without quoting: SHA-1 of the user, MusicBrainz id (MBID) of the
artist or nothing, name of the artist, plays. Celma, "Music Recommendation and Discovery", 2010.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.dataset import Download, LoadOptions
from training.datasets.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    Encoded,
    records_of,
    too_long,
)
from training.datasets.rows import Rows
from training.datasets.sources import find_file, fingerprinting, refuse_binary
from training.datasets.tab_separated import encode_plays, refuse_without_records
from training.records import Records

NAME: Final = "lastfm-360k"
PLAYS_FILE: Final = "usersha1-artmbid-artname-plays.tsv"
PROFILE_FILE: Final = "usersha1-profile.tsv"
SUBFOLDER: Final = "lastfm-dataset-360K"
SOURCE: Final = "https://zenodo.org/records/6090214"
NAME_PREFIX: Final = "name:"

DOWNLOAD: Final = Download(
    url="https://zenodo.org/records/6090214/files/lastfm-dataset-360K.tar.gz",
    archive="lastfm-dataset-360K.tar.gz",
    size=542_000_000,
    largest=4_000_000_000,
    files={PLAYS_FILE: "md5:be672526eb7c69495c27ad27803148f1", PROFILE_FILE: None},
    optional=frozenset({PROFILE_FILE}),
)

REASON_USER: Final = "user is no SHA-1"
REASON_NAMELESS: Final = "neither artist MBID nor name"
REASON_BROKEN_ID: Final = "artist MBID with invalid UTF-8"
NOTE_BY_NAME: Final = "artist without MBID, known by name"
NOTE_MATCHED: Final = "name without MBID matched to its only MBID"
NOTE_NO_ITEM: Final = "artist without MBID, kept as a row without artist"
NOTE_NO_UUID: Final = "artist MBID is no UUID, kept as it is"
NOTE_BROKEN_NAME: Final = "name with invalid UTF-8, shown with U+FFFD"

_SHA1: Final = "^[0-9a-fA-F]{40}$"
_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_COLUMNS: Final = ("user", "mbid", "name", "plays")
_EXPECTED: Final = "SHA-1 of the user, artist MBID (or nothing), artist name, plays, parted by tabs"


def load(path: Path, options: LoadOptions) -> Records:
    """Reads the file of plays. The file of profiles is not needed.

    An artist without MBID is known by its name: where the name stands beside exactly one MBID in
    the file, by that MBID, otherwise by the id ``name:<name>``. The name of an MBID is the most
    frequent one that stands beside it.

    Args:
        path: the file, its folder, or the folder that the archive was unpacked in.
        options: only ``drop_items_without_id`` matters.

    Raises:
        DatasetError: the file is missing, no such file, empty, or holds only broken rows.
    """
    file = find_file(path, PLAYS_FILE, subfolder=SUBFOLDER, source=SOURCE)
    refuse_binary(file)
    with fingerprinting(file) as sources:
        encoded, rows, plays = encode_plays(file, _COLUMNS, ("mbid", "name"))
        is_sha1 = encoded.users.str.contains(_SHA1).to_numpy()
        rows.drop(REASON_USER, ~is_sha1[encoded.user_codes])
        item_ids = _item_ids(encoded, rows, keep_names=not options.drop_items_without_id)
        _drop_unusable_items(encoded, rows, item_ids, need_id=not options.drop_items_without_id)
        rows.drop_bad_plays(plays)
        refuse_without_records(file, rows, _EXPECTED)
        return records_of(
            encoded,
            rows,
            item_ids,
            plays,
            dataset=NAME,
            sources=sources.result(),
            noted=_notes(encoded, rows, item_ids),
        )


def _item_ids(encoded: Encoded, rows: Rows, *, keep_names: bool) -> pl.Series:
    """Returns the id of each (MBID, name), null for those that are no item."""
    mbid = pl.when(pl.col("mbid") != "").then("mbid")
    if not keep_names:
        return encoded.items.select(mbid.alias("item")).to_series()
    well_formed = _rows_per_item(encoded, rows) > 0
    only_mbid = (
        encoded.items.filter(pl.Series(well_formed))
        .filter(pl.col("mbid") != "", pl.col("name") != "")
        .group_by("name")
        .agg(pl.col("mbid").unique())
        .filter(pl.col("mbid").list.len() == 1)
        .select("name", pl.col("mbid").list.first().alias("only_mbid"))
    )
    by_name = pl.when(pl.col("name") != "").then(NAME_PREFIX + pl.col("name"))
    return (
        encoded.items.join(only_mbid, on="name", how="left", maintain_order="left")
        .select(pl.coalesce(mbid, "only_mbid", by_name).alias("item"))
        .to_series()
    )


def _drop_unusable_items(
    encoded: Encoded, rows: Rows, item_ids: pl.Series, *, need_id: bool
) -> None:
    codes = encoded.item_codes
    # Two MBIDs that differ in broken bytes would look the same, so none can be trusted.
    broken = encoded.items["mbid"].str.contains(REPLACEMENT, literal=True).to_numpy()
    rows.drop(REASON_BROKEN_ID, broken[codes])
    if need_id:
        rows.drop(REASON_NAMELESS, item_ids.is_null().to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(item_ids)[codes])


def _notes(encoded: Encoded, rows: Rows, item_ids: pl.Series) -> dict[str, int]:
    table = encoded.items.with_columns(item=item_ids, rows=pl.Series(_rows_per_item(encoded, rows)))
    without = pl.col("mbid") == ""
    by_name = pl.col("item") == NAME_PREFIX + pl.col("name")
    cases = {
        NOTE_BY_NAME: without & by_name,
        NOTE_MATCHED: without & ~by_name,
        NOTE_NO_ITEM: without & pl.col("item").is_null(),
        NOTE_NO_UUID: ~without & ~pl.col("mbid").str.contains(_UUID),
        NOTE_BROKEN_NAME: pl.col("name").str.contains(REPLACEMENT, literal=True),
    }
    counts = table.select(
        pl.col("rows").filter(case).sum().alias(note) for note, case in cases.items()
    )
    return counts.row(0, named=True)


def _rows_per_item(encoded: Encoded, rows: Rows) -> NDArray[np.intp]:
    return np.bincount(encoded.item_codes[rows.kept], minlength=len(encoded.items))
