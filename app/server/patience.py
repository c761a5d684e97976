"""How long the service waits for a client."""

from __future__ import annotations

from enum import Enum, auto
from typing import cast

from app.server.limits import BYTES_PER_SECOND, LINGER_SECONDS, Limits


class Phase(Enum):
    """What a connection is doing.

    Attributes:
        SILENT: nothing has come yet.
        HEAD: a head is incomplete.
        BODY: a body is incomplete.
        WORKING: the application has a whole request, or does not take more of it now.
        SENDING: the client has not taken all of an answer.
        DISCARDING: a body is incomplete, and the answer has gone out.
        IDLE: between two requests.
        ENDING: a refusal has gone out.
    """

    SILENT = auto()
    HEAD = auto()
    BODY = auto()
    WORKING = auto()
    SENDING = auto()
    DISCARDING = auto()
    IDLE = auto()
    ENDING = auto()


class Patience:
    """What the looks at one connection have seen, and whether that takes too long.

    Args:
        limits: the limits.
        now: the time of the event loop, in seconds, as everywhere here.
    """

    __slots__ = ("_level", "_moved_at", "_moved_bytes", "_of", "_phase", "_seconds", "_since")

    def __init__(self, limits: Limits, now: float) -> None:
        self._seconds = {
            Phase.SILENT: limits.head,
            Phase.HEAD: limits.head,
            Phase.BODY: limits.body,
            Phase.SENDING: limits.send,
            Phase.DISCARDING: LINGER_SECONDS,
            Phase.IDLE: limits.keep_alive,
            Phase.ENDING: LINGER_SECONDS,
        }
        self._phase, self._of = Phase.SILENT, cast("object", None)
        self._since = self._moved_at = now
        self._level = self._moved_bytes = 0

    def is_over(self, phase: Phase, of: object, level: int, now: float) -> bool:
        """Returns whether a phase has taken too long; called once in each look.

        Args:
            phase: what the connection is doing.
            of: the request, by identity: the same phase of another one begins anew.
            level: a number of bytes that grows as the client sends or reads.
            now: the time.
        """
        if phase is not self._phase or of is not self._of:
            self._begin(phase, of, level, now)
            return False
        if level > self._level:
            self._moved_bytes += level - self._level
            self._moved_at = now
        self._level = level
        seconds = self._seconds.get(phase)
        if seconds is None:
            return False
        if phase not in {Phase.BODY, Phase.SENDING}:
            return now - self._since > seconds
        # A client that moves a byte now and then would hold on for ever.
        paced = seconds + self._moved_bytes / BYTES_PER_SECOND
        return now - self._since > paced or now - self._moved_at > seconds

    def since(self, phase: Phase, of: object) -> float | None:
        """Returns when a phase was first seen; None if the last look saw another one."""
        return self._since if phase is self._phase and of is self._of else None

    def _begin(self, phase: Phase, of: object, level: int, now: float) -> None:
        self._phase, self._of, self._level = phase, of, level
        self._since = self._moved_at = now
        self._moved_bytes = 0
