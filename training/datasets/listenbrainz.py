"""The dataset ``listenbrainz``: listens of ListenBrainz, from its dumps and its exports.

Dumps of listens, full or incremental, hold ``listens/YYYY/M.listens``: a JSON object on each line,
in the format of the API. The export of an account holds ``listens/YYYY/M.jsonl``, with the mapping
to MusicBrainz and without the user. Spark dumps are Parquet files with the artists of each listen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.records import Records
from training.datasets.accounts import AccountOptions, refuse_unusable
from training.datasets.dataset import Dataset
from training.datasets.lastfm import MBID, NAME, LastfmOptions, identify_artists, note_artists
from training.datasets.listenbrainz_columns import (
    IS_BROKEN,
    IS_SHARED,
    JSON_SCHEMA,
    TIME,
    TRACK,
    first_written,
    of_json,
    plays_of,
)
from training.datasets.listenbrainz_files import FILES, Block, ListenFile, blocks_of, find_files
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    REPLACEMENT,
    Encoded,
    encode_blocks,
    records_of,
    too_long,
)
from training.datasets.reading.json_lines import BROKEN, REASON_NO_OBJECT
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import fingerprinting
from training.datasets.reading.sources import reading, shorten
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME, is_implausible
from training.errors import DatasetError

SOURCE: Final = "https://listenbrainz.org/data/"

REASON_NO_USER: Final = "name of the user is missing"
REASON_BROKEN_USER: Final = "name of the user with invalid UTF-8"
REASON_REPEATED: Final = "the same listen as another one"
NOTE_SHARED: Final = "play of one of several artists of a listen"

_ADVICE: Final = f"Are they listens from {SOURCE}, or of an export of an account?"
# MBIDs are written in lower or upper case.
_UPPER_MBID: Final = r"^[0-9a-fA-F-]{36}$"


@dataclass(frozen=True, kw_only=True)
class ListenBrainzOptions(AccountOptions):
    """Options of reading listens."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions(ListenBrainzOptions, LastfmOptions):
    """All options of the loader."""


def load(path: Path, options: LoadOptions) -> Records:
    """Reads listens; each artist of a listen has a play.

    Args:
        path: a file of listens, a dump or an export as it was downloaded, or a folder of these.
        options: the id of the only user of an export, and whether artists without MBID are items.

    Raises:
        DatasetError: there are no listens, a file is damaged, it is unclear whose an export is, or
            no listen can be used.
    """
    files = find_files(path, options)
    examples: dict[str, str] = {}
    with fingerprinting([file.part for file in files]) as sources:
        encoded = _with_clean_mbids(encode_blocks(_reader(files, examples), (MBID, NAME)))
        rows = _check(encoded)
        _refuse_other_users(encoded, options)
        item_ids = identify_artists(encoded, rows, by_name=not options.drop_items_without_id)
        rows.leave_out(REASON_REPEATED, _repeats(encoded, item_ids))
        refuse_unusable(path, rows, "listens", _ADVICE, examples)
        records = records_of(
            encoded,
            rows,
            item_ids,
            np.ones(len(encoded), dtype=np.float32),
            dataset=DATASET.name,
            sources=sources.result(),
            noted=_notes(encoded, rows, item_ids),
            timestamps=encoded.rest[TIME].fill_null(0).to_numpy(),
        )
    found = {what: text for what, text in examples.items() if what in records.rows.dropped}
    return replace(records, rows=replace(records.rows, examples=found))


def _reader(
    files: Sequence[ListenFile], examples: dict[str, str]
) -> Callable[[], Iterator[pl.DataFrame]]:
    """Returns what reads the plays of all files; it fills in the examples."""

    def read() -> Iterator[pl.DataFrame]:
        nothing = pl.DataFrame(schema={**JSON_SCHEMA, BROKEN: pl.String()})
        yield plays_of(of_json(nothing, None))
        for file in files:
            with reading(file.part.shown):
                for block in blocks_of(file):
                    _remember(block, examples)
                    yield plays_of(block.listens)

    return read


