"""Files: atomic replacement, and a folder that the processes of a host share."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import InvalidSettings

# In memory; a restart of the machine empties it.
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - opened without following, and checked


def shared_folder() -> Path:
    """Returns the folder where processes of this host share files: in memory, else on the disk.

    Raises:
        InvalidSettings: there is none that can be written to.
    """
    if os.access(SHARED_MEMORY, os.W_OK):
        return SHARED_MEMORY
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise InvalidSettings(
            f"neither {SHARED_MEMORY} nor a folder for temporary files can be written to, and the "
            "service shares a table of its users there: make one of them writable (a container: "
            "`--tmpfs /tmp`, `tmpfs: [/tmp]` in compose, an emptyDir at /tmp in Kubernetes), or "
            "name a writable folder in the variable TMPDIR"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of an empty temporary file, which replaces ``path`` when the block succeeds.

    The file is readable by its owner only. It is flushed to disk before it is moved, and removed
    when the block fails. The file that a killed process has left is overwritten by the next one.

    Args:
        path: the file to replace; it is unchanged until the end of the block.

    Raises:
        OSError: the file cannot be written; ``BlockingIOError`` if another process writes it.
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
        # False if the process that held the lock before has moved or removed the file.
        is_there = os.fstat(descriptor).st_ino == partial.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    if not is_there:
        raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(path))
