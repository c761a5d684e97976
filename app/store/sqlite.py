"""The event store in an SQLite file: write-ahead log, one writer, any number of readers."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, cast

from app.errors import StoreUnavailable
from app.files import replacing
from app.store.deadlines import NO_DEADLINES, Deadline, Deadlines
from app.store.entries import Statistics
from app.store.sql.connection import Connection
from app.store.sqlite_place import SqlitePlace
from app.store.upkeep import SqlUpkeep

# How long to wait for a lock, if no deadline is set.
_BUSY_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.02
_CLOSE_SECONDS: Final = 1.0
# How often a probe really writes where the disk has little room.
_WRITE_SECONDS: Final = 1.0
# The meaning of SQLite's codes for operators: the reason in one word, and what to do.
_TROUBLES: Final = {
    "SQLITE_BUSY": ("locked", "another program holds its lock; find it with fuser or lsof"),
    "SQLITE_LOCKED": ("locked", "another program holds its lock; find it with fuser or lsof"),
    "SQLITE_FULL": ("full", "there is no room left; make some"),
    "SQLITE_CORRUPT": ("corrupt", "restore it from a backup: a new one knows no erased users"),
    "SQLITE_IOERR_SHORT_READ": ("corrupt", "a part of it is cut off; restore it from a backup"),
    "SQLITE_IOERR": ("failed", "its disk fails; the log of the kernel says why"),
    "SQLITE_NOTADB": ("corrupt", "that is no SQLite file; restore it, or name another"),
    "SQLITE_READONLY": ("readonly", "let the service write to the file and its folder"),
    "SQLITE_CANTOPEN": ("unreachable", "its folder has to exist and to be writable"),
    "SQLITE_PERM": ("readonly", "let the service write to the file and its folder"),
}


class SqliteEventStore(SqlUpkeep):
    """Events in one file of SQLite.

    Args:
        path: the file; created if it is missing, readable by its owner only.
        deadlines: how long questions may wait for locks.

    Raises:
        StoreUnavailable: it cannot be opened or is not an event store.
    """

    _mark = "?"
    _types = MappingProxyType({"bytes": "BLOB", "float": "REAL"})

    def __init__(self, path: Path, *, deadlines: Deadlines = NO_DEADLINES) -> None:
        super().__init__()
        self._path = path
        self._deadlines = deadlines
        self._place = SqlitePlace(path)
        self._wrote_at = float("-inf")
        self._closed = Flag()
        self._writer: sqlite3.Connection | None = None
        self._write_lock = Lock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        with self._translated():
            # Created here, since SQLite would let everyone read it.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._place.note()
        try:
            self._open_tables()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """The place of this store; see ``EventStore``."""
        return f"sqlite {self.id} {self._place.device} {self._place.inode}"

    def probe(self) -> bool:
        """Tests whether writing works, without writing unless the disk is nearly full."""
        if not self._write_lock.acquire(blocking=False):
            return False
        try:
            with self._translated():
                has_room = self._place.has_room()
                self._try_lock(self._writable())
        finally:
            if self._closed.is_set():
                self._drop_writer()
            self._write_lock.release()
        if not has_room and time.monotonic() > self._wrote_at + _WRITE_SECONDS:
            self.check_writable()
            self._wrote_at = time.monotonic()
        return True

    def _try_lock(self, connection: sqlite3.Connection) -> None:
        """Takes the lock if it is free, and changes a page in memory only."""
        try:
            with _unwaiting(connection, _busy_seconds(self._deadlines.writing)):
                connection.execute("BEGIN IMMEDIATE")
                self._check_step(cast("Connection", connection))
                connection.execute("UPDATE event_store SET checked_at = checked_at")
                connection.execute("ROLLBACK")
        except BaseException:
            if connection.in_transaction:
                self._drop_writer()  # rolls back
            raise

    def wait_for_news(self, seconds: float) -> None:
        """Waits for the whole time; SQLite does not notify of what is stored."""
        self._closed.wait(seconds)

    def backup(self, path: Path) -> Statistics:
        """Copies the store to a file, also while it is written to; see ``MaintainableStore``."""
        if path.exists() and path.samefile(self._path):
            raise StoreUnavailable("unreachable", f"{path} is the event store itself")
        if beside := next((file for file in _beside(path) if file.exists()), None):
            # SQLite would apply the content of that file to the copy.
            raise StoreUnavailable(
                "locked",
                f"{path} is in use, or was not closed: {beside.name} lies beside it; name another "
                "file, or move both away",
            )
        with replacing(path) as partial:
            try:
                with closing(sqlite3.connect(partial)) as copy:
                    verdict = self._copy_to(copy)
                if verdict != "ok":
                    raise StoreUnavailable(
                        "corrupt",
                        f"the event store {self._path} is damaged, so it was not copied: "
                        f"{verdict}; restore it from an earlier backup",
                    )
                with closing(SqliteEventStore(partial)) as renewed:
                    renewed.renew()
                    return renewed.statistics()
            except _CopyFailed as failed:
                raise StoreUnavailable(
                    self._trouble(failed.error).reason,
                    f"the event store {self._path} cannot be copied to {path}: {failed.error}; "
                    "check that the disk has room",
                ) from failed.error
            finally:
                for file in _beside(partial):
                    file.unlink(missing_ok=True)

    def _copy_to(self, copy: sqlite3.Connection) -> str:
        """Copies the store and returns what SQLite finds wrong with the copy, ``ok`` for nothing.

        Raises:
            _CopyFailed: it cannot be read or written.
        """
        with self._reading() as connection, _CopyFailed.instead():
            # In one step: a copy in several steps starts again whenever something is written.
            cast("sqlite3.Connection", connection).backup(copy, pages=-1)
        with _CopyFailed.instead():
            (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        return str(verdict)

    def close(self) -> None:
        """Closes all connections; may be called twice."""
        self._closed.set()
        self._close_readers()
        # A thread that still writes when the time is up closes the connection itself.
        with suppress(StoreUnavailable), self._locked(most=_CLOSE_SECONDS):
            self._drop_writer()

    @contextmanager
    def _locked(self, most: float | None = None) -> Iterator[None]:
        """Excludes other writing threads; raises ``StoreUnavailable`` if one takes too long.

        Args:
            most: seconds to wait if deadlines are set; None for the deadline of writing.
        """
        deadline = self._deadlines.writing
        seconds = deadline.lock_seconds
        if seconds is not None and most is not None:
            seconds = min(seconds, most)
        if not self._write_lock.acquire(timeout=-1 if seconds is None else seconds):
            raise deadline.missed(f"the event store {self._path}")
        try:
            yield
        finally:
            if self._closed.is_set():
                self._drop_writer()
            self._write_lock.release()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._locked(), self._translated():
            connection = self._writable()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield cast("Connection", connection)
                connection.execute("COMMIT")
            except sqlite3.Error:
                self._drop_writer()  # rolls back; the next writer opens a new connection
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated():
            try:
                connection = self._readers.get_nowait()
            except Empty:
                self._place.check()
                connection = self._connect(read_only=True)
            try:
                connection.execute("BEGIN")
                yield cast("Connection", connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            self._readers.put(connection)
            if self._closed.is_set():  # closed while it was opened
                self._close_readers()

    def _insert(self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        cast("sqlite3.Connection", connection).executemany(statement, rows)

    def _wipe(self) -> None:
        # Deleted data stays in the log until it is merged into the file, as far as readers allow.
        # This does not wait for readers, since other writers would wait as well.
        with suppress(StoreUnavailable), self._locked(), self._translated():
            if self._writer is not None:
                with _unwaiting(self._writer, _busy_seconds(self._deadlines.writing)):
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _announce(self, connection: Connection) -> None:
        pass  # other processes poll

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        busy = _busy_seconds(self._deadlines.reading if read_only else self._deadlines.writing)
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=busy,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # Acknowledged events survive a power cut: the log is flushed at every commit.
            connection.execute("PRAGMA synchronous = FULL")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                # Deleted data is overwritten, as an erasure requires.
                connection.execute("PRAGMA secure_delete = ON")
                mode = _with_log(connection, busy)
                if mode != "wal":
                    raise StoreUnavailable(
                        "unreachable",
                        f"the event store {self._path} is where SQLite cannot use a write-ahead "
                        "log, for example on a network drive; name a file on a local disk",
                    )
        except BaseException:
            connection.close()
            raise
        return connection

    def _writable(self) -> sqlite3.Connection:
        """Returns the writing connection, for a thread that has excluded the others."""
        self._place.check()
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
            self._place.note_log()
        self._place.check_log()
        return self._writer

    def _has_tables(self, connection: Connection) -> bool:
        statement = "SELECT count(*) FROM sqlite_master WHERE name = 'event_store_migrations'"
        return bool(self._execute(connection, statement).fetchone()[0])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed.is_set():
            raise StoreUnavailable("closed", "the event store is closed; the service is ending")
        try:
            yield
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        except OSError as error:
            raise StoreUnavailable(
                "unreachable",
                f"the event store {self._path} cannot be opened: {error.strerror}; its folder has "
                "to exist and to be writable",
            ) from error

    def _trouble(self, error: sqlite3.Error) -> StoreUnavailable:
        code = getattr(error, "sqlite_errorname", "")
        # Extended codes, like SQLITE_BUSY_SNAPSHOT, begin with their primary code.
        base = "_".join(code.split("_")[:2])
        unknown = "failed", "the log has the details"
        reason, advice = _TROUBLES.get(code) or _TROUBLES.get(base, unknown)
        return StoreUnavailable(reason, f"the event store {self._path}: {error} ({code}); {advice}")

    def _close_readers(self) -> None:
        with suppress(Empty):
            while True:
                self._readers.get_nowait().close()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _CopyFailed(Exception):
    """SQLite's error about a copy, not about the store itself."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(error)
        self.error = error

    @classmethod
    @contextmanager
    def instead(cls) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise cls(error) from error


def _busy_seconds(deadline: Deadline) -> float:
    seconds = deadline.lock_seconds
    return _BUSY_SECONDS if seconds is None else seconds


@contextmanager
def _unwaiting(connection: sqlite3.Connection, busy: float) -> Iterator[None]:
    """Lets a connection wait for no lock, and for ``busy`` s as before afterwards."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * busy)}")


def _with_log(connection: sqlite3.Connection, busy: float) -> str:
    """Asks for a write-ahead log, waits ``busy`` s for a lock, and returns the mode of the log."""
    # If two processes create the log of a new file, one gets a lock error at once: SQLite does not
    # wait here.
    deadline = time.monotonic() + busy
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "SQLITE_BUSY" not in error.sqlite_errorname or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return str(mode)


def _beside(path: Path) -> list[Path]:
    """Returns the files that SQLite makes beside a file in use."""
    return [path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm")]
