"""The event log: the events of a store, read for training and merged with records.

Plays become records. Reactions, which are all other events, change the plays of their pair, those
of the dataset included, by the rules of the service: P plays are log2(1 + P) units, a like adds
units, and each skip takes units away, until only the fact is left that the artist was seen. A
disliked pair is left out.
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
from app.schemas.primitives import MIN_PLAYS
from app.store.interface import EventStore
from training.data.items import ItemTable
from training.data.records import Records, RowCounts
from training.event_data.erasure import erased_rows, without_erased_rows
from training.event_data.overlap import Timed, not_held
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
        watermark: the store and the number.
        events: a row for each event, by time: user, artist, name (or null), type, plays, at
            (microseconds since 1970, UTC).
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
        records: all records, with times where all of them are known.
        watermark: how far the store was read.
        counts: counts of the events by how they were used, for the manifest.
    """

    records: Records
    watermark: Watermark
    counts: Mapping[str, int]


def read_event_log(store: EventStore, progress: Callable[[int], None] | None = None) -> EventLog:
    """Reads the events of a store, which may be in use.

    Args:
        store: the store.
        progress: called with the number of sequence numbers read since the last call.

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
        progress(end - after)  # numbers of tombstones and of erased events
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

    Rows of erased users are left out; events after the erasure count as those of a new user. Where
    the records have times, plays of the same user, artist and second count once.

    Args:
        log: the events.
        records: of the dataset; None to train on events alone.
        rules: how many units each type of event counts; more than 0 for a play.
        data_until: plays up to this time, in seconds since 1970 (UTC), are in the dataset and not
            added; None if it holds none of them. Rows without times get this time.
    """
    base = _nothing() if records is None else records
    is_erased = erased_rows(base, log.erased)
    plays, n_in_data = _new_plays(log, data_until)
    reactions = reactions_of(log.events)

    users = _Union(base.user_ids, log.events["user"])
    items = _Union(base.item_ids, log.events["artist"])
    of_data = _pairs_of_data(base, ~is_erased, users, items, data_until)
    of_events, n_in_both = _pairs_of(plays, users, items), 0
    if base.timestamps is not None:
        of_events, n_in_both = of_events.without_those_of(of_data)
    pairs = of_data.and_those_of(of_events).with_reactions(
        reactions,
        users.of(reactions["user"]),
        items.of(reactions["artist"]),
        n_items=len(items.ids),
        rules=rules,
    )

    merged = replace(
        base,
        user_codes=pairs.users,
        item_codes=pairs.items,
        plays=pairs.plays,
        user_ids=users.ids,
        items=base.items.with_ids(items.ids, _names(log.events)),
        rows=without_erased_rows(base.rows, is_erased),
        timestamps=pairs.timestamps,
    )
    counts = {
        "events": len(log),
        "plays": len(of_events.users),
        "plays_in_data": n_in_data,
        "plays_in_both": n_in_both,
        **count_reactions(reactions),
        "users_erased": len(np.unique(base.user_codes[is_erased])),
    }
    return Merged(merged, log.watermark, counts)


def _new_plays(log: EventLog, data_until: int | None) -> tuple[pl.DataFrame, int]:
    """Returns the plays that are not in the dataset, and the number of those that are."""
    are_plays = is_play(log.events)
    # The rows of erased users were left out, so none of their plays is in the dataset.
    is_new = _of_users(log.events, log.erased)
    is_known = are_plays & (log.events["at"] <= _microseconds(data_until)) & ~is_new
    return log.events.filter(are_plays & ~is_known), int(is_known.sum())


def _pairs_of_data(
    base: Records,
    which: NDArray[np.bool_],
    users: _Union,
    items: _Union,
    data_until: int | None,
) -> _Pairs:
    """Returns the chosen records with the codes of the union."""
    return _Pairs(
        users.of_old(base.user_codes[which]),
        items.of_old(base.item_codes[which]),
        base.plays[which],
        _times(base, data_until, which),
    )


def _pairs_of(plays: pl.DataFrame, users: _Union, items: _Union) -> _Pairs:
    """Returns the plays of events as records."""
    return _Pairs(
        users.of(plays["user"]),
        items.of(plays["artist"]),
        plays["plays"].to_numpy(),
        plays["at"].to_numpy() // MICROSECONDS,
    )


