"""Opening regular files only: neither links nor anything whose opening or reading may not end.

A FIFO would block, a device never ends, and a link may lead to any file that the process can read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading, at once; folders above it may be links.

    Raises:
        OSError: there is none, or it cannot be read; ``strerror`` says what is there instead.
    """
    # Looked at before it is opened, since opening some devices has an effect.
    _refuse_others(path, path.lstat())
    descriptor = os.open(path, _FLAGS)
    try:
        _refuse_others(path, os.fstat(descriptor))  # it may have been exchanged meanwhile
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_at_most(path: Path, limit: int) -> bytes:
    """Returns the first bytes of a regular file, one more than ``limit`` where it is longer.

    Raises:
        OSError: as for ``open_regular``.
    """
    with open_regular(path) as file:
        return file.read(limit + 1)


def is_real_folder(path: Path) -> bool:
    """Says whether there is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise OSError(errno.EINVAL, kind, str(path))
