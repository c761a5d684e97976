"""The event log: what an event store holds, read for a training and added to its records.

Plays become records. What else somebody did with an artist moves the plays of that pair, those of
the data included, by the rules that events count by in the service: P plays are log2(1 + P) units,
a like adds some and each skip takes some away, until nothing is left but that the artist was seen.
A disliked pair falls out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.events.event import MICROSECONDS, StoredEvent, user_hash
from app.events.event_types import DEFAULT_RULES, EventRules
from app.model.watermark import Watermark
from app.schemas.events import MIN_PLAYS
from app.store.interface import EventStore
from training.data.items import ItemTable
from training.data.records import REASON_ERASED, Records, RowCounts
from training.event_data.reactions import count_reactions, is_play, moved_plays, reactions_of

DATASET: Final = "events"
_AT_ONCE: Final = 20_000
_SCHEMA: Final = {
    "user": pl.String,
    "artist": pl.String,
    "name": pl.String,
    "type": pl.String,
    "plays": pl.Float32,
    "at": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class EventLog:
    """All events of a store up to a number.

    Attributes:
        watermark: which store, and which number.
        events: a row each, in the order in which they count: user, artist, name (or null), type,
            plays, at (microseconds since 1970, UTC).
        erased: hashes of the users who were erased.
    """

    watermark: Watermark
    events: pl.DataFrame
    erased: frozenset[bytes]

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Merged:
    """Records of a dataset and of events.

    Attributes:
        records: what is trained on, with times where all of them are known.
        watermark: how far the store was read.
        counts: what became of the events, by name, for the manifest.
    """

    records: Records
    watermark: Watermark
    counts: Mapping[str, int]


def read_event_log(store: EventStore, progress: Callable[[int], None] | None = None) -> EventLog:
    """Reads a store, which may be written to meanwhile.

    Args:
        store: where the events are.
        progress: called with how many numbers were read since the last call.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    end = store.last_sequence()
    parts, after = [pl.DataFrame(schema=_SCHEMA)], 0
    while events := store.events_between(after, end, limit=_AT_ONCE):
        parts.append(_frame(events))
        if progress:
            progress(events[-1].sequence - after)
        after = events[-1].sequence
    if progress:
        progress(end - after)  # numbers of tombstones, and of what was erased
    erased = frozenset(hashed for hashed, _ in store.tombstones(end))
    ordered = pl.concat(parts).sort("at", maintain_order=True)
    return EventLog(Watermark(store.id, end), ordered, erased)


def merge(
    log: EventLog,
    records: Records | None = None,
    *,
    rules: EventRules = DEFAULT_RULES,
    data_until: int | None = None,
) -> Merged:
    """Adds events to the records of a dataset.

    Rows of users who were erased fall out; what they did since is that of somebody new.

    Args:
        log: the events.
        records: of the dataset; None to train on events alone.
        rules: what events count for in the service; a play for more than nothing.
        data_until: plays up to this time, in seconds since 1970 (UTC), are in the dataset already
            and not added; None if none are. Rows without times are taken to be of then.
    """
    base = _nothing() if records is None else records
    is_erased = _erased_rows(base, log.erased)
    plays, n_in_data = _new_plays(log, data_until)
    reactions = reactions_of(log.events)

    users = _Union(base.user_ids, log.events["user"])
    items = _Union(base.item_ids, log.events["artist"])
    remains = ~is_erased
    pairs = _Pairs(
        np.concatenate([users.of_old(base.user_codes[remains]), users.of(plays["user"])]),
        np.concatenate([items.of_old(base.item_codes[remains]), items.of(plays["artist"])]),
        np.concatenate([base.plays[remains], plays["plays"].to_numpy()]),
        _times(base, remains, plays, data_until),
    ).with_reactions(
        reactions,
        users.of(reactions["user"]),
        items.of(reactions["artist"]),
        n_items=len(items.ids),
        rules=rules,
    )

    dropped = dict(base.rows.dropped)
    if is_erased.any():
        dropped[REASON_ERASED] = int(is_erased.sum())
    merged = replace(
        base,
        user_codes=pairs.users,
        item_codes=pairs.items,
        plays=pairs.plays,
        user_ids=users.ids,
        items=base.items.with_ids(items.ids, _names(log.events)),
        rows=replace(base.rows, dropped=dropped),
        timestamps=pairs.timestamps,
    )
    counts = {
        "events": len(log),
        "plays": len(plays),
        "plays_in_data": n_in_data,
        **count_reactions(reactions),
        "users_erased": len(np.unique(base.user_codes[is_erased])),
    }
    return Merged(merged, log.watermark, counts)


def _new_plays(log: EventLog, data_until: int | None) -> tuple[pl.DataFrame, int]:
    """Returns the plays that are not in the dataset, and how many are."""
    are_plays = is_play(log.events)
    # The data hold nothing of who was erased.
    is_new = _of_users(log.events, log.erased)
    is_known = are_plays & (log.events["at"] <= _microseconds(data_until)) & ~is_new
    return log.events.filter(are_plays & ~is_known), int(is_known.sum())