def _remember(block: Block, examples: dict[str, str]) -> None:
    """Adds the first broken line and the first wrong times to the examples."""
    time = block.listens[TIME]
    found: list[tuple[str, str | None]] = [(REASON_NO_OBJECT, block.broken)]
    if time.null_count():
        found.append((REASON_TIME, first_written(block.listens, pl.col(TIME).is_null())))
    wrong = is_implausible(time.fill_null(0).to_numpy()) & time.is_not_null().to_numpy()
    if wrong.any():
        found.append((REASON_PERIOD, first_written(block.listens, pl.lit(pl.Series(wrong)))))
    for reason, text in found:
        if text is not None:
            examples.setdefault(reason, f"{text} of {block.shown}")


def _with_clean_mbids(encoded: Encoded) -> Encoded:
    mbid = pl.col(MBID).str.strip_chars()
    is_mbid = mbid.str.contains(_UPPER_MBID)
    cleaned = pl.when(is_mbid).then(mbid.str.to_lowercase()).otherwise(MBID)
    return replace(encoded, items=encoded.items.with_columns(cleaned.alias(MBID)))


def _check(encoded: Encoded) -> Rows:
    users, codes, time = encoded.users, encoded.user_codes, encoded.rest[TIME]
    rows = Rows(len(encoded))
    rows.drop(REASON_NO_OBJECT, encoded.rest[IS_BROKEN].to_numpy())
    rows.drop(REASON_NO_USER, (users == "").to_numpy()[codes])
    rows.drop(REASON_BROKEN_USER, users.str.contains(REPLACEMENT, literal=True).to_numpy()[codes])
    rows.drop(REASON_LONG_ID, too_long(users)[codes])
    rows.drop(REASON_TIME, time.is_null().to_numpy())
    rows.drop(REASON_PERIOD, is_implausible(time.fill_null(0).to_numpy()))
    return rows


def _refuse_other_users(encoded: Encoded, options: AccountOptions) -> None:
    others = encoded.users.filter(~encoded.users.is_in(["", options.user_id or ""]))
    if options.user_id is not None and len(others):
        raise DatasetError(
            f"the listens name their users, for example '{shorten(others[0])}', and --user-id is "
            "for an export that names none; leave it out"
        )


def _repeats(encoded: Encoded, item_ids: pl.Series) -> NDArray[np.bool_]:
    """Marks listens that stand there before: dumps overlap with other dumps and with exports."""
    item = item_ids.fill_null("").rank("dense").cast(pl.UInt64)
    pair = pl.Series(encoded.user_codes).cast(pl.UInt64) * (1 << 32) + item.gather(
        encoded.item_codes
    )
    keys = encoded.rest.select(TIME, TRACK, pair=pair)
    # Few hashes repeat, and only these are compared.
    suspects = keys.hash_rows().is_duplicated().arg_true()
    repeated = np.zeros(len(encoded), dtype=bool)
    if len(suspects):
        later = ~keys[suspects].select(pl.struct(pl.all()).is_first_distinct()).to_series()
        repeated[suspects.filter(later).to_numpy()] = True
    return repeated


def _notes(encoded: Encoded, rows: Rows, item_ids: pl.Series) -> dict[str, int]:
    shared = encoded.rest[IS_SHARED].to_numpy() & rows.usable
    return note_artists(encoded, rows, item_ids) | {NOTE_SHARED: int(shared.sum())}


DATASET: Final = Dataset(
    name="listenbrainz",
    description="Listens of ListenBrainz: dumps, and exports of single accounts",
    licence="dumps: CC0 1.0, no rights reserved; an export: that of the listener",
    source=SOURCE,
    files=FILES,
    load=load,
    times="listenbrainz",
    options=ListenBrainzOptions,
)
