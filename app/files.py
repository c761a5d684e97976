"""Files: replaced whole or not at all, and shared by the processes of a host."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# In memory, and gone after a restart of the machine.
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - opened without following, and checked


def shared_folder() -> Path:
    """Returns where processes of this host share files: in memory, or else on the disk."""
    can_write = os.access(SHARED_MEMORY, os.W_OK)
    return SHARED_MEMORY if can_write else Path(tempfile.gettempdir())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lends an empty file beside a path, which takes that path's place when the block ends well.

    It is readable by its owner only, flushed to disk before it is moved, and removed when the block
    fails. What a killed process has left is written over by the next one.

    Args:
        path: where to; a file that is there stays until it is replaced.

    Raises:
        OSError: it cannot be written; ``BlockingIOError`` if another one is at it.
    """
    partial = path.with_name(f".{path.name}.part")
    descriptor = os.open(partial, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        _lock(descriptor, partial, path)
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            yield partial
            os.fsync(descriptor)
            partial.replace(path)
            sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's own entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, partial: Path, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it until now has moved or removed it.
        is_there = os.fstat(descriptor).st_ino == partial.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    if not is_there:
        raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(path))
