"""The event store in PostgreSQL, which several hosts may share."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from app.errors import StoreUnavailable
from app.store.bounded import BoundedConnection, LastFailure, Question, TooLate
from app.store.deadlines import FOLLOWING_SECONDS, NO_DEADLINES, Deadline, Deadlines
from app.store.entries import Statistics
from app.store.sql.base import number_of
from app.store.sql.connection import Connection, Cursor
from app.store.upkeep import SqlUpkeep

_CONNECTIONS: Final = 8
# How long a call waits for a server that is unreachable, if its deadline is not earlier.
_WAIT_SECONDS: Final = 3
# How long closing waits for threads that are connecting; they end by themselves soon after.
_CLOSE_SECONDS: Final = 1
# How long a session waits for a lock, if its deadline is not earlier.
_LOCK_SECONDS: Final = 5.0
_CHANNEL: Final = "encore_events"
# An arbitrary number ("encore" in hex); the session that holds its advisory lock makes the tables.
_MIGRATION_LOCK: Final = 0x656E636F7265
_OPTIONS: Final = (
    # Whatever the server's configuration: acknowledged events survive a crash of the server, and a
    # session that waited for the row with the last number reads its latest value.
    "-c synchronous_commit=on -c default_transaction_isolation=read\\ committed "
    "-c idle_in_transaction_session_timeout=10000"
)
# A host that vanishes is noticed within seconds: by keepalives on an idle connection, and by the
# timeout (in milliseconds) on one that waits for an answer.
_KEEPALIVE: Final = MappingProxyType(
    {
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 9000,
    }
)
# How often a thread that waits for news checks whether the store is being closed.
_GLANCE_SECONDS: Final = 0.25
# What the role of the service needs beyond reading.
_RIGHTS: Final = (
    ("event_store", "UPDATE"),
    ("events", "INSERT"),
    ("events", "DELETE"),
    ("tombstones", "INSERT"),
    ("tombstones", "DELETE"),
    ("unavailable_artists", "INSERT"),
    ("unavailable_artists", "DELETE"),
)
# The meaning of SQLSTATEs for operators: the reason in one word, and what to do.
_TROUBLES: Final = {
    "53100": ("full", "its disk is full; make room"),
    "25006": ("readonly", "it is read-only, as a standby is; name the primary"),
    "42501": ("forbidden", "grant its role all rights on the tables of the event store"),
    "42P01": ("missing", "restore them; or restart the service for a new, empty store"),
    "XX001": ("corrupt", "restore it from a backup: a new one knows no erased users"),
    "XX002": ("corrupt", "an index is damaged: REINDEX, or restore it from a backup"),
    "53300": ("busy", "allow more connections, or run fewer workers: each takes up to nine"),
    "55P03": ("locked", "another session holds a lock; pg_stat_activity shows it"),
    "57014": ("locked", "it took too long; pg_stat_activity shows what else it does"),
}
_WRITABLE: Final = f"""
SELECT current_setting('transaction_read_only') = 'off' AND NOT pg_is_in_recovery(),
       {" AND ".join(f"has_table_privilege('{table}', '{right}')" for table, right in _RIGHTS)}
