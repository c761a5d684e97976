"""The event store in SQL, as far as databases agree."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from app.errors import StoreUnavailable
from app.event_types import SEEN_TYPES
from app.events import Event, EventType, StoredEvent, user_hash
from app.store.entries import Tombstone
from app.store.interface import Outcome, PlayedArtist, Status
from app.store.migrations import MIGRATIONS
from app.store.stamps import stamp_key

# Older SQLites take no more than 999 parameters.
_VALUES_AT_ONCE: Final = 500
_ID_BYTES: Final = 16
# Above any number.
NO_LIMIT: Final = 2**63 - 1
COLUMNS: Final = (
    "sequence, received_at, happened_at, user_id, artist_id, type, plays, is_timed, event_id, "
    "artist_name"
)
# What stands under a key: the number and the digest.
_Known: TypeAlias = tuple[int, bytes]
# What is to be stored: the key, when it was received, the event, and the number it should get.
Arrival: TypeAlias = tuple[bytes, int, Event, int]


class Cursor(Protocol):
    """What a driver returns for a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Returns the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Returns all rows that are left."""
        ...


class Connection(Protocol):
    """What the drivers have in common."""

    def execute(self, statement: str, parameters: Sequence[Any] = ...) -> Cursor:
        """Runs a statement, whose parameters are marked as the database wants it."""
        ...


@dataclass(frozen=True, slots=True)
class _Identity:
    """The id of a store, how often it was pruned, up to which numbers it has events of others."""

    id: str = ""
    prunings: int = 0
    origins: Mapping[str, int] = field(default_factory=dict)


class SqlEventStore(ABC):
    """An event store in SQL; see ``EventStore`` for what its methods do."""

    # How the database marks a parameter, and what it calls the types.
    _mark: str
    _types: Mapping[str, str]

    def __init__(self) -> None:
        # Replaced as a whole: other threads read it.
        self._identity = _Identity()

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connection]:
        """Begins a transaction that no other writer shares; commits it, or rolls it back.

        Raises:
            StoreUnavailable: the database is in trouble, at any point.
        """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Lends a connection that sees what is committed.

        Raises:
            StoreUnavailable: the database is in trouble, at any point.
        """

    def _following(self) -> AbstractContextManager[Connection]:
        """Lends a connection for what counts or follows, which may take longer.

        Raises:
            StoreUnavailable: the database is in trouble, at any point.
        """
        return self._reading()

    @abstractmethod
    def _insert(self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Runs an insertion for many rows."""

    @abstractmethod
    def wait_for_news(self, seconds: float) -> None:
        """Waits until another one has stored something; see ``EventStore``."""

    @abstractmethod
    def close(self) -> None:
        """Closes all connections; see ``EventStore``."""

    @property
    def id(self) -> str:
        """Identifies the store."""
        return self._identity.id

    @property
    def prunings(self) -> int:
        """How often events were pruned."""
        return self._identity.prunings

    def shared_up_to(self, store_id: str) -> int:
        """Returns up to which number the events are those of another store."""
        identity = self._identity
        return NO_LIMIT if store_id == identity.id else identity.origins.get(store_id, 0)

    def append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        """Stores events in one transaction; see ``EventStore``."""
        arrivals = [(event.key(), received_at, event, 0) for event in events]
        with self._writing() as connection:
            # Locks the row in PostgreSQL; SQLite has one writer at a time anyway.
            before = self._lock_sequence(connection)
            outcomes, last = self._store(connection, arrivals, before)
            if last > before:
                self._raise_sequence(connection, last)
        return outcomes

    def _store(
        self, connection: Connection, arrivals: Sequence[Arrival], last: int
    ) -> tuple[list[Outcome], int]:
        """Stores what is not there yet.

        Args:
            connection: in a transaction that has the lock.
            arrivals: in their order; each gets its number, or the next one if that is taken.
            last: number of the last event or tombstone.

        Returns:
            What became of each, and the last number now.
        """
        known = dict(self._known(connection, [key for key, _, _, _ in arrivals]))
        outcomes, rows = [], []
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
            rows.append(_row(last, key, digest, received_at, event))
        if rows:
            marks = ", ".join([self._mark] * len(rows[0]))
            columns = "key, digest, " + COLUMNS
            self._insert(
                connection,
                f"INSERT INTO events ({columns}) VALUES ({marks})",  # noqa: S608 - no input
                rows,
            )
        return outcomes, last

    def _raise_sequence(self, connection: Connection, last: int) -> None:
        self._execute(connection, "UPDATE event_store SET last_sequence = ?", last)
        self._announce(connection)

    def last_sequence(self) -> int:
        """Returns the number of the last event."""
        with self._reading() as connection:
            row = self._execute(connection, "SELECT last_sequence FROM event_store").fetchone()
            self._learn_identity(connection)  # which upkeep may have changed
        return int(row[0])

    def events_of(
        self, user_id: str, *, limit: int, before: int | None = None
    ) -> list[StoredEvent]:
        """Returns a user's events, latest number first."""
        with self._reading() as connection:
            rows = self._execute(
                connection,
                f"SELECT {COLUMNS} FROM events WHERE user_id = ? AND sequence < ? "  # noqa: S608
                "ORDER BY sequence DESC LIMIT ?",
                user_id.encode(),
                NO_LIMIT if before is None else before,
                limit,
            ).fetchall()
        return list(map(stored, rows))

    def events_between(self, after: int, up_to: int, *, limit: int) -> list[StoredEvent]:
        """Returns events of all users by number."""
        with self._reading() as connection:
            rows = self._rows_between(connection, f"{COLUMNS} FROM events", after, up_to, limit)
        return list(map(stored, rows))

    def _rows_between(
        self, connection: Connection, what: str, after: int, up_to: int, limit: int
    ) -> list[Any]:
        """Returns rows by number, the lowest ones; ``what`` are columns and a table."""
        statement = f"SELECT {what} WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        return self._execute(connection, statement, after, up_to, limit).fetchall()

    def count_of(self, user_id: str) -> int:
        """Returns how many events of a user there are."""
        with self._reading() as connection:
            statement = "SELECT count(*) FROM events WHERE user_id = ?"
            return int(self._execute(connection, statement, user_id.encode()).fetchone()[0])

    def latest_of_users(self, after: int) -> list[tuple[str, int]]:
        """Returns who has events with numbers above ``after``."""
        with self._following() as connection:
            rows = self._execute(
                connection,
                "SELECT user_id, max(sequence) FROM events WHERE sequence > ? GROUP BY user_id",
                after,
            ).fetchall()
        return [(bytes(user).decode(), int(sequence)) for user, sequence in rows]

    def erase(self, user_id: str, erased_at: int) -> int:
        """Deletes a user's events and leaves a tombstone; see ``EventStore``."""
        user = user_id.encode()
        with self._writing() as connection:
            sequence = self._lock_sequence(connection) + 1
            statement = "SELECT count(*), max(received_at) FROM events WHERE user_id = ?"
            erased, latest = self._execute(connection, statement, user).fetchone()
            self._execute(connection, "DELETE FROM events WHERE user_id = ?", user)
            # Clocks may differ: in other stores, too, it comes after what it erases.
            erased_at = max(erased_at, latest or 0)
            tombstone = Tombstone(sequence, user_hash(user_id), stamp_key(user_id), erased_at)
            self._leave(connection, tombstone)
            self._raise_sequence(connection, sequence)
        self._wipe()
        return int(erased)

    def _leave(self, connection: Connection, tombstone: Tombstone) -> None:
        """Puts a tombstone in the place of an earlier one."""
        hashed = tombstone.user_hash
        self._execute(connection, "DELETE FROM tombstones WHERE user_hash = ?", hashed)
        self._execute(
            connection,
            "INSERT INTO tombstones (user_hash, stamp_key, sequence, erased_at) "
            "VALUES (?, ?, ?, ?)",
            hashed,
            tombstone.stamp_key,
            tombstone.sequence,
            tombstone.erased_at,
        )

    @abstractmethod
    def _wipe(self) -> None:
        """Lets go of what was deleted, where the database would keep it for a while."""

    def tombstone_of(self, user_id: str) -> int:
        """Returns the number of a user's tombstone, 0 without one."""
        with self._reading() as connection:
            statement = "SELECT sequence FROM tombstones WHERE user_hash = ?"
            row = self._execute(connection, statement, user_hash(user_id)).fetchone()
        return 0 if row is None else int(row[0])

    def tombstones(self, up_to: int) -> list[tuple[bytes, int]]:
        """Returns the hashes of who was erased, and the tombstones' numbers."""
        with self._following() as connection:
            statement = "SELECT user_hash, sequence FROM tombstones WHERE sequence <= ?"
            rows = self._execute(connection, statement, up_to).fetchall()
        return [(bytes(hashed), int(sequence)) for hashed, sequence in rows]

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        """Returns the stamp keys and numbers of later tombstones."""
        with self._following() as connection:
            statement = "SELECT stamp_key, sequence FROM tombstones WHERE sequence > ?"
            rows = self._execute(connection, statement, after).fetchall()
        return [(int(key), int(sequence)) for key, sequence in rows]

    def latest_of_artists(self, after: int) -> list[tuple[str, int]]:
        """Returns which artists have events with numbers above ``after``."""
        with self._following() as connection:
            rows = self._execute(
                connection,
                "SELECT artist_id, max(sequence) FROM events WHERE sequence > ? GROUP BY artist_id",
                after,
            ).fetchall()
        return [(bytes(artist).decode(), int(sequence)) for artist, sequence in rows]

    def listeners_of(self, artist_id: str, *, limit: int) -> list[str]:
        """Returns whose events say that they have seen an artist, latest first."""
        marks = ", ".join("?" * len(SEEN_TYPES))
        with self._following() as connection:
            rows = self._execute(
                connection,
                f"SELECT user_id FROM events WHERE artist_id = ? AND type IN ({marks}) "  # noqa: S608
                "GROUP BY user_id ORDER BY max(sequence) DESC LIMIT ?",
                artist_id.encode(),
                *(kind.encode() for kind in SEEN_TYPES),
                limit,
            ).fetchall()
        return [bytes(user).decode() for (user,) in rows]

    def names_of(self, artist_ids: Sequence[str]) -> dict[str, str]:
        """Returns the names of artists as the latest event has them."""
        with self._reading() as connection:
            encoded = [artist_id.encode() for artist_id in artist_ids]
            names = list(self._latest_names(connection, encoded))
        return {artist.decode(): name for artist, name in names}

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        """Returns the artists that were played most."""
        statement = (
            "SELECT artist_id, count(DISTINCT user_id) AS listeners, sum(plays) AS total "
            "FROM events WHERE happened_at >= ? AND type = ? GROUP BY artist_id ORDER BY "
        )
        statement += "total DESC, listeners DESC" if by_plays else "listeners DESC, total DESC"
        with self._following() as connection:
            rows = self._execute(
                connection,
                statement + ", artist_id LIMIT ?",
                since,
                EventType.PLAY.encode(),
                limit,
            ).fetchall()
            artists = [bytes(artist) for artist, _, _ in rows]
            names = dict(self._latest_names(connection, artists))
        return [
            PlayedArtist(artist.decode(), names.get(artist), int(listeners), float(plays))
            for artist, (_, listeners, plays) in zip(artists, rows, strict=True)
        ]

    def set_available(self, artist_id: str, *, is_available: bool) -> int:
        """Takes an artist out of the assortment, or back into it."""
        with self._writing() as connection:
            self._lock_sequence(connection)
            self._execute(
                connection,
                "DELETE FROM unavailable_artists WHERE artist_id = ?",
                artist_id.encode(),
            )
            if not is_available:
                self._execute(
                    connection, "INSERT INTO unavailable_artists VALUES (?)", artist_id.encode()
                )
            self._execute(
                connection, "UPDATE event_store SET assortment_version = assortment_version + 1"
            )
            self._announce(connection)
            return self._assortment_version(connection)

    def assortment_version(self) -> int:
        """Returns the version of the assortment."""
        with self._reading() as connection:
            return self._assortment_version(connection)

    def unavailable_artists(self) -> tuple[int, list[str]]:
        """Returns the version of the assortment, and the artists that are out of it."""
        with self._following() as connection:
            # The version first: what is read is at least as new.
            version = self._assortment_version(connection)
            rows = self._execute(connection, "SELECT artist_id FROM unavailable_artists").fetchall()
        return version, sorted(bytes(artist).decode() for (artist,) in rows)

    def check_writable(self) -> None:
        """Writes something that changes nothing."""
        with self._writing() as connection:
            self._execute(connection, "UPDATE event_store SET checked_at = checked_at + 1")

    def _migrate(self, connection: Connection) -> None:
        """Brings the tables up to date, in a transaction, and learns the store's id.

        Raises:
            StoreUnavailable: a later Encore has made them.
        """
        self._execute(
            connection, "CREATE TABLE IF NOT EXISTS event_store_migrations (done BIGINT NOT NULL)"
        )
        found = self._execute(connection, "SELECT max(done) FROM event_store_migrations").fetchone()
        done = int(found[0] or 0)
        if done > len(MIGRATIONS):
            raise StoreUnavailable(
                "newer",
                f"the tables of the event store are those of a later Encore (step {done}, and this "
                f"one knows {len(MIGRATIONS)}); run that version, or name another "
                "ENCORE_DATABASE_URL",
            )
        for number, step in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in step:
                connection.execute(statement.format_map(self._types))
            self._execute(connection, "INSERT INTO event_store_migrations VALUES (?)", number)
        if done == 0:
            self._execute(
                connection,
                "INSERT INTO event_store (id, last_sequence, checked_at) VALUES (?, 0, 0)",
                new_id(),
            )
        self._learn_identity(connection)

    def _learn_identity(self, connection: Connection) -> None:
        # In this order: who is renewed in between has its former id among the origins at least.
        row = self._execute(connection, "SELECT id, prunings FROM event_store").fetchone()
        rows = self._execute(connection, "SELECT store_id, sequence FROM origins").fetchall()
        origins = {bytes(store_id).decode(): int(sequence) for store_id, sequence in rows}
        self._identity = _Identity(bytes(row[0]).decode(), int(row[1]), origins)

    def _lock_sequence(self, connection: Connection) -> int:
        row = self._execute(connection, "SELECT last_sequence FROM event_store").fetchone()
        return int(row[0])

    def _assortment_version(self, connection: Connection) -> int:
        row = self._execute(connection, "SELECT assortment_version FROM event_store").fetchone()
        return int(row[0])

    @abstractmethod
    def _announce(self, connection: Connection) -> None:
        """Tells others of what is about to be committed, where the database can."""

    def _known(
        self, connection: Connection, keys: Sequence[bytes]
    ) -> Iterator[tuple[bytes, _Known]]:
        found = self._among(
            connection, "SELECT key, sequence, digest FROM events WHERE key IN ({among})", keys
        )
        for key, sequence, digest in found:
            yield bytes(key), (int(sequence), bytes(digest))

    def _latest_names(
        self, connection: Connection, artists: Sequence[bytes]
    ) -> Iterator[tuple[bytes, str]]:
        found = self._among(
            connection,
            "SELECT artist_id, artist_name FROM events WHERE sequence IN (SELECT max(sequence) "
            "FROM events WHERE artist_id IN ({among}) AND artist_name IS NOT NULL "
            "GROUP BY artist_id)",
            artists,
        )
        for artist, name in found:
            yield bytes(artist), bytes(name).decode()

    def _among(
        self, connection: Connection, statement: str, values: Sequence[bytes]
    ) -> Iterator[Any]:
        """Runs a statement for values, some at a time."""
        for start in range(0, len(values), _VALUES_AT_ONCE):
            part = values[start : start + _VALUES_AT_ONCE]
            marks = ", ".join("?" * len(part))
            yield from self._execute(connection, statement.format(among=marks), *part).fetchall()

    def _execute(self, connection: Connection, statement: str, *parameters: Any) -> Cursor:
        return connection.execute(statement.replace("?", self._mark), parameters)


def new_id() -> bytes:
    """Returns the id of a store that is none of those there are."""
    return secrets.token_hex(_ID_BYTES).encode()


def _row(
    sequence: int, key: bytes, digest: bytes, received_at: int, event: Event
) -> tuple[Any, ...]:
    return (
        key,
        digest,
        sequence,
        received_at,
        received_at if event.timestamp is None else event.timestamp,
        event.user_id.encode(),
        event.artist_id.encode(),
        event.type.encode(),
        event.plays,
        int(event.timestamp is not None),
        None if event.event_id is None else event.event_id.encode(),
        None if event.artist_name is None else event.artist_name.encode(),
    )


def stored(row: Sequence[Any]) -> StoredEvent:
    """Returns the event of a row of ``COLUMNS``."""
    sequence, received_at, happened_at, user, artist, kind, plays, is_timed, event_id, name = row
    return StoredEvent(
        int(sequence),
        int(received_at),
        Event(
            user_id=bytes(user).decode(),
            artist_id=bytes(artist).decode(),
            type=EventType(bytes(kind).decode()),
            plays=float(plays),
            timestamp=int(happened_at) if is_timed else None,
            event_id=None if event_id is None else bytes(event_id).decode(),
            artist_name=None if name is None else bytes(name).decode(),
        ),
    )
