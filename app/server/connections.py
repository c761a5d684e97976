"""All connections of a process: how many there may be, and the sweep that ends the slow ones."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection
from enum import Enum, auto
from typing import Final, Protocol, cast

from uvicorn.server import ServerState

from app.server.limits import Limits

# Places beyond the limit, for clients that are told so and for those who look after the service.
_RESERVED: Final = 32
# Idle connections are closed for others when so many of the places are taken.
_CROWDED: Final = 0.9
_IDLE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 60.0
# A look at one takes some microseconds, and requests wait meanwhile.
_AT_ONCE: Final = 32

_log = logging.getLogger(__name__)


class Room(Enum):
    """What a new connection finds.

    Attributes:
        FREE: a place.
        RESERVED: a place in which only calls about the service itself are answered.
        NONE: no place.
    """

    FREE = auto()
    RESERVED = auto()
    NONE = auto()


class Watched(Protocol):
    """A connection, as all of them are watched and ended."""

    transport: asyncio.Transport

    def check(self, now: float) -> None:
        """Ends it when it has taken longer than it may, in seconds of the event loop's time."""

    @property
    def idle_since(self) -> float | None:
        """When it was first seen to wait for a request; None if it does not."""

    def shutdown(self) -> None:
        """Makes the next answer the last one."""

    def close_if_idle(self) -> None:
        """Closes it unless it has a request."""

    def give_up(self) -> None:
        """Answers with a problem whatever has no answer yet, and closes."""


class Connections(ServerState):
    """All connections of a process.

    Args:
        limits: those of each connection, and of their number.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        # New connections get one answer, and are closed then.
        self.is_ending = False
        self.full = (
            f"this process has {limits.connections} connections, as many as it may "
            "(ENCORE_MAX_CONNECTIONS); try again"
        )
        self._timer: asyncio.TimerHandle | None = None
        self._silent_until = 0.0

    def admit(self, loop: asyncio.AbstractEventLoop) -> Room:
        """Returns what a connection finds that has just been added."""
        if self._timer is None:
            self._timer = loop.call_later(self.limits.look_seconds, self._sweep, loop, [])
        count = len(self.connections)
        if count <= self.limits.connections:
            return Room.FREE
        if loop.time() > self._silent_until:
            self._silent_until = loop.time() + _PAUSE_SECONDS
            _log.warning("%s; further clients get 503", self.full)
        return Room.RESERVED if count <= self.limits.connections + _RESERVED else Room.NONE

    def all(self) -> Collection[Watched]:
        """Returns the connections of this moment."""
        return cast("list[Watched]", [*self.connections])

    def _sweep(self, loop: asyncio.AbstractEventLoop, left: list[Watched]) -> None:
        """Looks at some connections of a round, and plans when it looks at the next ones."""
        now = loop.time()
        left = left or [*self.all()]
        for connection in left[:_AT_ONCE]:
            if connection in self.connections:
                connection.check(now)
        left = left[_AT_ONCE:]
        if not left:
            self._make_room(now)
        self._timer = None
        if self.connections:
            rounds = math.ceil(len(self.connections) / _AT_ONCE)
            self._timer = loop.call_later(
                self.limits.look_seconds / rounds, self._sweep, loop, left
            )

    def _make_room(self, now: float) -> None:
        """Closes connections that have been idle for longest, while nearly no place is free."""
        excess = len(self.connections) - int(_CROWDED * self.limits.connections)
        if excess <= 0:
            return
        idle = [
            (since, connection)
            for connection in self.all()
            if (since := connection.idle_since) is not None and now - since >= _IDLE_SECONDS
        ]
        idle.sort(key=lambda entry: entry[0])
        for _, connection in idle[:excess]:
            connection.transport.close()
