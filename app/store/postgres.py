"""The event store in PostgreSQL, which several hosts may share."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from app.errors import StoreUnavailable
from app.store.entries import Statistics
from app.store.sql import Connection, Cursor
from app.store.upkeep import SqlUpkeep

_CONNECTIONS: Final = 8
# So long a call waits for a server that is away.
_WAIT_SECONDS: Final = 3
_CHANNEL: Final = "encore_events"
# Any number that nobody else takes: who holds its lock makes the tables.
_MIGRATION_LOCK: Final = 0x656E636F7265
_OPTIONS: Final = (
    # Acknowledged events survive a crash of the server, and who waited for the row with the last
    # number reads it as it is then, whatever the server's configuration says.
    "-c synchronous_commit=on -c default_transaction_isolation=read\\ committed "
    "-c statement_timeout=10000 -c lock_timeout=5000 "
    "-c idle_in_transaction_session_timeout=10000"
)
# A host that vanishes is noticed within seconds: keepalives are for a connection that is idle,
# the timeout (in milliseconds) for one with a question under way.
_KEEPALIVE: Final = MappingProxyType(
    {
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 9000,
    }
)
# So often who waits for news looks whether the store is being closed.
_GLANCE_SECONDS: Final = 0.25
# What SQLSTATEs mean for whoever runs the service: one word, and what to do.
_TROUBLES: Final = {
    "53100": ("full", "its disk is full; make room"),
    "25006": ("readonly", "it is read-only, as a standby is; name the primary"),
    "55P03": ("locked", "another session holds a lock; pg_stat_activity shows it"),
    "57014": ("locked", "it took too long; pg_stat_activity shows what else it does"),
}
_AWAY: Final = ("unreachable", "is it running, and the address right?")


class PostgresEventStore(SqlUpkeep):
    """Events in a database of PostgreSQL.

    Args:
        url: as libpq takes it, ``postgresql://user:password@host:port/database``.
        must_exist: whether a database without the tables is refused instead of given them.

    Raises:
        StoreUnavailable: the server cannot be reached, or the tables are none of ours.
    """

    _mark = "%s"
    _types = MappingProxyType({"bytes": "BYTEA", "float": "DOUBLE PRECISION"})

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        super().__init__()
        self._url = url
        parts = _parts(url)
        self._label = _label(parts)
        # The last one of a kind counts, so those of the address cannot undo ours.
        self._options = f"{parts.get('options') or ''} {_OPTIONS}"
        # By which a store knows its own news.
        self._name = secrets.token_hex(8)
        self._closing = Flag()
        self._listener: psycopg.Connection[Any] | None = None
        self._listening = Lock()
        # It would repeat at each attempt what the service says once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            kwargs=self._settings(),
            check=ConnectionPool.check_connection,
            reconnect_timeout=_WAIT_SECONDS,
            open=True,
        )
        try:
            with self._writing() as connection:
                self._execute(connection, "SELECT pg_advisory_xact_lock(?)", _MIGRATION_LOCK)
                if must_exist:
                    self._check_tables(connection)
                self._migrate(connection)
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """Says where this very store is."""
        return f"postgresql {self.id} {self._label}"

    def wait_for_news(self, seconds: float) -> None:
        """Waits until another one has stored something, at most so long."""
        with self._listening:
            try:
                if self._listener is None and not self._closing.is_set():
                    self._listener = psycopg.connect(self._url, **self._settings())
                    self._listener.execute(f"LISTEN {_CHANNEL}")
                    return  # for what came before it listened
                deadline = time.monotonic() + seconds
                while self._listener is not None and not self._closing.is_set():
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return
                    glance = min(left, _GLANCE_SECONDS)
                    for news in self._listener.notifies(timeout=glance, stop_after=1):
                        if news.payload != self._name:
                            return
            except psycopg.Error:
                self._drop_listener()
        # Following by looking at the store will say what is wrong.
        self._closing.wait(seconds)

    def backup(self, path: Path) -> Statistics:
        """Refuses, since PostgreSQL has its own ways."""
        raise StoreUnavailable(
            "elsewhere",
            f"the event store in PostgreSQL at {self._label} is not copied to {path}: back it up "
            "with pg_dump or by archiving its log, and run `events renew` after restoring a copy; "
            "`events export` writes a file that any store takes",
        )

    def close(self) -> None:
        """Closes all connections; may be called twice."""
        self._closing.set()
        with self._listening:
            self._drop_listener()
        self._pool.close(timeout=_WAIT_SECONDS)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._translated(), self._pool.connection() as connection, connection.transaction():
            yield cast("Connection", connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._pool.connection() as connection:
            yield cast("Connection", connection)

    @contextmanager
    def _surveying(self) -> Iterator[Connection]:
        with self._translated(), self._pool.connection() as connection, connection.transaction():
            # All questions see the same state, and none is cut short.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SET LOCAL statement_timeout = 0")
            yield cast("Connection", connection)

    def _insert(self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with cast("psycopg.Connection[Any]", connection).cursor() as cursor:
            cursor.executemany(statement.encode(), rows)

    def _wipe(self) -> None:
        pass  # what is deleted goes when the server vacuums

    def _announce(self, connection: Connection) -> None:
        self._execute(connection, "SELECT pg_notify(?, ?)", _CHANNEL, self._name)

    def _lock_sequence(self, connection: Connection) -> int:
        # Held until the commit: the next one to store gets its numbers after that.
        row = self._execute(
            connection, "SELECT last_sequence FROM event_store FOR UPDATE"
        ).fetchone()
        return int(row[0])

    def _execute(self, connection: Connection, statement: str, *parameters: Any) -> Cursor:
        marked = statement.replace("?", self._mark)
        return connection.execute(marked, cast("Sequence[Any]", parameters or None))

    def _settings(self) -> dict[str, Any]:
        return {
            "autocommit": True,  # reading needs no transaction
            "connect_timeout": _WAIT_SECONDS,
            "options": self._options,
            "application_name": "encore",
            **_KEEPALIVE,
        }

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closing.is_set():
            raise StoreUnavailable("closed", "the event store is closed; the service is ending")
        try:
            yield
        except psycopg.Error as error:
            raise self._trouble(error) from error

    def _trouble(self, error: psycopg.Error) -> StoreUnavailable:
        if isinstance(error, PoolClosed):
            return StoreUnavailable("closed", "the event store is closed; the service is ending")
        state = error.sqlstate or ""
        if isinstance(error, PoolTimeout):
            return self._without_connection()
        cause = " ".join(str(error).split())
        is_away = not state or state[:2] in {"08", "57", "53"}
        reason, advice = _TROUBLES.get(
            state, _AWAY if is_away else ("failed", "the log of the server has the details")
        )
        return StoreUnavailable(
            reason, f"the event store in PostgreSQL at {self._label}: {cause}; {advice}"
        )

    def _check_tables(self, connection: Connection) -> None:
        table = self._execute(connection, "SELECT to_regclass('event_store_migrations')")
        if table.fetchone()[0] is None:
            raise StoreUnavailable(
                "missing", f"there is no event store in PostgreSQL at {self._label}; is it another?"
            )

    def _without_connection(self) -> StoreUnavailable:
        """Finds out why there was no connection, which the pool does not tell."""
        try:
            psycopg.connect(self._url, **self._settings()).close()
        except psycopg.Error as error:
            return self._trouble(error)
        return StoreUnavailable(
            "busy",
            f"the event store in PostgreSQL at {self._label}: all {_CONNECTIONS} connections were "
            f"busy for {_WAIT_SECONDS} s; ask again later",
        )

    def _drop_listener(self) -> None:
        if self._listener is not None:
            with suppress(psycopg.Error):
                self._listener.close()
            self._listener = None


def _parts(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Not even as the cause: it quotes the part that is wrong, which may be the password.
        raise StoreUnavailable(
            "address", "ENCORE_DATABASE_URL is no address that PostgreSQL understands"
        ) from None


def _label(parts: dict[str, Any]) -> str:
    """Returns the address without user and password."""
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"