def _times(
    base: Records, remains: NDArray[np.bool_], plays: pl.DataFrame, data_until: int | None
) -> NDArray[np.int64] | None:
    """Returns the seconds of what remains of the records, and of plays; None if some have none."""
    timestamps = base.timestamps
    if timestamps is None:
        if data_until is None:
            return None
        timestamps = np.full(len(base), data_until, dtype=np.int64)
    return np.concatenate([timestamps[remains], plays["at"].to_numpy() // MICROSECONDS])


class _Union:
    """Ids of a dataset and further ones, sorted by their bytes.

    Args:
        old: String, unique and sorted.
        further: String, in any order, with repetitions.
    """

    def __init__(self, old: pl.Series, further: pl.Series) -> None:
        distinct = further.unique().sort()
        new = distinct.filter(~distinct.is_in(old.implode()))
        # Before which of the old ones each new one comes: so many more stand before those.
        place = old.search_sorted(new).to_numpy().astype(np.int64) if len(new) else np.zeros(0, int)
        shift = np.cumsum(np.bincount(place, minlength=len(old) + 1))[: len(old)]
        self.ids = pl.concat([old, new]).sort()
        self._code_of_old = (np.arange(len(old)) + shift).astype(np.int32)
        self._codes = pl.DataFrame(
            {"id": self.ids, "code": pl.Series(np.arange(len(self.ids), dtype=np.int32))}
        )

    def of_old(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns the codes of old codes; -1 stays."""
        if not len(self._code_of_old):
            return codes
        return np.where(codes < 0, np.int32(-1), self._code_of_old[codes])

    def of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Returns the codes of ids that are among them."""
        asked = pl.DataFrame({"id": ids})
        found = asked.join(self._codes, on="id", how="left", maintain_order="left")
        codes: NDArray[np.int32] = found["code"].to_numpy()
        return codes


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Records in codes; a pair may occur more than once."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    plays: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None

    def with_reactions(
        self,
        reactions: pl.DataFrame,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        *,
        n_items: int,
        rules: EventRules,
    ) -> _Pairs:
        """Returns the records with how their users have reacted to their artists.

        Args:
            reactions: as of ``reactions_of``.
            users: int32, the code of each one's user.
            items: int32, the code of each one's artist.
            n_items: number of codes of items.
            rules: what events count for.
        """
        if not len(reactions):
            return self
        keys = users.astype(np.int64) * n_items + items
        order = np.argsort(keys)
        keys, users, items, reactions = keys[order], users[order], items[order], reactions[order]
        own = self.users.astype(np.int64) * n_items + self.items
        nearest = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
        # A record without an artist has the key of another pair.
        concerned = (keys[nearest] == own) & (self.items >= 0)
        which = nearest[concerned]
        before = np.bincount(which, weights=self.plays[concerned], minlength=len(keys)).astype(
            np.float64
        )
        after = moved_plays(reactions, before, rules)
        factor = np.divide(after, before, out=np.zeros(len(keys)), where=before > 0)
        plays = self.plays.copy()
        plays[concerned] = plays[concerned] * factor[which]
        remains, new = plays > 0, (before == 0) & (after > 0)
        timestamps = self.timestamps
        if timestamps is not None:
            seconds = reactions["at"].to_numpy() // MICROSECONDS
            timestamps = np.concatenate([timestamps[remains], seconds[new]])
        return _Pairs(
            np.concatenate([self.users[remains], users[new]]),
            np.concatenate([self.items[remains], items[new]]),
            np.concatenate([plays[remains], after[new].astype(np.float32)]),
            timestamps,
        )


def _names(events: pl.DataFrame) -> pl.DataFrame:
    """Returns the name that each artist has in the latest event with one: ``id`` and ``name``."""
    latest = events.drop_nulls("name").group_by("artist").agg(pl.col("name").last())
    return latest.select("name", id="artist")


def _erased_rows(records: Records, erased: frozenset[bytes]) -> NDArray[np.bool_]:
    if not erased:
        return np.zeros(len(records), dtype=bool)
    is_erased = np.array([user_hash(user_id) in erased for user_id in records.user_ids], dtype=bool)
    return is_erased[records.user_codes]


def _of_users(events: pl.DataFrame, hashes: frozenset[bytes]) -> pl.Series:
    """Says which events are those of users with some hashes."""
    users: Sequence[str] = events["user"].unique().to_list() if hashes else []
    return events["user"].is_in([user for user in users if user_hash(user) in hashes])


def _nothing() -> Records:
    """Returns the records of a dataset without any."""
    codes, ids = np.zeros(0, dtype=np.int32), pl.Series(dtype=pl.String)
    return Records(
        user_codes=codes,
        item_codes=codes,
        plays=np.zeros(0, dtype=np.float32),
        user_ids=ids,
        items=ItemTable.of(ids),
        rows=RowCounts(0),
        dataset=DATASET,
        sources={},
        timestamps=np.zeros(0, dtype=np.int64),
    )


def _frame(events: Sequence[StoredEvent]) -> pl.DataFrame:
    rows = [
        (
            stored.event.user_id,
            stored.event.artist_id,
            stored.event.artist_name,
            str(stored.event.type),
            max(stored.event.plays, MIN_PLAYS),  # events may be older than that rule
            stored.at,
        )
        for stored in events
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _microseconds(seconds: int | None) -> int:
    return np.iinfo(np.int64).min if seconds is None else (seconds + 1) * MICROSECONDS - 1
