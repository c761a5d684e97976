"""Leases on the files in service: nobody writes to one before it is out of service.

Whoever opens a leased file for writing, or truncates it, is held by the kernel, which tells the
holders by a signal. They have 45 seconds to serve something else and to give the lease back. So no
list is made of half-written files, and no page is gone when it is read. A lease needs a local file
of the same user; other files are looked at every now and then (``app.artifacts.footprint``).
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Self

from app.artifacts.regular import open_regular

# Requests that took a model before it went out of service have ended by then.
_REST_SECONDS: Final = 1.0

BEING_WRITTEN: Final = "being written to, which nobody may do to a published version"

logger = logging.getLogger(__name__)

# Its put is one of the few calls that a signal handler may make whatever it interrupts.
Wakeups = SimpleQueue[None]
_listeners: list[Wakeups] = []
_is_heard: list[bool] = []


def hear_signals() -> None:
    """Makes this process hear the kernel; called once, in its main thread.

    Without that no lease is taken, since the signal would end the process.
    """
    if hasattr(fcntl, "F_SETLEASE"):
        signal.signal(signal.SIGIO, _wake)
        _is_heard[:] = [True]


def listen(wakeups: Wakeups) -> None:
    """Has something put into a queue whenever somebody wants to write to a leased file."""
    _listeners.append(wakeups)


def stop_listening(wakeups: Wakeups) -> None:
    """Ends ``listen``; may be called twice."""
    with suppress(ValueError):
        _listeners.remove(wakeups)


def _wake(_number: int, _frame: object) -> None:
    for wakeups in tuple(_listeners):
        wakeups.put(None)


class Leases:
    """The leases on some files.

    Args:
        descriptors: the open files that are leased.
    """

    def __init__(self, descriptors: Iterable[int] = ()) -> None:
        self._descriptors = [*descriptors]

    @classmethod
    def take(cls, files: Iterable[Path], within: Path) -> Self | None:
        """Takes leases on files; on none of them where that is not possible.

        Args:
            files: the files.
            within: the folder in which they have to lie, wherever links lead.

        Returns:
            None where somebody has a file open for writing, so that it must not be relied on.
        """
        leases = cls()
        if not _is_heard:
            return leases
        try:
            for path in files:
                with open_regular(path, within) as file:
                    leases._descriptors.append(os.dup(file.fileno()))
                fcntl.fcntl(leases._descriptors[-1], fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            leases.release()
            return None
        except OSError as error:
            logger.debug("files of the model are not leased: %s", error)
            leases.release()
        return leases

    def are_wanted_back(self) -> bool:
        """Says whether somebody waits to write to one of the files."""
        return any(fcntl.fcntl(one, fcntl.F_GETLEASE) != fcntl.F_RDLCK for one in self._descriptors)

    def release(self) -> None:
        """Gives the leases back; may be called twice."""
        while self._descriptors:
            descriptor = self._descriptors.pop()
            with suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            os.close(descriptor)


class Resting:
    """Leases on files that were in service until just now; requests may still read them."""

    def __init__(self) -> None:
        self._leases: list[tuple[float, Leases]] = []

    def add(self, leases: Leases) -> None:
        """Has leases released when no request needs the files any more."""
        self._leases.append((time.monotonic() + _REST_SECONDS, leases))

    def release(self, *, at_once: bool = False) -> None:
        """Releases those that have rested."""
        now = time.monotonic()
        for entry in [one for one in self._leases if at_once or one[0] <= now]:
            self._leases.remove(entry)
            entry[1].release()

    def wait_at_most(self, seconds: float) -> float:
        """Returns how long to wait for the next look, of ``seconds`` at most."""
        return min([seconds, *(max(0.0, due - time.monotonic()) for due, _ in self._leases)])
