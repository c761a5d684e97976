"""Storing and reading events in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from app.events.event import Event, StoredEvent
from app.store.course import Mark
from app.store.event_columns import NewRow
from app.store.interface import Outcome, Status
from app.store.sql.base import NO_LIMIT, SqlBase
from app.store.sql.connection import Connection
from app.store.sql.rows import COLUMNS, INSERTED_COLUMNS, rows_of, stored_events

# The number and the digest of the event that is stored under a key.
_Known: TypeAlias = tuple[int, bytes]
# An event to store: its key, when it was received, the event, and the number that it should get.
Arrival: TypeAlias = tuple[bytes, int, Event, int]


class SqlEvents(SqlBase):
    """Events in SQL; see ``EventStore`` for what its methods do."""

    _last_stored: tuple[int, Mark] | None = None

    def append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        """Stores events in one transaction; see ``EventStore``."""
        arrivals = [(event.key(), received_at, event, 0) for event in events]
        with self._writing() as connection:
            # Locks the row in PostgreSQL; SQLite has one writer at a time anyway.
            before = self._lock_sequence(connection)
            outcomes, last = self._store(connection, arrivals, before)
            if last > before:
                self._raise_sequence(connection, last)
        if last > before:
            # Of the last event that is new, which has that number.
            keys = [
                key
                for (key, *_), outcome in zip(arrivals, outcomes, strict=True)
                if outcome.sequence == last
            ]
            self._last_stored = last, Mark.of(keys[0], received_at)
        return outcomes

    @property
    def last_stored(self) -> tuple[int, Mark] | None:
        """The number and the mark of the last event that this object has stored."""
        return self._last_stored

    def _store(
        self, connection: Connection, arrivals: Sequence[Arrival], last: int
    ) -> tuple[list[Outcome], int]:
        """Stores the events that are not stored yet.

        Args:
            connection: a connection in a transaction that holds the lock.
            arrivals: the events in order; each gets its number, or the next one if that is taken.
            last: number of the last event or tombstone.

        Returns:
            The outcome of each event, and the new last number.
        """
        known = dict(self._known(connection, [key for key, _, _, _ in arrivals]))
        outcomes, new = [], []
        for key, received_at, event, wanted in arrivals:
            digest = event.digest()
            if key in known:
                sequence, digest_there = known[key]
                same = digest == digest_there
                outcomes.append(Outcome(Status.REPEATED if same else Status.CONFLICT, sequence))
                continue
            last = max(last + 1, wanted)
            known[key] = last, digest
            outcomes.append(Outcome(Status.STORED, last))
            new.append(NewRow(last, key, digest, received_at, event))
        if new:
            rows = rows_of(new)
            marks = ", ".join([self._mark] * len(rows[0]))
            self._insert(
                connection,
                f"INSERT INTO events ({INSERTED_COLUMNS}) VALUES ({marks})",  # noqa: S608 - no input
                rows,
            )
        return outcomes, last

    def events_of(
        self, user_id: str, *, limit: int, before: int | None = None
    ) -> list[StoredEvent]:
        """Returns a user's events, highest number first."""
        with self._reading() as connection:
            rows = self._execute(
                connection,
                f"SELECT {COLUMNS} FROM events WHERE user_id = ? AND sequence < ? "  # noqa: S608
                "ORDER BY sequence DESC LIMIT ?",
                user_id.encode(),
                NO_LIMIT if before is None else before,
                limit,
            ).fetchall()
        return stored_events(rows)

    def events_between(self, after: int, up_to: int, *, limit: int) -> list[StoredEvent]:
        """Returns events of all users by number."""
        with self._reading() as connection:
            rows = self._rows_between(connection, f"{COLUMNS} FROM events", after, up_to, limit)
        return stored_events(rows)

    def count_of(self, user_id: str) -> int:
        """Returns how many events of a user there are."""
        with self._reading() as connection:
            statement = "SELECT count(*) FROM events WHERE user_id = ?"
            return int(self._execute(connection, statement, user_id.encode()).fetchone()[0])

    def latest_of_users(self, after: int) -> list[tuple[str, int]]:
        """Returns the users with events numbered above ``after``."""
        with self._following() as connection:
            rows = self._execute(
                connection,
                "SELECT user_id, max(sequence) FROM events WHERE sequence > ? GROUP BY user_id",
                after,
            ).fetchall()
        return [(bytes(user).decode(), int(sequence)) for user, sequence in rows]

    def _known(
        self, connection: Connection, keys: Sequence[bytes]
    ) -> Iterator[tuple[bytes, _Known]]:
        found = self._among(
            connection, "SELECT key, sequence, digest FROM events WHERE key IN ({among})", keys
        )
        for key, sequence, digest in found:
            yield bytes(key), (int(sequence), bytes(digest))
