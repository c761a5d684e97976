"""What is left open: descriptors, threads, and connections to SQLite."""

from __future__ import annotations

import gc
import re
import sqlite3
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_TIMES: Final = 20
_PATIENCE: Final = 30.0


class WatchedConnection(sqlite3.Connection):
    """A connection that says it when it was not closed, as every one does from Python 3.13 on."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it is closed
            _ = self.total_changes
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)


def assert_nothing_is_left(use: Callable[[], Any], times: int = _TIMES) -> None:
    """Does something many times, and fails where each time leaves something open.

    Services of other tests may open something meanwhile, but hardly as often. Whatever ends by
    itself has time to.
    """
    use()  # opens what is opened once: imports, pools of threads
    before = _held()
    for _ in range(times):
        use()
    deadline = time.monotonic() + _PATIENCE
    while left := {name: n for name, n in (_held() - before).items() if n >= times}:
        assert time.monotonic() < deadline, f"left open {times} times: {left}"
        time.sleep(0.05)


def _held() -> Counter[str]:
    """Returns how many descriptors and threads there are of each kind."""
    gc.collect()
    held = Counter(f"thread {_kind(thread.name)}" for thread in threading.enumerate())
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held[_kind(str(descriptor.readlink()))] += 1
    return held


def _kind(name: str) -> str:
    """Returns a name without its numbers, so that those of many times are one kind."""
    return re.sub(r"[0-9a-f]{32}|\d+", "N", name)