def _times(
    base: Records, data_until: int | None, which: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """Returns the times of the chosen records; None if they are unknown."""
    if base.timestamps is not None:
        return base.timestamps[which]
    if data_until is None:
        return None
    return np.full(int(which.sum()), data_until, dtype=np.int64)


class _Union:
    """The ids of a dataset and further ids, sorted by their bytes.

    Args:
        old: String, unique and sorted.
        further: String, in any order, with repetitions.
    """

    def __init__(self, old: pl.Series, further: pl.Series) -> None:
        distinct = further.unique().sort()
        new = distinct.filter(~distinct.is_in(old.implode()))
        # An old id moves up by the number of new ids that come before it.
        place = old.search_sorted(new).to_numpy().astype(np.int64) if len(new) else np.zeros(0, int)
        shift = np.cumsum(np.bincount(place, minlength=len(old) + 1))[: len(old)]
        self.ids = pl.concat([old, new]).sort()
        self._code_of_old = (np.arange(len(old)) + shift).astype(np.int32)
        self._codes = pl.DataFrame(
            {"id": self.ids, "code": pl.Series(np.arange(len(self.ids), dtype=np.int32))}
        )

    def of_old(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns the new codes of old codes; -1 stays -1."""
        if not len(self._code_of_old):
            return codes
        return np.where(codes < 0, np.int32(-1), self._code_of_old[codes])

    def of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Returns the codes of ids, all of which are in the union."""
        asked = pl.DataFrame({"id": ids})
        found = asked.join(self._codes, on="id", how="left", maintain_order="left")
        codes: NDArray[np.int32] = found["code"].to_numpy()
        return codes


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Records as codes; a pair may occur more than once."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    plays: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None

    def and_those_of(self, other: _Pairs) -> _Pairs:
        """Returns the records of both, with times where those of both are known."""
        timestamps = None
        if self.timestamps is not None and other.timestamps is not None:
            timestamps = np.concatenate([self.timestamps, other.timestamps])
        return _Pairs(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.items, other.items]),
            np.concatenate([self.plays, other.plays]),
            timestamps,
        )

    def without_those_of(self, data: _Pairs) -> tuple[_Pairs, int]:
        """Returns what data do not hold at the same second, and how many records they hold."""
        if self.timestamps is None or data.timestamps is None:
            return self, 0
        left = not_held(
            Timed(self.users, self.items, self.plays, self.timestamps),
            Timed(data.users, data.items, data.plays, data.timestamps),
        )
        which = left > 0
        rest = _Pairs(self.users[which], self.items[which], left[which], self.timestamps[which])
        return rest, int((left < self.plays).sum())

    def with_reactions(
        self,
        reactions: pl.DataFrame,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        *,
        n_items: int,
        rules: EventRules,
    ) -> _Pairs:
        """Returns the records with the reactions of their users counted in.

        Args:
            reactions: from ``reactions_of``.
            users: int32, shape (n_reactions,), the code of the user of each reaction.
            items: int32, shape (n_reactions,), the code of the artist of each reaction.
            n_items: number of item codes.
            rules: how many units each type of event counts.
        """
        if not len(reactions):
            return self
        keys = users.astype(np.int64) * n_items + items
        order = np.argsort(keys)
        keys, users, items, reactions = keys[order], users[order], items[order], reactions[order]
        own = self.users.astype(np.int64) * n_items + self.items
        nearest = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
        # A record without an item has the key of another pair.
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


def _of_users(events: pl.DataFrame, hashes: frozenset[bytes]) -> pl.Series:
    """Marks the events of users with given hashes."""
    users: Sequence[str] = events["user"].unique().to_list() if hashes else []
    return events["user"].is_in([user for user in users if user_hash(user) in hashes])


def _nothing() -> Records:
    """Returns empty records."""
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
            max(stored.event.plays, MIN_PLAYS),  # stored events may be older than that rule
            stored.at,
        )
        for stored in events
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _microseconds(seconds: int | None) -> int:
    return np.iinfo(np.int64).min if seconds is None else (seconds + 1) * MICROSECONDS - 1
