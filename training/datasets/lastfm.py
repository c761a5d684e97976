"""Common parts of the datasets ``lastfm-360k`` and ``lastfm-1k``: origin and ids of artists.

The id of an artist is its MusicBrainz id (MBID). An artist without MBID is identified by its name:
if the name has exactly one MBID elsewhere in the file, the id is that MBID, otherwise it is
``name:<name>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.dataset import Download
from training.datasets.reading.encoding import REASON_LONG_ID, REPLACEMENT, Encoded, too_long
from training.datasets.reading.rows import Rows

LICENCE: Final = "non-commercial use; other use: ask Last.fm"
SOURCE: Final = "https://zenodo.org/records/6090214"

MBID: Final = "mbid"
NAME: Final = "name"
NAME_PREFIX: Final = "name:"

REASON_NAMELESS: Final = "neither artist MBID nor name"
REASON_BROKEN_ID: Final = "artist MBID with invalid UTF-8"
NOTE_BY_NAME: Final = "artist without MBID, known by name"
NOTE_MATCHED: Final = "name without MBID matched to its only MBID"
NOTE_NO_ITEM: Final = "artist without MBID, kept as a row without artist"
NOTE_NO_UUID: Final = "artist MBID is no UUID, kept as it is"
NOTE_BROKEN_NAME: Final = "name with invalid UTF-8, shown with U+FFFD"

_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True, kw_only=True)
class LastfmOptions:
    """How the datasets of Last.fm are read.

    Attributes:
        drop_items_without_id: whether an artist without MBID is no item. Its rows then become
            records with item code -1, which still count for the number of records of their user.
    """

    drop_items_without_id: bool = False


def download_of(folder: str, size: int, files: Mapping[str, str | None], profiles: str) -> Download:
    """Returns the download of a dataset.

    Args:
        folder: the folder that its archive unpacks into; the archive has the same name.
        size: approximate bytes of the archive.
        files: file to its checksum, or to None.
        profiles: the file that the archive may lack.
    """
    archive = f"{folder}.tar.gz"
    return Download(
        url=f"{SOURCE}/files/{archive}",
        archive=archive,
        size=size,
        largest=4_000_000_000,
        files=files,
        optional=frozenset({profiles}),
    )


def identify_artists(encoded: Encoded, rows: Rows, *, by_name: bool) -> pl.Series:
    """Finds the ids of artists, and drops the rows whose artist cannot have one.

    Args:
        encoded: a source whose item columns are ``mbid`` and ``name``.
        rows: its rows; those already dropped do not decide which MBID a name has.
        by_name: whether an artist without MBID is identified by its name.

    Returns:
        String, by row of ``encoded.items``, the id; null for an artist that is no item.
    """
    item_ids = _ids(encoded, rows) if by_name else _mbids(encoded)
    codes = encoded.item_codes
    # Two MBIDs that differ only in broken bytes would look the same, so neither can be used.
    broken = encoded.items[MBID].str.contains(REPLACEMENT, literal=True).to_numpy()
    rows.drop(REASON_BROKEN_ID, broken[codes])
    if by_name:
        rows.drop(REASON_NAMELESS, item_ids.is_null().to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(item_ids)[codes])
    return item_ids


def note_artists(encoded: Encoded, rows: Rows, item_ids: pl.Series) -> dict[str, int]:
    """Returns the numbers of usable rows whose artist is odd, by oddity."""
    table = encoded.items.with_columns(item=item_ids, rows=pl.Series(_rows_per_item(encoded, rows)))
    without = pl.col(MBID) == ""
    by_name = pl.col("item") == NAME_PREFIX + pl.col(NAME)
    cases = {
        NOTE_BY_NAME: without & by_name,
        NOTE_MATCHED: without & ~by_name,
        NOTE_NO_ITEM: without & pl.col("item").is_null(),
        NOTE_NO_UUID: ~without & ~pl.col(MBID).str.contains(_UUID),
        NOTE_BROKEN_NAME: pl.col(NAME).str.contains(REPLACEMENT, literal=True),
    }
    counts = table.select(
        pl.col("rows").filter(case).sum().alias(note) for note, case in cases.items()
    )
    return counts.row(0, named=True)


def _mbids(encoded: Encoded) -> pl.Series:
    return encoded.items.select(pl.when(pl.col(MBID) != "").then(MBID)).to_series()


def _ids(encoded: Encoded, rows: Rows) -> pl.Series:
    only_mbid = (
        encoded.items.filter(pl.Series(_rows_per_item(encoded, rows) > 0))
        .filter(pl.col(MBID) != "", pl.col(NAME) != "")
        .group_by(NAME)
        .agg(pl.col(MBID).unique())
        .filter(pl.col(MBID).list.len() == 1)
        .select(NAME, pl.col(MBID).list.first().alias("only_mbid"))
    )
    by_name = pl.when(pl.col(NAME) != "").then(NAME_PREFIX + pl.col(NAME))
    known = encoded.items.join(only_mbid, on=NAME, how="left", maintain_order="left")
    return known.select(
        pl.coalesce(_mbids(encoded), "only_mbid", by_name).alias("item")
    ).to_series()


def _rows_per_item(encoded: Encoded, rows: Rows) -> NDArray[np.intp]:
    return np.bincount(encoded.item_codes[rows.usable], minlength=len(encoded.items))
