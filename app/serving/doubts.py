"""Doubts about versions: those that failed before, and those that ended workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.serving.deaths import DEADLY, Deaths, OwnSlot


class Doubts:
    """What speaks against versions, from this worker's failures and the deaths of all workers.

    Args:
        slot: where this worker notes its version, and reads of the deaths of others.
    """

    def __init__(self, slot: OwnSlot) -> None:
        self._slot = slot
        self._deaths = Deaths()
        # Verified before they serve, however large they are.
        self._distrusted: set[str] = set()
        # When somebody asked for a version again by reload, which forgives its earlier deaths.
        self._forgiven: dict[str, float] = {}

    @property
    def deaths(self) -> Deaths:
        """The deaths of workers since the service started."""
        return self._slot.deaths()

    def __contains__(self, version: str) -> bool:
        return version in self._distrusted

    def add(self, version: str) -> None:
        """Doubts a version from now on."""
        self._distrusted.add(version)

    def look(self) -> set[str]:
        """Returns the versions that ended workers since the last look; they are doubted, too."""
        before, self._deaths = self._deaths, self._slot.deaths()
        if before is self._deaths:
            return set()
        faults = self._deaths.faults.items()
        found = {version for version, at in faults if at != before.faults.get(version)}
        self._distrusted |= found
        return found

    def forgive(self, version: str) -> None:
        """Leaves the deaths that a version has caused until now out of account."""
        self._forgiven[version] = time.monotonic()

    def deadliness(self, version: str) -> str:
        """Returns why a version must not serve because of the workers that it ended, or nothing."""
        if not self._slot.deaths().is_deadly(version, self._forgiven.get(version, 0.0)):
            return ""
        return (
            f"Version {version} has ended {DEADLY} workers within minutes. Train again, point "
            "models/current at another version, or try it again with POST /admin/reload."
        )

    @contextmanager
    def opening(self, version: str, serving: str | None) -> Iterator[None]:
        """Notes that this worker opens a version, for the case that it dies of it."""
        self._slot.note(opening=version, serving=serving)
        try:
            yield
        except BaseException:
            self.serving(serving)
            raise

    def serving(self, version: str | None) -> None:
        """Notes which version this worker serves."""
        self._slot.note(opening=None, serving=version)
