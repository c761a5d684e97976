"""Who has events, and how new the assortment is, in memory that all workers of a host share.

A table of numbers: a user's slot holds the number of the latest event that anybody in that slot
has, 0 for none. It is raised before an event is acknowledged. So a worker finds out with one look
that somebody has no events, or that what it keeps of them is of today; only then it asks the store.
Users may share a slot, which costs a question to the store and no more.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from app.errors import StoreUnavailable

_SLOTS: Final = 2**20
_MASK: Final = _SLOTS - 1
_HEADER_BYTES: Final = mmap.PAGESIZE
_BYTES: Final = _HEADER_BYTES + 8 * _SLOTS
# In memory, and gone after a restart of the machine.
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - opened exclusively, and checked
# Locks of files exclude processes, not the threads of one.
_in_process = Lock()


class Stamps:
    """The table of one store on this host.

    Args:
        place: as of ``EventStore.place``.

    Raises:
        StoreUnavailable: there is no room for it, or somebody else's file in its place.
    """

    def __init__(self, place: str) -> None:
        is_kept_by_disk = not os.access(_SHARED_MEMORY, os.W_OK)
        folder = Path(tempfile.gettempdir()) if is_kept_by_disk else _SHARED_MEMORY
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
        self._assortment = whole[1:2]
        self._slots = whole[_HEADER_BYTES // 8 :]
        whole.release()
        self._is_closed = False
        if is_kept_by_disk:
            # What was written may have been lost at a power cut: all of it is looked at again.
            self._covered[0] = 0

    def of(self, user_id: str) -> int:
        """Returns the stamp of a user: 0 where nobody in their slot has events."""
        return self._slots[crc32(user_id.encode()) & _MASK]

    @property
    def assortment(self) -> int:
        """The version of the assortment."""
        return self._assortment[0]

    def raise_assortment(self, version: int) -> None:
        """Notes a version of the assortment."""
        with self._locked():
            self._assortment[0] = max(self._assortment[0], version)

    def raise_to(self, latest: Iterable[tuple[str, int]]) -> None:
        """Notes users with the numbers of their latest events."""
        with self._locked():
            self._raise(latest)

    def catch_up(self, latest_after: Callable[[int], list[tuple[str, int]]]) -> int:
        """Notes what others have stored.

        Args:
            latest_after: as ``EventStore.latest_of_users``.

        Returns:
            The number up to which all events are noted.
        """
        latest = latest_after(self._covered[0])
        if latest:
            with self._locked():
                self._raise(latest)
                end = max(sequence for _, sequence in latest)
                self._covered[0] = max(self._covered[0], end)
        return int(self._covered[0])

    def close(self) -> None:
        """Lets go of the table; the last one removes it. May be called twice."""
        with _in_process:
            if self._is_closed:
                return
            self._is_closed = True
            self._covered.release()
            self._assortment.release()
            self._slots.release()
            self._map.close()
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._path.unlink()
            os.close(self._descriptor)

    def _raise(self, latest: Iterable[tuple[str, int]]) -> None:
        slots = self._slots
        for user_id, sequence in latest:
            slot = crc32(user_id.encode()) & _MASK
            # Never back: a number that was here before could pass for one of today.
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
    """Makes the file as long as it has to be, with nothing in it."""
    if hasattr(os, "posix_fallocate"):
        # Where there is no room, writing to mapped memory would end the process.
        os.posix_fallocate(descriptor, 0, _BYTES)
    else:
        os.ftruncate(descriptor, _BYTES)


def _open(path: Path) -> int:
    """Opens the file and holds a shared lock on it, by which others see that it is in use."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_uid != os.getuid():
                raise PermissionError(1, "belongs to somebody else")
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last user has just removed it
