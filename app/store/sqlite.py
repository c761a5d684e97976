"""The event store in an SQLite file: write-ahead log, one writer, any number of readers."""

from __future__ import annotations

import logging
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
from app.store.sqlite_file import SqliteFile, beside, trouble, unwaiting, with_log
from app.store.upkeep import SqlUpkeep

# How long to wait for a lock, if no deadline is set.
_BUSY_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
# How often a probe really writes where the disk has little room.
_WRITE_SECONDS: Final = 1.0
# For how long a reader may prevent a checkpoint before it is logged.
_LONG_READ_SECONDS: Final = 60


logger = logging.getLogger(__name__)


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
        self._file = SqliteFile(path)
        self._wrote_at = float("-inf")
        self._closed = Flag()
        self._writer: sqlite3.Connection | None = None
        self._write_lock = Lock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        # How often data was deleted, and how many of these times the write-ahead log was emptied.
        self._deletions = self._wiped_deletions = 0
        # Since when readers prevent that; None if they do not.
        self._blocked_since: float | None = None
        with self._translated():
            # Created here, since SQLite would let everyone read it.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._file.note()
            if self._file.has_log():
                self.owe_wipe()  # a process that ended before may have left deleted data there
        try:
            self._open_tables()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """The place of this store; see ``EventStore``."""
        return f"sqlite {self.id} {self._file.device} {self._file.inode}"

    def probe(self) -> bool:
        """Tests whether writing works, without writing unless the disk is nearly full."""
        if not self._write_lock.acquire(blocking=False):
            return False
        try:
            with self._translated():
                has_room = self._file.has_room()
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
            with unwaiting(connection, _busy_seconds(self._deadlines.writing)):
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

    def compact(self) -> None:
        """Rewrites the file; see ``MaintainableStore``."""
        with self._locked(), self._translated():
            self._writable().execute("VACUUM")
            self.owe_wipe()
        self.wipe()

    def backup(self, path: Path) -> Statistics:
        """Copies the store to a file, also while it is written to; see ``MaintainableStore``."""
        if path.exists() and path.samefile(self._path):
            raise StoreUnavailable("unreachable", f"{path} is the event store itself")
        if other := next((file for file in beside(path) if file.exists()), None):
            # SQLite would apply the content of that file to the copy.
            raise StoreUnavailable(
                "locked",
                f"{path} is in use, or was not closed: {other.name} lies beside it; name another "
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
                    trouble(self._path, failed.error).reason,
                    f"the event store {self._path} cannot be copied to {path}: {failed.error}; "
                    "check that the disk has room",
                ) from failed.error
            finally:
                for file in beside(partial):
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
            # Pages were copied as they are, with what is left of deleted rows in unused parts.
            copy.execute("VACUUM")
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
                self._file.check()
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

    @property
    def is_wiped(self) -> bool:
        """Whether no deleted data is left in the write-ahead log; see ``EventStore``."""
        return self._wiped_deletions == self._deletions

    def owe_wipe(self) -> None:
        """Records that data was deleted; see ``EventStore``."""
        self._deletions += 1

    def wipe(self) -> None:
        """Merges the write-ahead log into the file and empties it; see ``EventStore``."""
        if self.is_wiped:
            return
        with suppress(StoreUnavailable), self._locked(), self._translated():
            connection = self._writable()
            # Deletions are counted after they are committed, or under the same lock before.
            deletions = self._deletions
            # Nobody is waited for, since other writers would wait as well.
            with unwaiting(connection, _busy_seconds(self._deadlines.writing)):
                (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                self._warn_of_readers()
            else:
                self._wiped_deletions, self._blocked_since = deletions, None

    def _warn_of_readers(self) -> None:
        if self._blocked_since is None:
            self._blocked_since = time.monotonic()
        elif time.monotonic() - self._blocked_since > _LONG_READ_SECONDS:
            self._blocked_since = float("inf")  # said once
            logger.warning(
                "deleted data, of erased users perhaps, is still in %s-wal: another program has "
                "had a transaction open for more than %d s. Find it with fuser or lsof, and end "
                "it; the service then removes the data by itself",
                self._path,
                _LONG_READ_SECONDS,
            )

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
                mode = with_log(connection, busy)
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
        self._file.check()
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
            self._file.note_log()
        self._file.check_log()
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
            raise trouble(self._path, error) from error
        except OSError as error:
            raise StoreUnavailable(
                "unreachable",
                f"the event store {self._path} cannot be opened: {error.strerror}; its folder has "
                "to exist and to be writable",
            ) from error

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
