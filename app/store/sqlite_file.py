"""The file of an SQLite store, the log beside it, their disk, and what errors about them mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import StoreUnavailable

# With less room a commit may fail, so only a real write shows whether it works.
_ROOM_BYTES: Final = 16 * 2**20
# How often a new log is asked for.
_AGAIN_SECONDS: Final = 0.02
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


class SqliteFile:
    """The file of a store, as it was when the store was opened.

    Args:
        path: the file.

    Attributes:
        device: the number of its disk.
        inode: its number there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self.device = self.inode = self._log_inode = 0

    def note(self) -> None:
        """Remembers the file, which has to exist."""
        status = self._path.stat()
        self.device, self.inode = status.st_dev, status.st_ino

    def note_log(self) -> None:
        """Remembers the log that a connection has opened, as long as one is open."""
        self._log_inode = _inode(self._log)

    def has_log(self) -> bool:
        """Says whether there is a log with something in it."""
        return self._log.exists() and self._log.stat().st_size > 0

    def check(self) -> None:
        """Refuses a file that was replaced, moved or deleted while it was in use.

        Raises:
            StoreUnavailable: it was.
        """
        if _inode(self._path) != self.inode:
            raise StoreUnavailable(
                "replaced",
                f"the event store {self._path} was moved, deleted or replaced while it was in use; "
                "put it back, or restart the service to take what is there now",
            )

    def check_log(self) -> None:
        """Refuses to go on beside a log that was moved or deleted: the next start would miss it.

        Raises:
            StoreUnavailable: it was.
        """
        if self._log_inode and _inode(self._log) != self._log_inode:
            raise StoreUnavailable(
                "replaced",
                f"{self._log} was moved, deleted or replaced while it was in use, and holds events "
                "that are not in the event store yet; put it back, or stop the service, which "
                "merges them if it still can",
            )

    def has_room(self) -> bool:
        """Says whether the disk has room beyond doubt.

        Raises:
            StoreUnavailable: the disk is read-only.
            OSError: the disk does not answer.
        """
        disk = os.statvfs(self._path.parent)
        if disk.f_flag & os.ST_RDONLY:
            raise StoreUnavailable(
                "readonly",
                f"the event store {self._path} lies on a disk that is read-only; make it writable "
                "again: the kernel's log says why, if it was not on purpose",
            )
        blocks = disk.f_bavail if os.geteuid() else disk.f_bfree
        return blocks * disk.f_frsize >= _ROOM_BYTES


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def trouble(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """Returns what an error of SQLite means for the store in a file."""
    code = getattr(error, "sqlite_errorname", "")
    # Extended codes, like SQLITE_BUSY_SNAPSHOT, begin with their primary code.
    base = "_".join(code.split("_")[:2])
    unknown = "failed", "the log has the details"
    reason, advice = _TROUBLES.get(code) or _TROUBLES.get(base, unknown)
    return StoreUnavailable(reason, f"the event store {path}: {error} ({code}); {advice}")


@contextmanager
def unwaiting(connection: sqlite3.Connection, busy: float) -> Iterator[None]:
    """Lets a connection wait for no lock, and for ``busy`` s as before afterwards."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * busy)}")


def with_log(connection: sqlite3.Connection, busy: float) -> str:
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


def beside(path: Path) -> list[Path]:
    """Returns the files that SQLite makes beside a file in use."""
    return [path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm")]
