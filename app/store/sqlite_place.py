"""The place of an SQLite store: its file, the log beside it, and the disk that they lie on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from app.errors import StoreUnavailable

# With less room a commit may fail, so only a real write shows whether it works.
_ROOM_BYTES: Final = 16 * 2**20


class SqlitePlace:
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
