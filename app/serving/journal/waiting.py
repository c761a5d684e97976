"""Waiting, on the event loop, for what other threads answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

from app.errors import StoreUnavailable

T = TypeVar("T")


async def in_time(future: asyncio.Future[T], seconds: float | None) -> T:
    """Returns the result of a future, which is cancelled if this call ends without it.

    A result that is ready counts, even if the event loop looks at it late.

    Args:
        future: the future.
        seconds: how long to wait; None for no limit.

    Raises:
        TimeoutError: there is no result in time.
    """
    try:
        done, _ = await asyncio.wait([future], timeout=seconds)
        if not done:
            raise TimeoutError
        return future.result()
    finally:
        if not future.cancel() and not future.cancelled():
            future.exception()  # retrieved, so that asyncio does not log that it never was


class Patience:
    """Answers that may take long; they are awaited until reading the store fails.

    Made and used on an event loop; any thread may call ``end``.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._awaited: set[asyncio.Future[Any]] = set()

    def add(self, future: asyncio.Future[Any]) -> None:
        """Adds an answer that is awaited."""
        self._awaited.add(future)

    def discard(self, future: asyncio.Future[Any]) -> None:
        """Removes an answer, if it is there."""
        self._awaited.discard(future)

    def end(self, error: StoreUnavailable) -> None:
        """Ends all awaited answers with an error."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: StoreUnavailable) -> None:
        for future in self._awaited:
            if not future.done():
                future.set_exception(error)
