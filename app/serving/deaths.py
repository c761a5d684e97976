"""The register of deaths: which workers died of what, and which model they had, in shared memory.

The process above the workers writes the deaths; each worker notes the model that it opens and the
one that it serves, since it cannot say so once it is dead.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import reduction
from typing import Any, Final

# Written in this order: the number of the change, length and checksum of the deaths, the deaths.
_HEAD: Final = struct.Struct("<QII")
_DEATHS_BYTES: Final = 32 * 1024
_TEXT_BYTES: Final = 32
_SLOT_BYTES: Final = 2 * _TEXT_BYTES
SLOTS: Final = 1024
_BYTES: Final = _DEATHS_BYTES + SLOTS * _SLOT_BYTES
# Signals that a process gets because of its memory or code. A truncated file gives SIGBUS.
FAULTS: Final = frozenset({"SIGBUS", "SIGSEGV", "SIGILL", "SIGFPE", "SIGABRT"})
# A version that ended so many workers in so many seconds is set aside, whatever its checksums say.
DEADLY: Final = 3
DEADLY_SECONDS: Final = 600.0
_MOST_VERSIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Deaths:
    """Deaths since the service started.

    Attributes:
        counts: how many there were by reason, the name of a signal, ``exit`` or ``hung``.
        faults: when workers died of a fault, by the version that they had; the latest few.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def is_deadly(self, version: str, since: float = 0.0) -> bool:
        """Says whether a version has ended so many workers that it must not serve.

        Args:
            version: the version.
            since: earlier deaths are forgiven; by the clock of ``time.monotonic``.
        """
        first = max(since, time.monotonic() - DEADLY_SECONDS)
        return sum(at > first for at in self.faults.get(version, ())) >= DEADLY


class DeathRegister:
    """The register; processes that share it map the same memory."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _memory() if descriptor is None else descriptor
        self._memory = mmap.mmap(self._descriptor, _BYTES)
        self._change = 0
        self._deaths = Deaths()

    def __reduce__(self) -> tuple[Any, ...]:
        # Works while a process is being started, as for other shared memory.
        return _attach, (reduction.DupFd(self._descriptor),)

    def close(self) -> None:
        """Lets the memory go; may be called twice."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self._descriptor)

    def deaths(self) -> Deaths:
        """Returns the deaths so far; the same object until there is another."""
        change, length, checksum = _HEAD.unpack_from(self._memory)
        if change != self._change:
            encoded = self._memory[_HEAD.size : _HEAD.size + length]
            if zlib.crc32(encoded) == checksum:  # else it is being written: seen at the next call
                content = json.loads(encoded)
                faults = {name: tuple(times) for name, times in content["faults"].items()}
                self._deaths = Deaths(content["counts"], faults)
                self._change = change
        return self._deaths

    def record(self, reason: str, slot: int) -> str | None:
        """Records a death; only the process above the workers does.

        Args:
            reason: as in ``Deaths.counts``.
            slot: that of the worker, which is emptied.

        Returns:
            The version that the worker had: the one that it was opening, else the one it served.
        """
        deaths = self.deaths()
        counts = {**deaths.counts, reason: deaths.counts.get(reason, 0) + 1}
        faults, version = dict(deaths.faults), self._noted(slot)
        if version and reason in FAULTS:
            times = (*faults.pop(version, ()), time.monotonic())
            faults[version] = times[-DEADLY:]
        faults = dict(list(faults.items())[-_MOST_VERSIONS:])
        encoded = json.dumps({"counts": counts, "faults": faults}).encode()
        change = self._change + 1
        self._memory[_HEAD.size : _HEAD.size + len(encoded)] = encoded
        _HEAD.pack_into(self._memory, 0, change, len(encoded), zlib.crc32(encoded))
        self.note(slot, opening=None, serving=None)
        return version

    def note(self, slot: int, *, opening: str | None, serving: str | None) -> None:
        """Notes what the worker of a slot does: the version it opens, and the one it serves."""
        texts = [(text or "").encode()[:_TEXT_BYTES] for text in (opening, serving)]
        start = _DEATHS_BYTES + slot % SLOTS * _SLOT_BYTES
        noted = b"".join(text.ljust(_TEXT_BYTES, b"\0") for text in texts)
        self._memory[start : start + _SLOT_BYTES] = noted

    def _noted(self, slot: int) -> str | None:
        start = _DEATHS_BYTES + slot % SLOTS * _SLOT_BYTES
        noted = self._memory[start : start + _SLOT_BYTES]
        texts = noted[:_TEXT_BYTES], noted[_TEXT_BYTES:]
        found = [text.rstrip(b"\0").decode("ascii", "replace") for text in texts]
        return found[0] or found[1] or None


@dataclass(frozen=True, slots=True)
class OwnSlot:
    """The part of the register that one worker writes to."""

    register: DeathRegister
    slot: int

    def note(self, *, opening: str | None, serving: str | None) -> None:
        """Notes what this worker does; see ``DeathRegister.note``."""
        self.register.note(self.slot, opening=opening, serving=serving)

    def deaths(self) -> Deaths:
        """Returns the deaths of all workers so far."""
        return self.register.deaths()


_own: list[OwnSlot] = []


def take_slot(register: DeathRegister, slot: int) -> None:
    """Says which slot this worker process has; called once, before the application is built."""
    _own[:] = [OwnSlot(register, slot)]


def own_slot() -> OwnSlot:
    """Returns the slot of this process; that of a new register where nobody watches over it."""
    if not _own:
        take_slot(DeathRegister(), 0)
    return _own[0]


def _memory() -> int:
    """Returns a descriptor of zeroed memory without a name, so that nobody can remove it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("encore-deaths", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _BYTES)
    return descriptor


def _attach(duplicate: Any) -> DeathRegister:
    return DeathRegister(duplicate.detach())
