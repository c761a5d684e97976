"""Refuses request bodies over a limit, announced or not, and reads what nobody else has read."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import problem_response

BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
# In the scope: whether the request announces a body, from a middleware that saw all headers anyway.
HAS_BODY: Final = "encore.has_body"
# A connection that is closed while its client still sends is reset, and the client may lose the
# answer. So what is sent is read and dropped, up to a limit, before the connection is closed.
_DRAIN_SECONDS: Final = 2.0
_DRAIN_BYTES: Final = 16 * 2**20


class BodyLimit:
    """ASGI middleware that answers 413 for bodies over the limit.

    Args:
        app: the application.
        max_bytes: the longest body let through.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handles one request."""
        if scope["type"] != "http" or not has_body(scope):
            return self.app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, is_whole = 0, False

        async def send_and_drain(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last and not is_whole:
                # The client can read the whole answer now; its connection is closed after the end.
                await send({**message, "more_body": True})
                await drain(receive)
                message = {"type": "http.response.body"}
            await send(message)

        if _closes(scope):
            send_all: Send = send_and_drain
        else:
            send_all = send  # the server goes on reading
        if _announced_bytes(scope) > self.max_bytes:
            response = problem_response(Request(scope), self._refusal())
            await response(scope, receive, send_all)
            return

        async def limited_receive() -> Message:
            # A chunked body announces no length, so it is counted as it comes.
            nonlocal received, is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._refusal()
            return message

        await self.app(scope, limited_receive, send_all)

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
