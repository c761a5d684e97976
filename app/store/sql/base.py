"""The base of event stores in SQL: connections, the lock, and the identity of the store."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from app.errors import StoreUnavailable
from app.store.migrations import MIGRATIONS
from app.store.sql.connection import Connection, Cursor

# Older versions of SQLite take at most 999 parameters.
_VALUES_AT_ONCE: Final = 500
_ID_BYTES: Final = 16
# Above any number.
NO_LIMIT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Identity:
    """The id of a store, how often it was pruned, and up to which numbers it shares events."""

    id: str = ""
    prunings: int = 0
    origins: Mapping[str, int] = field(default_factory=dict)


class SqlBase(ABC):
    """A database with the tables of an event store; see ``EventStore`` for its public methods."""

    # The database's mark for a parameter, and its names of the types.
    _mark: str
    _types: Mapping[str, str]

    def __init__(self) -> None:
        # Replaced as a whole: other threads read it.
        self._identity = _Identity()

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connection]:
        """Begins a transaction that excludes other writers; commits it, or rolls it back.

        Raises:
            StoreUnavailable: the database fails, at any point.
        """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Lends a connection that sees committed data.

        Raises:
            StoreUnavailable: the database fails, at any point.
        """

    def _following(self) -> AbstractContextManager[Connection]:
        """Lends a connection for questions that count or follow, which may take longer.

        Raises:
            StoreUnavailable: the database fails, at any point.
        """
        return self._reading()

    def _making(self) -> AbstractContextManager[Connection]:
        """Begins a transaction that makes tables, which may take longer.

        Raises:
            StoreUnavailable: the database fails, at any point.
        """
        return self._writing()

    @abstractmethod
    def _insert(self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Runs an insertion for many rows."""

    @abstractmethod
    def _announce(self, connection: Connection) -> None:
        """Notifies other processes of the coming commit, where the database can."""

    @property
    @abstractmethod
    def is_wiped(self) -> bool | None:
        """Whether no deleted data is left in the database's log; see ``EventStore``."""

    @abstractmethod
    def owe_wipe(self) -> None:
        """Records that data was deleted; see ``EventStore``."""

    @abstractmethod
    def wipe(self) -> None:
        """Removes deleted data from the database's log; see ``EventStore``."""

    @abstractmethod
    def wait_for_news(self, seconds: float) -> None:
        """Waits until another process has stored something; see ``EventStore``."""

    @abstractmethod
    def close(self) -> None:
        """Closes all connections; see ``EventStore``."""

    @property
    def id(self) -> str:
        """The store's id."""
        return self._identity.id

    @property
    def prunings(self) -> int:
        """How often events were pruned."""
        return self._identity.prunings

    def shared_up_to(self, store_id: str) -> int:
        """Returns up to which number the events are those of another store."""
        identity = self._identity
        return NO_LIMIT if store_id == identity.id else identity.origins.get(store_id, 0)

    def last_sequence(self) -> int:
        """Returns the number of the last event."""
        with self._reading() as connection:
            row = self._execute(connection, "SELECT last_sequence FROM event_store").fetchone()
            self._learn_identity(connection)  # upkeep may have changed it
        return number_of(row)

    def check_writable(self) -> None:
        """Tests whether writing works, by a write."""
        with self._writing() as connection:
            self._update(connection, "checked_at = checked_at + 1")

    @abstractmethod
    def probe(self) -> bool:
        """Tests whether writing works, without writing; see ``EventStore``."""

    def _lock_sequence(self, connection: Connection) -> int:
        return number_of(
            self._execute(connection, "SELECT last_sequence FROM event_store").fetchone()
        )

    def _raise_sequence(self, connection: Connection, last: int) -> None:
        self._update(connection, "last_sequence = ?", last)
        self._announce(connection)

    def _update(self, connection: Connection, assignment: str, *values: Any) -> None:
        """Changes the row of the store; every transaction that writes passes here.

        Raises:
            StoreUnavailable: a later Encore has changed the tables since this store was opened, so
                that what this one writes might be wrong.
        """
        changed = self._execute(
            connection,
            f"UPDATE event_store SET {assignment} "  # noqa: S608 - no input
            "WHERE (SELECT max(done) FROM event_store_migrations) <= ?",
            *values,
            len(MIGRATIONS),
        ).rowcount
        if not changed:
            self._check_step(connection)
            raise empty()

    def _check_step(self, connection: Connection) -> int:
        """Returns the number of the last step that made the tables, 0 before the first.

        Raises:
            StoreUnavailable: a later Encore made the tables.
        """
        found = self._execute(connection, "SELECT max(done) FROM event_store_migrations").fetchone()
        done = int(found[0] or 0)
        if done > len(MIGRATIONS):
            raise StoreUnavailable(
                "newer",
                f"the tables of the event store are those of a later Encore (step {done}, and this "
                f"one knows {len(MIGRATIONS)}), so this one writes nothing; run that version, or "
                "name another ENCORE_DATABASE_URL",
            )
        return done

    @abstractmethod
    def _has_tables(self, connection: Connection) -> bool:
        """Says whether the database holds an event store."""

    def _open_tables(self) -> None:
        """Brings the tables up to date; a store that is read-only has to be.

        Raises:
            StoreUnavailable: it cannot be opened, or a later Encore made the tables.
        """
        try:
            with self._making() as connection:
                self._migrate(connection)
        except StoreUnavailable as error:
            if error.reason != "readonly":
                raise
            # It can be read, and whoever writes finds out.
            with self._reading() as connection:
                if not self._has_tables(connection) or self._check_step(connection) < len(
                    MIGRATIONS
                ):
                    raise
                self._learn_identity(connection)

    def _migrate(self, connection: Connection) -> None:
        """Brings the tables up to date, in a transaction, and reads the store's identity.

        Raises:
            StoreUnavailable: a later Encore made the tables.
        """
        if not self._has_tables(connection):
            self._execute(
                connection,
                "CREATE TABLE IF NOT EXISTS event_store_migrations (done BIGINT NOT NULL)",
            )
        done = self._check_step(connection)
        if 0 < done < len(MIGRATIONS):
            self._lock_sequence(connection)  # an earlier Encore that runs may be writing
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
        # In this order: if the id is renewed in between, the origins already hold the former id.
        row = self._execute(connection, "SELECT id, prunings FROM event_store").fetchone()
        if row is None:
            raise empty()
        rows = self._execute(connection, "SELECT store_id, sequence FROM origins").fetchall()
        origins = {bytes(store_id).decode(): int(sequence) for store_id, sequence in rows}
        self._identity = _Identity(bytes(row[0]).decode(), int(row[1]), origins)

    def _rows_between(
        self, connection: Connection, what: str, after: int, up_to: int, limit: int
    ) -> list[Any]:
        """Returns rows by number, the lowest first; ``what`` names columns and a table."""
        statement = f"SELECT {what} WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        return self._execute(connection, statement, after, up_to, limit).fetchall()

    def _among(
        self, connection: Connection, statement: str, values: Sequence[bytes]
    ) -> Iterator[Any]:
        """Runs a statement for values, a part of them at a time."""
        for start in range(0, len(values), _VALUES_AT_ONCE):
            part = values[start : start + _VALUES_AT_ONCE]
            marks = ", ".join("?" * len(part))
            yield from self._execute(connection, statement.format(among=marks), *part).fetchall()

    def _execute(self, connection: Connection, statement: str, *parameters: Any) -> Cursor:
        return connection.execute(statement.replace("?", self._mark), parameters)


def number_of(row: Sequence[Any] | None) -> int:
    """Returns the number in the only row of the table ``event_store``.

    Raises:
        StoreUnavailable: there is no such row.
    """
    if row is None:
        raise empty()
    return int(row[0])


def empty() -> StoreUnavailable:
    """Returns the error for a store that has lost its own row."""
    return StoreUnavailable(
        "corrupt",
        "the event store has lost the row of its table event_store: it is being restored, or was "
        "emptied by hand; restore it from a backup",
    )


def new_id() -> bytes:
    """Returns a new, random id of a store."""
    return secrets.token_hex(_ID_BYTES).encode()
