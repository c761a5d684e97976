"""The versions that cannot be served: why, and when each is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.artifacts.footprint import Footprint

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Rejection:
    """A version that could not be used.

    Attributes:
        reason: a sentence.
        is_certain: whether the same files would be refused again.
        footprint: that of the files.
        tried_at: when that was.
        wait_seconds: time until the same files are tried again, unless it is certain.
    """

    reason: str
    is_certain: bool
    footprint: Footprint
    tried_at: float
    wait_seconds: float


class SetAside:
    """The versions that were refused, each with the reason.

    Args:
        look: returns the footprint of a version.
    """

    def __init__(self, look: Callable[[str], Footprint]) -> None:
        self._look = look
        self._rejections: dict[str, _Rejection] = {}

    def add(
        self, version: str, reason: str, footprint: Footprint, *, is_certain: bool = True
    ) -> bool:
        """Sets a version aside.

        Args:
            version: the version.
            reason: a sentence.
            footprint: of the files that were refused.
            is_certain: whether there is no use in trying again as long as they are the same.

        Returns:
            Whether that is news, to be logged.
        """
        last = self._rejections.get(version)
        wait = FIRST_RETRY_SECONDS
        if last:
            wait = min(2 * last.wait_seconds, LONGEST_RETRY_SECONDS)
        self._rejections[version] = _Rejection(
            reason, is_certain, footprint, time.monotonic(), wait
        )
        return last is None or last.reason != reason

    def forget(self, version: str) -> None:
        """Drops a version, which is usable or no longer wanted."""
        self._rejections.pop(version, None)

    def reason(self, version: str | None) -> str:
        """Returns why a version is set aside; an empty text if it is not."""
        rejection = self._rejections.get(version or "")
        return rejection.reason if rejection else ""

    def is_due(self, version: str) -> bool:
        """Says whether a version may be tried now: for the first time, or again.

        It is tried again once its files have changed; the same files after a pause that grows, if
        that may be of use.
        """
        rejection = self._rejections.get(version)
        if rejection is None:
            return True
        waited = time.monotonic() - rejection.tried_at
        if waited >= rejection.wait_seconds and not rejection.is_certain:
            return True
        return waited >= FIRST_RETRY_SECONDS and rejection.footprint != self._look(version)
