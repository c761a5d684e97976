"""The client's connection: work is cancelled when the client closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeAlias, TypeVar, cast

# Most answers are ready sooner, and need no task that watches the connection.
_WATCH_AFTER_SECONDS: Final = 0.05

T = TypeVar("T")
# ASGI's callable that reads the messages of a request.
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client has closed its connection, so no one reads the answer."""


async def unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Returns the result of ``work``; cancels it when the client closes the connection.

    Raises:
        ClientGone: the client has closed its connection.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    watching: asyncio.Task[None] | None = None
    is_gone = False

    def leave(watching: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if watching.exception() is None:  # else a body was refused; the client is there
            is_gone = True
            task.cancel()

    def watch() -> None:
        nonlocal watching
        watching = asyncio.ensure_future(_until_gone(receive))
        watching.add_done_callback(leave)

    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if is_gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.remove_done_callback(leave)
            watching.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
