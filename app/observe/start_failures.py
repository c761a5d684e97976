"""What a start failed by, as a sentence that names what to set.

A start can fail by what the machine gives a process: files, threads, memory, places to write. None
of that is a fault of the code, and a traceback would hide what to do.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Mapping
from typing import Final

from app.errors import InvalidSettings

_ADVICE: Final[Mapping[int, str]] = {
    errno.EMFILE: "the process may not open more files; raise the limit (`ulimit -n 1024`, "
    "LimitNOFILE= in systemd, --ulimit nofile=1024 in Docker)",
    errno.ENFILE: "the machine may not open more files; raise fs.file-max, or end other programs",
    errno.ENOSPC: "no room is left there; make room, or name another place",
    errno.EDQUOT: "the quota is used up there; make room, or name another place",
    errno.EROFS: "it is read-only; mount something writable there, or name another place",
    errno.EACCES: "this user may not do that; change the permissions, or name another place",
    errno.EPERM: "this user may not do that; change the permissions, or name another place",
    errno.ENOMEM: "there is not enough memory; raise the limit, or take a smaller model",
}
_THREADS: Final = (
    "the process may not start more threads; raise the limit of processes (`ulimit -u`, TasksMax= "
    "in systemd, pids_limit in compose) or of memory"
)
_FEWEST_FILES: Final = 64


def sentence_for(error: BaseException) -> str | None:
    """Returns why the machine does not let the service start; None for any other error."""
    if isinstance(error, InvalidSettings):
        return str(error)
    if isinstance(error, MemoryError):
        return _ADVICE[errno.ENOMEM]
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return _THREADS
    if isinstance(error, OSError) and (advice := _ADVICE.get(error.errno or 0)):
        return f"{error.filename}: {advice}" if error.filename else advice
    return None


def too_few_files() -> str | None:
    """Returns what to set if the process may open too few files to serve; else None."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= _FEWEST_FILES:
        return None
    return f"the limit of open files is {most}, below {_FEWEST_FILES}: {_ADVICE[errno.EMFILE]}"
