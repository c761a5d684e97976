"""Waiting, on the event loop, for what other threads answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

from app.errors import StoreUnavailable

T = TypeVar("T")


async def in_time(future: asyncio.Future[T], seconds: float | None) -> T:
    """Returns what a future comes to; it is cancelled where nobody waits for it any more.

    An answer that is there counts, however late it is looked at.

    Args:
        future: the answer to come.
        seconds: for how long; None for no limit.

    Raises:
        TimeoutError: it is not there in time.
    """
    try:
        done, _ = await asyncio.wait([future], timeout=seconds)
        if not done:
            raise TimeoutError
        return future.result()
    finally:
        if not future.cancel() and not future.cancelled():
            future.exception()  # so that nobody is told that nobody has asked for it


class Patience:
    """Answers that may take long, awaited until the store turns out to be in trouble.

    Made and used on an event loop; any thread may call ``end``.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._awaited: set[asyncio.Future[Any]] = set()

    def add(self, future: asyncio.Future[Any]) -> None:
        """Takes note of an answer to come."""
        self._awaited.add(future)

    def discard(self, future: asyncio.Future[Any]) -> None:
        """Forgets an answer, whether it was noted or not."""
        self._awaited.discard(future)

    def end(self, error: StoreUnavailable) -> None:
        """Ends all that is awaited with an error."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: StoreUnavailable) -> None:
        for future in self._awaited:
            if not future.done():
                future.set_exception(error)
