"""Who has events, and the version of availability, in memory that all workers of a host share.

A table of numbers: a user's slot holds the number of the latest event of all users in that slot,
0 for none. It is raised before an event is acknowledged. So with one memory access a worker knows
that a user has no events, or that its cached activity is up to date; it asks the store only
otherwise. Users may share a slot, which costs nothing but a question to the store.
"""

from __future__ import annotations

import errno
import fcntl
import logging
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

from app.errors import EncoreError, StoreUnavailable
from app.files import SHARED_MEMORY, shared_folder
from app.store.course import Mark, Seen

_SLOTS: Final = 2**20
_MASK: Final = _SLOTS - 1
_HEADER_BYTES: Final = mmap.PAGESIZE
_BYTES: Final = _HEADER_BYTES + 8 * _SLOTS
# Marks a file as a table; another layout has another number.
_LAYOUT: Final = int.from_bytes(b"encore 1", "little")
# File locks exclude other processes, but not other threads of this one.
_in_process = Lock()

logger = logging.getLogger(__name__)


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

    Its file may go while it is in use: logging out can empty shared memory. A process that is
    started then makes another one, so the name is looked at before each change, and all processes
    come together again in the table that has the name.

    Args:
        place: the store's ``EventStore.place``.

    Attributes:
        availability: its only number is the version of availability; read for every request, which
            a property would make slower.

    Raises:
        StoreUnavailable: there is no room for the table, or its file belongs to another user of the
            host.
    """

    availability: memoryview
    _slots: memoryview

    def __init__(self, place: str) -> None:
        self._name = f"encore-{os.getuid()}-{_name(place)}"
        path = self._path
        try:
            with _in_process:
                table = _Table(path)
        except OSError as error:
            raise StoreUnavailable("memory", _why(path, error)) from error
        # What is changed: the table that is read, and until it is filled the one that follows it;
        # before them those that other processes still read.
        self._tables = [table]
        self._use(table)
        self._is_closed = False
        self._has_failed = False

    @property
    def _path(self) -> Path:
        return shared_folder() / self._name

    def is_touched(self, user_id: str) -> bool:
        """Says whether a user may have events."""
        return self._slots[crc32(user_id.encode()) & _MASK] > 0

    def of(self, user_id: str) -> int:
        """Returns the stamp of a user: 0 if no user of the slot has events."""
        return self._slots[crc32(user_id.encode()) & _MASK]

    def raise_availability(self, version: int) -> None:
        """Raises the version of availability; a lower one changes nothing."""
        with self._changing() as tables:
            for table in tables:
                with table.locked():
                    table.availability[0] = max(table.availability[0], version)

    def raise_to(self, latest: Iterable[tuple[str, int]]) -> None:
        """Raises the stamps of users to the numbers of their latest events."""
        raised = [(stamp_key(user_id), sequence) for user_id, sequence in latest]
        with self._changing() as tables:
            for table in tables:
                with table.locked():
                    table.raise_to(raised)

    def catch_up(self, end: int, latest_after: Callable[[int], list[tuple[int, int]]]) -> None:
        """Raises the stamps for events that others have stored.

        Args:
            end: the number of the last event.
            latest_after: returns the stamp keys with events after a number, up to ``end`` at least,
                and their latest numbers.
        """
        with self._changing() as tables:
            table = tables[-1]
            covered = table.covered[0]
        if end > covered:
            latest = latest_after(covered)
            with self._changing() as tables:
                if table in tables:  # another thread may have given it up meanwhile
                    with table.locked():
                        table.raise_to(latest)
                        table.covered[0] = max(table.covered[0], end)
        with self._changing() as tables:
            # Read only now: until it was filled, its users seemed to have no events.
            if tables[-1] is table is not self._used:
                self._use(table)
            needed = (self._used, tables[-1])
            self._tables = [one for one in tables if one in needed or not one.is_left()]

    def seen(self, store_id: str) -> Seen:
        """Returns what the processes that use the table have seen of a store."""
        with self._changing() as tables:
            table = tables[-1]
            with table.locked():
                number, at, *_ = table.mark
                mark = Mark(bytes(table.mark[2:4]), at)
                return Seen(
                    store_id,
                    last_sequence=table.covered[0],
                    availability_version=table.availability[0],
                    marks={number: mark} if number else {},
                )

    def note(self, number: int, mark: Mark) -> None:
        """Notes an entry of the store, for a process that uses the table later."""
        with self._changing() as tables:
            table = tables[-1]
            if number != table.mark[0]:
                with table.locked():
                    table.mark[0] = 0  # a process that is killed here leaves none
                    table.mark[1] = mark.at
                    table.mark[2], table.mark[3] = memoryview(mark.digest).cast("Q")
                    table.mark[0] = number

    def close(self) -> None:
        """Closes the table; the last process that uses it removes it. May be called twice."""
        with _in_process:
            if self._is_closed:
                return
            self._is_closed = True
            self._slots.release()
            self.availability.release()
            for table in self._tables:
                with suppress(OSError, EncoreError):
                    table.close(self._path)

    def _use(self, table: _Table) -> None:
        """Reads from another table from now on, whichever thread asks."""
        self._used = table
        self.availability = table.availability
        self._slots = table.slots

    @contextmanager
    def _changing(self) -> Iterator[list[_Table]]:
        """Excludes other threads, and yields the tables to change; the last has the name."""
        with _in_process:
            if self._is_closed:
                raise StoreUnavailable("closed", "the event store is closed; the service is ending")
            self._follow_name()
            yield self._tables

    def _follow_name(self) -> None:
        path = Path(self._name)
        try:
            path = self._path
            if self._tables[-1].is_at(path):
                return
            table = next((one for one in self._tables if one.has_name(path)), None)
            if table is None:
                table = _Table(path)
                logger.warning("%s was removed or replaced; what is there now is used", path)
            else:
                table.repair()  # cut short, or moved away and back
        except (OSError, EncoreError) as error:
            if not self._has_failed:
                logger.warning(
                    "%s; until then a worker that is replaced does not see what others store "
                    "at once",
                    _why(path, error) if isinstance(error, OSError) else error,
                )
            self._has_failed = True
            return
        self._has_failed = False
        self._tables = [one for one in self._tables if one is not table] + [table]


class _Table:
    """A file of numbers in memory. All its methods are called with ``_in_process`` held.

    Args:
        path: the file; made if it is missing.

    Attributes:
        covered: its only number is the one up to which all events are in the table.
        availability: its only number is the version of availability.
        mark: the number, the time and the digest of an entry of the store; 0, 0… for none.
        slots: the stamps.

    Raises:
        OSError: it cannot be opened, or there is no room.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)
        try:
            is_new = not os.fstat(self._descriptor).st_size
            _reserve(self._descriptor)
            self._map = mmap.mmap(self._descriptor, _BYTES)
        except BaseException:
            os.close(self._descriptor)
            raise
        status = os.fstat(self._descriptor)
        self._identity = status.st_dev, status.st_ino
        whole = memoryview(self._map).cast("Q")
        self.covered = whole[:1]
        self.availability = whole[1:2]
        self.mark = whole[2:6]
        self.slots = whole[_HEADER_BYTES // 8 :]
        self._layout = whole[_HEADER_BYTES // 8 - 1 : _HEADER_BYTES // 8]
        whole.release()
        self._begin(is_empty=is_new)
        if path.parent != SHARED_MEMORY:
            # A power cut may have lost a part of what was written, so all events are read again.
            self.covered[0] = self.mark[0] = 0

    def _begin(self, *, is_empty: bool) -> None:
        """Empties what is no table of this layout, and says that it is one from now on."""
        with self.locked():
            if self._layout[0] != _LAYOUT:
                if not is_empty:
                    self._map[:] = bytes(_BYTES)
                self._layout[0] = _LAYOUT

    def has_name(self, path: Path) -> bool:
        """Says whether a path is the name of this file."""
        try:
            status = path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def is_at(self, path: Path) -> bool:
        """Says whether a path is the name of this file, and the file is whole."""
        return self.has_name(path) and os.fstat(self._descriptor).st_size >= _BYTES

    def repair(self) -> None:
        """Takes it up again; where its file was cut short, all events have to be read again."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(self._descriptor).st_size < _BYTES:
            _reserve(self._descriptor)
            self._layout[0] = 0
            self._begin(is_empty=False)

    def raise_to(self, latest: Iterable[tuple[int, int]]) -> None:
        """Raises stamps, by their keys."""
        slots = self.slots
        for key, sequence in latest:
            slot = key & _MASK
            # A stamp never falls: an old number could be taken for a current one.
            slots[slot] = max(slots[slot], sequence)

    def is_left(self) -> bool:
        """Says whether no other process reads it any more; then it is given up.

        Its memory goes with the last thread that still looks at a stamp.
        """
        # Its own lock says that it reads it, which is over.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        os.close(self._descriptor)
        return True

    def close(self, path: Path) -> None:
        """Closes it, and removes the file if it has the name and no other process uses it."""
        for view in (self.covered, self.availability, self.mark, self.slots, self._layout):
            view.release()
        self._map.close()
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.has_name(path):
                path.unlink()
        os.close(self._descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Excludes other processes; the kernel frees the lock of a killed one."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _name(place: str) -> str:
    return blake2b(place.encode(), digest_size=16).hexdigest()


def _why(path: Path, error: OSError) -> str:
    """Returns why a table cannot be used, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: {error.strerror}; {_BYTES >> 20} MiB have to fit there"
    return (
        f"{path}: {error.strerror}; the service makes this file by itself, so remove what is there"
    )


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
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except PermissionError:
            if path.lstat().st_uid != os.getuid():
                raise
            path.unlink()  # its permissions were changed; those who use it follow the name
            continue
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.getuid():
                raise PermissionError(errno.EPERM, "belongs to another user of this host")
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), status):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the last process that used it has just removed it
