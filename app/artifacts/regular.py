"""Opening regular files only, inside one folder.

A FIFO would block, a device never ends, and a link that leaves the folder may lead to any file that
the process can read. Links inside are followed: volumes of Kubernetes consist of them.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFLNK: "a link to nothing",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path, within: Path) -> BinaryIO:
    """Opens a regular file for reading, at once.

    Args:
        path: the file; it may be a link, and so may the folders above it.
        within: the folder in which it has to lie, wherever links lead; may be a link itself.

    Raises:
        OSError: there is none, or it cannot be read; ``strerror`` says what is there instead.
    """
    status = path.lstat()
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(os.path.realpath(within)):
        raise OSError(errno.EINVAL, "a link that leaves the models folder", str(path))
    # Looked at before it is opened, since opening some devices has an effect.
    _refuse_others(path, os.lstat(real) if os.path.lexists(real) else status)
    descriptor = os.open(real, _FLAGS)
    try:
        _refuse_others(path, os.fstat(descriptor))  # it may have been exchanged meanwhile
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_at_most(path: Path, limit: int, within: Path) -> bytes:
    """Returns the first bytes of a regular file, one more than ``limit`` where it is longer.

    Raises:
        OSError: as for ``open_regular``.
    """
    with open_regular(path, within) as file:
        return file.read(limit + 1)


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise OSError(errno.EINVAL, kind, str(path))
