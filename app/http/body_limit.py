"""Refuses request bodies over a limit, announced or not."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import problem_response

BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
# In the scope: whether the request announces a body, from a middleware that saw all headers anyway.
HAS_BODY: Final = "encore.has_body"


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
        if _announced_bytes(scope) > self.max_bytes:
            response = problem_response(Request(scope), self._refusal())
            await response(scope, receive, send)
            return

        received = 0

        async def limited_receive() -> Message:
            # A chunked body announces no length, so it is counted as it comes.
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._refusal()
            return message

        await self.app(scope, limited_receive, send)

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


def _announced_bytes(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    # The server has already refused a length that is not a number.
    return int(value) if value.isdigit() else 0
