"""Refuses request bodies over a limit, announced or not, and reads what nobody else has read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Overloaded
from app.http.problems import problem_response

BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
# In the scope: whether the request announces a body, from a middleware that saw all headers anyway.
HAS_BODY: Final = "encore.has_body"
# A connection that is closed while its client still sends is reset, and the client may lose the
# answer. So what is sent is read and dropped, up to a limit, before the connection is closed.
_DRAIN_SECONDS: Final = 2.0
_DRAIN_BYTES: Final = 16 * 2**20
# So many of the longest bodies are in memory at once.
_LONGEST_AT_ONCE: Final = 32


class _Body:
    """A body that is being received, or whose request has no answer yet."""

    __slots__ = ("bytes", "is_refused", "task")

    def __init__(self) -> None:
        self.bytes = 0
        self.is_refused = False
        self.task: asyncio.Task[object] | None = None


class BodyLimit:
    """ASGI middleware that answers 413 for bodies over the limit.

    All bodies together are bounded as well. A client that sends one slowly holds its bytes for as
    long as it likes, so the one that has been incomplete for longest is refused for a new one.

    Args:
        app: the application.
        max_bytes: the longest body let through.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self._most_bytes = _LONGEST_AT_ONCE * max_bytes
        self._bytes = 0
        self._incomplete: dict[_Body, None] = {}  # the oldest first

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handles one request."""
        if scope["type"] != "http" or not has_body(scope):
            return self.app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, is_whole, body = 0, False, _Body()

        def send_and_release(message: Message) -> Awaitable[None]:
            # Whatever the body said is known by now; the client may read the answer slowly.
            self._release(body)
            return send(message)

        async def send_and_drain(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last and not is_whole:
                # The client can read the whole answer now; its connection is closed after the end.
                await send_and_release({**message, "more_body": True})
                await drain(receive)
                message = {"type": "http.response.body"}
            await send_and_release(message)

        if _closes(scope):
            send_all: Send = send_and_drain
        else:
            send_all = send_and_release  # the server goes on reading
        if _announced_bytes(scope) > self.max_bytes:
            response = problem_response(Request(scope), self._refusal())
            await response(scope, receive, send_all)
            return

        async def limited_receive() -> Message:
            # A chunked body announces no length, so it is counted as it comes.
            nonlocal received, is_whole
            if is_whole:
                return await receive()
            message = await self._receive(body, receive)
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._refusal()
            self._take(body, message)
            return message

        try:
            await self.app(scope, limited_receive, send_all)
        finally:
            self._release(body)

    async def _receive(self, body: _Body, receive: Receive) -> Message:
        body.task = asyncio.current_task()
        self._incomplete.setdefault(body)
        try:
            return await receive()
        except asyncio.CancelledError:
            if body.is_refused and body.task is not None and body.task.uncancel() == 0:
                raise self._crowded() from None
            raise

    def _take(self, body: _Body, message: Message) -> None:
        """Counts a part of a body, and refuses the oldest incomplete one if that is too much."""
        count = len(message.get("body", b""))
        body.bytes += count
        self._bytes += count
        if not message.get("more_body", False):
            self._incomplete.pop(body, None)
        while self._bytes > self._most_bytes:
            oldest = next(iter(self._incomplete), body)
            self._release(oldest)
            if oldest is body or oldest.task is None:
                raise self._crowded()
            oldest.is_refused = True
            oldest.task.cancel()

    def _release(self, body: _Body) -> None:
        self._incomplete.pop(body, None)
        self._bytes -= body.bytes
        body.bytes = 0

    def _crowded(self) -> Overloaded:
        return Overloaded(
            f"the bodies of all requests have more than {self._most_bytes} bytes "
            f"({_LONGEST_AT_ONCE} times ENCORE_MAX_BODY_BYTES); send it again, without a pause"
        )

    def _refusal(self) -> HTTPException:
        return HTTPException(
            413,
            f"the body has more than {self.max_bytes} bytes (ENCORE_MAX_BODY_BYTES); "
            "send it in several requests",
        )


def has_body(scope: Scope) -> bool:
    """Returns whether a request announces a body, even an empty one."""
    known: bool | None = scope.get(HAS_BODY)
    if known is not None:
        return known
    for name, _ in scope["headers"]:  # noqa: SIM110 - `any` takes three times as long
        if name in BODY_HEADERS:
            return True
    return False


async def drain(receive: Receive) -> None:
    """Reads and drops the rest of a request's body, for a while and up to a limit."""
    left = _DRAIN_BYTES
    with anyio.move_on_after(_DRAIN_SECONDS):
        while left > 0:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
            left -= len(message["body"])


def _closes(scope: Scope) -> bool:
    """Returns whether the connection is closed after the answer to a request."""
    options = b",".join(value for name, value in scope["headers"] if name == b"connection").lower()
    if scope["http_version"] == "1.0":
        return b"keep-alive" not in options
    return b"close" in options


def _announced_bytes(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    # The server has already refused a length that is not a number.
    return int(value) if value.isdigit() else 0
