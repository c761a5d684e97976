"""The upkeep of an event store: merging, pruning and copying, which no request needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol

from app.events.event import user_hash
from app.events.event_types import EventType
from app.store.entries import Absorbed, Entry, Erasure, KeyedEvent, Source, Statistics, Tombstone
from app.store.interface import EventStore, Status
from app.store.sql.connection import Connection
from app.store.sql.rows import COLUMNS, stored_events
from app.store.sql.store import SqlEventStore

# How long long work rests between two parts, so that other writers get their turn: a process that
# waits for SQLite's lock tries every 0.1 s.
REST_SECONDS: Final = 0.1
_USERS_AT_ONCE: Final = 10_000
_NEVER: Final = -1
_COUNTS: Final = {
    Status.STORED: "stored",
    Status.REPEATED: "repeated",
    Status.CONFLICT: "conflicts",
}


class MaintainableStore(EventStore, Protocol):
    """An event store with upkeep; each call may raise ``StoreUnavailable``."""

    def entries_between(self, after: int, up_to: int, *, limit: int) -> list[Entry]:
        """Returns events and tombstones by number.

        Args:
            after: only entries with higher numbers.
            up_to: the highest number.
            limit: how many entries at most; those with the lowest numbers.
        """
        ...

    def users_by_hash(self, hashes: Collection[bytes]) -> dict[bytes, str]:
        """Returns the users with events whose hash is among ``hashes``, by hash."""
        ...

    def absorb(
        self,
        entries: Sequence[Entry],
        erasures: Mapping[bytes, Erasure],
        source: Source,
        up_to: int,
    ) -> Absorbed:
        """Stores entries of another store in one transaction; durable when it returns.

        Events keep their keys, so events that are absorbed twice count once. They also keep their
        numbers as long as all numbers up to theirs came from the same store; then a model that has
        learned the other store's events knows them here, too. A tombstone deletes the older events
        of its user, and older ones that come later are not stored. The number decides which is
        older among entries of one store, the time between stores.

        Args:
            entries: entries in the order of their numbers.
            erasures: all tombstones of the other store, by user hash.
            source: the other store.
            up_to: the number up to which this call and those before it have all its entries.

        Returns:
            The entries of this call, counted by outcome.
        """
        ...

    def prune(self, before: int, types: Collection[EventType], *, limit: int) -> int:
        """Deletes events that happened before a time.

        Args:
            before: in microseconds since 1970 (UTC).
            types: the types of the events to delete.
            limit: how many events at most, the oldest first, so that writers do not wait for long.

        Returns:
            How many events were deleted.
        """
        ...

    def count_before(self, before: int, types: Collection[EventType]) -> int:
        """Returns how many events ``prune`` would delete."""
        ...

    def statistics(self) -> Statistics:
        """Returns the statistics of the store."""
        ...

    def renew(self, shared_up_to: int | None = None) -> str:
        """Gives the store a new id, which a copy needs when both stores go on separately.

        Args:
            shared_up_to: the number up to which models that have learned events of the former id
                know the events of this store; None for all of them.

        Returns:
            The new id.
        """
        ...

    def compact(self) -> None:
        """Rewrites the store, so that nothing deleted is left in its pages; others wait for it."""
        ...

    def backup(self, path: Path) -> Statistics:
        """Copies the store to a file, whole or not at all; it may be written to meanwhile.

        The copy is checked, holds nothing deleted, and has an id of its own, as ``renew`` gives.

        Args:
            path: the file; replaced if it exists.

        Returns:
            The statistics of the copy.

        Raises:
            OSError: the file cannot be written.
        """
        ...


class SqlUpkeep(SqlEventStore):
    """The upkeep in SQL; see ``MaintainableStore`` for what its methods do."""

    @abstractmethod
    def backup(self, path: Path) -> Statistics:
        """Copies the store to a file; see ``MaintainableStore``."""

    def entries_between(self, after: int, up_to: int, *, limit: int) -> list[Entry]:
        """Returns events and tombstones by number."""
        bounds = after, up_to, limit
        fields = "sequence, user_hash, stamp_key, erased_at"
        with self._reading() as connection:
            events = self._rows_between(connection, f"key, {COLUMNS} FROM events", *bounds)
            tombstones = self._rows_between(connection, f"{fields} FROM tombstones", *bounds)
        entries: list[Entry] = _keyed(events)
        entries += [
            Tombstone(int(sequence), bytes(hashed), int(key), int(erased_at))
            for sequence, hashed, key, erased_at in tombstones
        ]
        return sorted(entries, key=attrgetter("sequence"))[:limit]

    def users_by_hash(self, hashes: Collection[bytes]) -> dict[bytes, str]:
        """Returns the users with events whose hash is among ``hashes``."""
        if not hashes:
            return {}
        wanted, found = frozenset(hashes), {}
        for user in self._users():
            if (hashed := user_hash(user)) in wanted:
                found[hashed] = user
        return found

    def absorb(
        self,
        entries: Sequence[Entry],
        erasures: Mapping[bytes, Erasure],
        source: Source,
        up_to: int,
    ) -> Absorbed:
        """Stores entries of another store in one transaction."""
        with self._writing() as connection:
            before = self._lock_sequence(connection)
            self._learn_identity(connection)
            # Whether all numbers so far came from the source, so that new events can keep theirs.
            is_mirror = source.store_id != self.id and before == self.shared_up_to(source.store_id)
            absorption = _Absorption(before, same_numbers=is_mirror)
            erased = self._erasures(connection, entries)
            events: list[KeyedEvent] = []
            for entry in entries:
                if isinstance(entry, KeyedEvent):
                    if _is_of_erased(entry, erasures, erased):
                        absorption.counts.of_erased += 1
                    else:
                        events.append(entry)
                elif entry.erased_at > erased.get(entry.user_hash, _NEVER):
                    # Events before the tombstone are stored first, since numbers have to rise.
                    self._absorb_events(connection, events, absorption)
                    events = []
                    erased[entry.user_hash] = entry.erased_at
                    self._absorb_tombstone(connection, erasures[entry.user_hash], absorption)
            self._absorb_events(connection, events, absorption)
            last = absorption.last
            if absorption.same_numbers:
                last = max(last, up_to)
                for store_id, shared in {**source.origins, source.store_id: last}.items():
                    self._set_origin(connection, store_id, min(shared, last))
            if last > before:
                self._raise_sequence(connection, last)
            if absorption.counts.events_erased:
                self.owe_wipe()
        self.wipe()
        return absorption.counts

    def _absorb_events(
        self, connection: Connection, events: Sequence[KeyedEvent], absorption: _Absorption
    ) -> None:
        arrivals = [
            (one.key, one.received_at, one.event, absorption.number_for(one)) for one in events
        ]
        outcomes, absorption.last = self._store(connection, arrivals, absorption.last)
        for event, outcome in zip(events, outcomes, strict=True):
            if outcome.status is Status.STORED:
                absorption.has_got(event, outcome.sequence)
                absorption.counts.renumbered += not absorption.same_numbers
            name = _COUNTS[outcome.status]
            setattr(absorption.counts, name, getattr(absorption.counts, name) + 1)

    def _absorb_tombstone(
        self,
        connection: Connection,
        erasure: Erasure,
        absorption: _Absorption,
    ) -> None:
        tombstone = erasure.tombstone
        number = max(absorption.last + 1, absorption.number_for(tombstone))
        absorption.has_got(tombstone, number)
        absorption.last = number
        self._leave(connection, replace(tombstone, sequence=number))
        absorption.counts.users_erased += 1
        if erasure.user_id is not None:
            deleted = self._execute(
                connection,
                "DELETE FROM events WHERE user_id = ? AND received_at <= ?",
                erasure.user_id.encode(),
                tombstone.erased_at,
            )
            absorption.counts.events_erased += deleted.rowcount

    def prune(self, before: int, types: Collection[EventType], *, limit: int) -> int:
        """Deletes events that happened before a time."""
        condition, values = _older(before, types)
        with self._writing() as connection:
            # First, as all writers do: two that lock in different orders would deadlock.
            self._lock_sequence(connection)
            deleted = self._execute(
                connection,
                "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events "  # noqa: S608
                f"{condition} ORDER BY happened_at, sequence LIMIT ?)",
                *values,
                limit,
            ).rowcount
            if deleted:
                self._update(connection, "prunings = prunings + 1")
                self._announce(connection)
                self.owe_wipe()
        if deleted < limit:
            self.wipe()
        return deleted

    def count_before(self, before: int, types: Collection[EventType]) -> int:
        """Returns how many events ``prune`` would delete."""
        condition, values = _older(before, types)
        with self._surveying() as connection:
            statement = f"SELECT count(*) FROM events {condition}"  # noqa: S608 - no input
            return int(self._execute(connection, statement, *values).fetchone()[0])

    def statistics(self) -> Statistics:
        """Returns the statistics of the store."""
        with self._surveying() as connection:
            self._learn_identity(connection)
            identity = self._identity

            def one(statement: str) -> Any:
                return self._execute(connection, statement).fetchone()

            by_type = self._execute(
                connection, "SELECT type, count(*) FROM events GROUP BY type"
            ).fetchall()
            first, last = one("SELECT min(happened_at), max(happened_at) FROM events")
            return Statistics(
                store_id=identity.id,
                last_sequence=int(one("SELECT last_sequence FROM event_store")[0]),
                events={EventType(bytes(kind).decode()): int(count) for kind, count in by_type},
                users=int(one("SELECT count(DISTINCT user_id) FROM events")[0]),
                artists=int(one("SELECT count(DISTINCT artist_id) FROM events")[0]),
                first=None if first is None else int(first),
                last=None if last is None else int(last),
                erased_users=int(one("SELECT count(*) FROM tombstones")[0]),
                unavailable_artists=int(one("SELECT count(*) FROM unavailable_artists")[0]),
                origins=identity.origins,
            )

    def _surveying(self) -> AbstractContextManager[Connection]:
        """Lends a connection for questions that may take long."""
        return self._reading()

    def _users(self) -> Iterator[str]:
        after, comparison = b"", ">="
        while True:
            with self._reading() as connection:
                rows = self._execute(
                    connection,
                    f"SELECT DISTINCT user_id FROM events WHERE user_id {comparison} ? "  # noqa: S608
                    "ORDER BY user_id LIMIT ?",
                    after,
                    _USERS_AT_ONCE,
                ).fetchall()
            if not rows:
                return
            for (user,) in rows:
                yield bytes(user).decode()
            after, comparison = bytes(rows[-1][0]), ">"

    def _erasures(self, connection: Connection, entries: Sequence[Entry]) -> dict[bytes, int]:
        """Returns when the users of entries were erased in this store, by hash."""
        hashes = {
            entry.user_hash if isinstance(entry, Tombstone) else user_hash(entry.event.user_id)
            for entry in entries
        }
        found = self._among(
            connection,
            "SELECT user_hash, erased_at FROM tombstones WHERE user_hash IN ({among})",
            list(hashes),
        )
        return {bytes(hashed): int(erased_at) for hashed, erased_at in found}


@dataclass(slots=True)
class _Absorption:
    """The progress of absorbing entries.

    Attributes:
        last: number of the last event or tombstone.
        same_numbers: whether all numbers are still those of the source.
        counts: the entries by outcome.
    """

    last: int
    same_numbers: bool
    counts: Absorbed = field(default_factory=Absorbed)

    def number_for(self, entry: Entry) -> int:
        """Returns the lowest number that an entry should get, 0 for any."""
        return entry.sequence if self.same_numbers else 0

    def has_got(self, entry: Entry, number: int) -> None:
        """Records the number that an entry got, or already had."""
        self.same_numbers = self.same_numbers and number == entry.sequence


def _keyed(rows: Sequence[Sequence[Any]]) -> list[Entry]:
    events = stored_events([row[1:] for row in rows])
    return [
        KeyedEvent(one.sequence, bytes(row[0]), one.received_at, one.event)
        for row, one in zip(rows, events, strict=True)
    ]


def _is_of_erased(
    event: KeyedEvent, erasures: Mapping[bytes, Erasure], erased: Mapping[bytes, int]
) -> bool:
    """Says whether an event is from before its user was erased, there or here."""
    hashed = user_hash(event.event.user_id)
    there, here = erasures.get(hashed), erased.get(hashed, _NEVER)
    if there is None:
        return event.received_at <= here
    if event.sequence < there.tombstone.sequence:
        return True
    # The source's numbers tell the order of its own entries, which clocks of two hosts do not.
    return here > there.tombstone.erased_at and event.received_at <= here


def _older(before: int, types: Collection[EventType]) -> tuple[str, list[Any]]:
    marks = ", ".join("?" * len(types))
    return f"WHERE happened_at < ? AND type IN ({marks})", [before, *(t.encode() for t in types)]
