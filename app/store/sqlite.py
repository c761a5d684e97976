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
from app.store.upkeep import SqlUpkeep

# How long to wait for a lock, if no deadline is set.
_BUSY_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.02
_CLOSE_SECONDS: Final = 1.0
# For how long a reader may prevent a checkpoint before it is logged.
_LONG_READ_SECONDS: Final = 60
# The meaning of SQLite's codes for operators: the reason in one word, and what to do.
_TROUBLES: Final = {
    "SQLITE_BUSY": ("locked", "another program holds its lock; find it with fuser or lsof"),
    "SQLITE_LOCKED": ("locked", "another program holds its lock; find it with fuser or lsof"),
    "SQLITE_FULL": ("full", "there is no room left; make some"),
    "SQLITE_CORRUPT": ("corrupt", "restore it from a backup: a new one knows no erased users"),
    "SQLITE_NOTADB": ("corrupt", "that is no SQLite file; restore it, or name another"),
    "SQLITE_READONLY": ("readonly", "let the service write to the file and its folder"),
    "SQLITE_CANTOPEN": ("unreachable", "its folder has to exist and to be writable"),
    "SQLITE_PERM": ("readonly", "let the service write to the file and its folder"),
}

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
        self._device = self._inode = 0
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
            status = path.stat()
            self._device, self._inode = status.st_dev, status.st_ino
            log = path.with_name(f"{path.name}-wal")
            if log.exists() and log.stat().st_size:
                self.owe_wipe()  # a process that ended before may have left deleted data there
        try:
            with self._writing() as connection:
                self._migrate(connection)
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """The place of this store; see ``EventStore``."""
        return f"sqlite {self.id} {self._device} {self._inode}"

    def wait_for_news(self, seconds: float) -> None:
        """Waits for the whole time; SQLite does not notify of what is stored."""
        self._closed.wait(seconds)

    def compact(self) -> None:
        """Rewrites the file; see ``MaintainableStore``."""
        with self._locked(), self._translated():
            self._check_in_place()
            connection = self._writer = self._writer or self._connect()
            connection.execute("VACUUM")
            self.owe_wipe()
        self.wipe()

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
            self._check_in_place()
            connection = self._writer = self._writer or self._connect()
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
                self._check_in_place()
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
            self._check_in_place()
            connection = self._writer = self._writer or self._connect()
            # Deletions are counted after they are committed, or under the same lock before.
            deletions = self._deletions
            # Nobody is waited for, since other writers would wait as well.
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                milliseconds = round(1000 * _busy_seconds(self._deadlines.writing))
                connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
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

    def _check_in_place(self) -> None:
        """Refuses a file that was replaced, moved or deleted while it was in use."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            raise StoreUnavailable(
                "replaced",
                f"the event store {self._path} was moved, deleted or replaced while it was in use; "
                "put it back, or restart the service to take what is there now",
            )

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
        reason, advice = _TROUBLES.get(base, ("failed", "the log has the details"))
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