"""
_AWAY: Final = ("unreachable", "is it running, and the address right?")


class PostgresEventStore(SqlUpkeep):
    """Events in a database of PostgreSQL.

    Args:
        url: a URL for libpq, ``postgresql://user:password@host:port/database``.
        must_exist: whether a database without the tables is refused; else they are created.
        deadlines: how long questions may take.

    Raises:
        StoreUnavailable: the server cannot be reached, or a later Encore made the tables.
    """

    _mark = "%s"
    _types = MappingProxyType({"bytes": "BYTEA", "float": "DOUBLE PRECISION"})

    def __init__(
        self, url: str, *, must_exist: bool = False, deadlines: Deadlines = NO_DEADLINES
    ) -> None:
        super().__init__()
        self._url = url
        self._deadlines = deadlines
        parts = _parts(url)
        self._label = _label(parts)
        # The last value of an option counts, so those of the address cannot override these.
        self._options = f"{parts.get('options') or ''} {_OPTIONS} {_limits(deadlines)}"
        # Marks this store's own notifications.
        self._name = secrets.token_hex(8)
        self._must_exist = must_exist
        self._closing = Flag()
        self._failure = LastFailure()
        # Questions that hold a connection.
        self._asking: set[Question] = set()
        self._listener: BoundedConnection | None = None
        self._listening = Lock()
        # The pool would log at each attempt what the service logs once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        self._pool = ConnectionPool(
            url,
            connection_class=BoundedConnection,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            kwargs=self._settings(),
            check=ConnectionPool.check_connection,
            reconnect_timeout=_WAIT_SECONDS,
            open=True,
        )
        try:
            self._open_tables()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """The place of this store; see ``EventStore``."""
        return f"postgresql {self.id} {self._label}"

    @property
    def _described(self) -> str:
        return f"the event store in PostgreSQL at {self._label}"

    def probe(self) -> bool:
        """Tests by questions only: even a change that is rolled back is written to the log."""
        with self._reading() as connection:
            self._check_step(connection)
            is_primary, may_write = self._execute(connection, _WRITABLE).fetchone()
        if not is_primary:
            reason, advice = _TROUBLES["25006"]
            raise StoreUnavailable(reason, f"{self._described}: {advice}")
        if not may_write:
            reason, advice = _TROUBLES["42501"]
            raise StoreUnavailable(reason, f"{self._described}: it may not be written; {advice}")
        return True

    def wait_for_news(self, seconds: float) -> None:
        """Waits until another process has stored something; see ``EventStore``."""
        with self._listening:
            try:
                if self._listener is None and not self._closing.is_set():
                    self._listener = BoundedConnection.connect(self._url, **self._settings())
                    with Question(self._deadlines.reading, self._closing).put():
                        self._listener.execute(f"LISTEN {_CHANNEL}")
                    return  # events may have come before it listened
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
            finally:
                if self._closing.is_set():  # closed while it connected
                    self._drop_listener()
        # The next question to the store reports the failure.
        self._closing.wait(seconds)

    def compact(self) -> None:
        """Rewrites the tables that hold users; see ``MaintainableStore``."""
        with self._lent(Deadline()) as connection:
            connection.execute("SET statement_timeout = 0")
            try:
                connection.execute("VACUUM (FULL, ANALYZE) events, tombstones")
            finally:
                connection.execute("RESET statement_timeout")

    def backup(self, path: Path) -> Statistics:
        """Refuses, since PostgreSQL has its own tools for backups."""
        raise StoreUnavailable(
            "elsewhere",
            f"the event store in PostgreSQL at {self._label} is not copied to {path}: back it up "
            "with pg_dump or by archiving its log, and run `events renew` after restoring a copy; "
            "`events export` writes a file that any store takes",
        )

    def close(self) -> None:
        """Closes all connections; may be called twice."""
        self._closing.set()
        # If the listening thread takes longer, it closes its connection itself.
        if self._listening.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._drop_listener()
            finally:
                self._listening.release()
        self._pool.close(timeout=_CLOSE_SECONDS)

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._transaction(self._deadlines.writing)

    def _making(self) -> AbstractContextManager[Connection]:
        return self._transaction(self._deadlines.following)

    @contextmanager
    def _transaction(self, deadline: Deadline) -> Iterator[Connection]:
        with self._lent(deadline) as connection, connection.transaction():
            yield cast("Connection", connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lent(self._deadlines.reading) as connection:
            yield cast("Connection", connection)

    @contextmanager
    def _following(self) -> Iterator[Connection]:
        with self._lent(self._deadlines.following) as connection:
            yield cast("Connection", connection)

    @contextmanager
    def _surveying(self) -> Iterator[Connection]:
        with self._transaction(Deadline()) as connection:
            # All questions see the same state, and none is cut short.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SET LOCAL statement_timeout = 0")
            yield connection

    @contextmanager
    def _lent(self, deadline: Deadline) -> Iterator[BoundedConnection]:
        """Lends a connection for one question; the deadline covers taking it and all its use."""
        if self._closing.is_set():
            raise _closed()
        question = Question(deadline, self._closing)
        try:
            with question.put(), self._pool.connection(question.left(_WAIT_SECONDS)) as connection:
                self._asking.add(question)
                try:
                    yield connection
                finally:
                    self._asking.discard(question)
        except PoolTimeout as error:
            raise self._without_connection(question) from error
        except psycopg.Error as error:
            raise self._trouble(error, deadline) from error

    def _insert(self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with cast("psycopg.Connection[Any]", connection).cursor() as cursor:
            cursor.executemany(statement.encode(), rows)

    @property
    def is_wiped(self) -> None:
        """None: the server does not say what its log holds; see ``EventStore``."""
        return

    def owe_wipe(self) -> None:
        """Does nothing; see ``wipe``."""

    def wipe(self) -> None:
        """Does nothing: the server reuses its log, and removes rows when it vacuums."""

    def _announce(self, connection: Connection) -> None:
        self._execute(connection, "SELECT pg_notify(?, ?)", _CHANNEL, self._name)

    def _lock_sequence(self, connection: Connection) -> int:
        # The row stays locked until the commit, so the next writer gets later numbers.
        statement = "SELECT last_sequence FROM event_store FOR UPDATE"
        return number_of(self._execute(connection, statement).fetchone())

    def _execute(self, connection: Connection, statement: str, *parameters: Any) -> Cursor:
        marked = statement.replace("?", self._mark)
        return connection.execute(marked, cast("Sequence[Any]", parameters or None))

    def _settings(self) -> dict[str, Any]:
        return {
            "autocommit": True,  # reading needs no transaction
            "connect_timeout": _WAIT_SECONDS,
            "options": self._options,
            "application_name": "encore",
            "failure": self._failure,
            **_KEEPALIVE,
        }

    def _trouble(self, error: psycopg.Error, deadline: Deadline) -> StoreUnavailable:
        if isinstance(error, PoolClosed) or self._closing.is_set():
            return _closed()
        if isinstance(error, TooLate):
            return deadline.missed(self._described)
        state = error.sqlstate or ""
        cause = " ".join(str(error).split())
        is_away = not state or state[:2] in {"08", "57", "53"}
        reason, advice = _TROUBLES.get(
            state, _AWAY if is_away else ("failed", "the log of the server has the details")
        )
        return StoreUnavailable(reason, f"{self._described}: {cause}; {advice}")

    def _migrate(self, connection: Connection) -> None:
        self._execute(connection, "SELECT pg_advisory_xact_lock(?)", _MIGRATION_LOCK)
        if self._must_exist and not self._has_tables(connection):
            raise StoreUnavailable(
                "missing", f"there is no event store in PostgreSQL at {self._label}; is it another?"
            )

        super()._migrate(connection)

    def _has_tables(self, connection: Connection) -> bool:
        table = self._execute(connection, "SELECT to_regclass('event_store_migrations')")
        return table.fetchone()[0] is not None

    def _without_connection(self, question: Question) -> StoreUnavailable:
        """Returns the error for a question without a connection; the pool does not say why."""
        failure = self._failure.error
        if self._closing.is_set():
            return _closed()
        if failure is not None and not question.is_cut:
            return self._trouble(failure, question.deadline)
        if len(self._asking) >= _CONNECTIONS:
            return StoreUnavailable(
                "busy",
                f"{self._described}: all {_CONNECTIONS} connections were busy until this "
                "question's deadline; ask again later",
            )
        seconds = question.deadline.seconds
        if seconds is None or seconds > _WAIT_SECONDS:
            return Deadline(_WAIT_SECONDS).missed(self._described)
        return question.deadline.missed(self._described)

    def _drop_listener(self) -> None:
        if self._listener is not None:
            with suppress(psycopg.Error):
                self._listener.close()
            self._listener = None


def _limits(deadlines: Deadlines) -> str:
    """Returns the options with which the server itself ends long statements and waits for locks."""
    statement = max(FOLLOWING_SECONDS, deadlines.write or 0)
    lock = deadlines.writing.lock_seconds
    lock = _LOCK_SECONDS if lock is None else min(lock, _LOCK_SECONDS)
    return (
        f"-c statement_timeout={round(1000 * statement)} "
        f"-c lock_timeout={max(1, round(1000 * lock))}"
    )


def _closed() -> StoreUnavailable:
    return StoreUnavailable("closed", "the event store is closed; the service is ending")


def _parts(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Without the cause, which quotes the wrong part; that may be the password.
        raise StoreUnavailable(
            "address", "ENCORE_DATABASE_URL is not an address that PostgreSQL understands"
        ) from None


def _label(parts: dict[str, Any]) -> str:
    """Returns the address without user and password."""
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"
