"""The allocator of the C library: one arena for all threads.

glibc gives threads that allocate at the same time an arena each, up to eight for each processor,
and an arena hardly ever returns what one large request has needed. With many threads and a mixed
load the private memory of a worker therefore grows for hours (`benchmarks/soak.py`). Threads of a
worker take turns anyway, so they do not have to wait for each other in one arena.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

_VARIABLE: Final = "MALLOC_ARENA_MAX"
# Of malloc.h.
_M_ARENA_MAX: Final = -8


def share_one_arena() -> None:
    """Limits this process and those that it starts to one arena, unless the environment says more.

    Called before the first thread starts. Without glibc nothing happens.
    """
    if _VARIABLE in os.environ:
        return
    os.environ[_VARIABLE] = "1"  # for workers; this process has read it already
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
