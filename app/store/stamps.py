"""Who has events, and the version of availability, in memory that all workers of a host share.

A table of numbers: a user's slot holds the number of the latest event of all users in that slot,
0 for none. It is raised before an event is acknowledged. So with one memory access a worker knows
that a user has no events, or that its cached activity is up to date; it asks the store only
otherwise. Users may share a slot, which costs nothing but a question to the store.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from app.errors import StoreUnavailable
from app.files import SHARED_MEMORY, shared_folder
from app.store.course import Mark, Seen

_SLOTS: Final = 2**20
_MASK: Final = _SLOTS - 1
_HEADER_BYTES: Final = mmap.PAGESIZE
_BYTES: Final = _HEADER_BYTES + 8 * _SLOTS
# File locks exclude other processes, but not other threads of this one.
_in_process = Lock()


def stamp_key(user_id: str) -> int:
    """Returns the number that selects a user's slot, below 2**32."""
    return crc32(user_id.encode())


class NoStamps:
    """The substitute for the table until the store is open: no user has events.

    Args:
        erased: stamp keys of erased users.
        availability_version: the version of availability.
    """

    def __init__(self, erased: Container[int] = (), availability_version: int = 0) -> None:
        self._erased = erased
        self.availability: Final = memoryview(array("Q", [availability_version]))

    def is_touched(self, user_id: str) -> bool:
        """Says whether a user may have been erased."""
        return stamp_key(user_id) in self._erased


class Stamps:
    """The table of one store on this host.

    Args:
        place: the store's ``EventStore.place``.

    Attributes:
        availability: its only number is the version of availability; read for every request, which
            a property would make slower.

    Raises:
        StoreUnavailable: there is no room for the table, or its file belongs to another user of the
            host.
    """

    def __init__(self, place: str) -> None:
        folder = shared_folder()
        self._path = folder / f"encore-{os.getuid()}-{_name(place)}"
        try:
            with _in_process:
                self._descriptor = _open(self._path)
                try:
                    _reserve(self._descriptor)
                    self._map = mmap.mmap(self._descriptor, _BYTES)
                except BaseException:
                    os.close(self._descriptor)
                    raise
        except OSError as error:
            raise StoreUnavailable(
                "memory", f"{self._path}: {error.strerror}; {_BYTES >> 20} MiB have to fit there"
            ) from error
        whole = memoryview(self._map).cast("Q")
        # The number up to which all events are in the table.
        self._covered = whole[:1]
        self.availability = whole[1:2]
        # The number, the time and the digest of a mark; no number, no mark.
        self._mark = whole[2:6]
        self._slots = whole[_HEADER_BYTES // 8 :]
        whole.release()
        self._is_closed = False
        if folder != SHARED_MEMORY:
            # A power cut may have lost a part of what was written, so all events are read again.
            self._covered[0] = self._mark[0] = 0

    def is_touched(self, user_id: str) -> bool:
        """Says whether a user may have events."""
        return self._slots[crc32(user_id.encode()) & _MASK] > 0

    def of(self, user_id: str) -> int:
        """Returns the stamp of a user: 0 if no user of the slot has events."""
        return self._slots[crc32(user_id.encode()) & _MASK]

    def raise_availability(self, version: int) -> None:
        """Raises the version of availability; a lower one changes nothing."""
        with self._locked():
            self.availability[0] = max(self.availability[0], version)

    def raise_to(self, latest: Iterable[tuple[str, int]]) -> None:
        """Raises the stamps of users to the numbers of their latest events."""
        with self._locked():
            self._raise((stamp_key(user_id), sequence) for user_id, sequence in latest)

    def catch_up(self, end: int, latest_after: Callable[[int], list[tuple[int, int]]]) -> None:
        """Raises the stamps for events that others have stored.

        Args:
            end: the number of the last event.
            latest_after: returns the stamp keys with events after a number, up to ``end`` at least,
                and their latest numbers.
        """
        covered = self._covered[0]
        if end > covered:
            latest = latest_after(covered)
            with self._locked():
                self._raise(latest)
                self._covered[0] = max(self._covered[0], end)

    def seen(self, store_id: str) -> Seen:
        """Returns what the processes that use the table have seen of a store."""
        with self._locked():
            number, at, *_ = self._mark
            mark = Mark(bytes(self._mark[2:4]), at)
            return Seen(
                store_id,
                last_sequence=self._covered[0],
                availability_version=self.availability[0],
                marks={number: mark} if number else {},
            )

    def note(self, number: int, mark: Mark) -> None:
        """Notes an entry of the store, for a process that uses the table later."""
        if number != self._mark[0]:
            with self._locked():
                self._mark[0] = 0  # a process that is killed here leaves none
                self._mark[1] = mark.at
                self._mark[2], self._mark[3] = memoryview(mark.digest).cast("Q")
                self._mark[0] = number

    def close(self) -> None:
        """Closes the table; the last process that uses it removes it. May be called twice."""
        with _in_process:
            if self._is_closed:
                return
            self._is_closed = True
            self._covered.release()
            self.availability.release()
            self._mark.release()
            self._slots.release()
            self._map.close()
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._path.unlink()
            os.close(self._descriptor)

    def _raise(self, latest: Iterable[tuple[int, int]]) -> None:
        slots = self._slots
        for key, sequence in latest:
            slot = key & _MASK
            # A stamp never falls: an old number could be taken for a current one.
            slots[slot] = max(slots[slot], sequence)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The kernel frees the lock of a killed process.
        with _in_process:
            if self._is_closed:
                raise StoreUnavailable("closed", "the event store is closed; the service is ending")
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _name(place: str) -> str:
    return blake2b(place.encode(), digest_size=16).hexdigest()


def _reserve(descriptor: int) -> None:
    """Allocates the file in full length, filled with zeros."""
    if hasattr(os, "posix_fallocate"):
        # Without room, writing to the mapped memory would kill the process.
        os.posix_fallocate(descriptor, 0, _BYTES)
    else:
        os.ftruncate(descriptor, _BYTES)


def _open(path: Path) -> int:
    """Opens the file and takes a shared lock on it, which shows others that it is in use."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_uid != os.getuid():
                raise PermissionError(1, "belongs to another user of this host")
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the last process that used it has just removed it
