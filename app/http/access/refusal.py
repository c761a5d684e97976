"""Refuses a request of which only the head has been read."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.http.body_limit import has_body
from app.http.problems import problem_response

# A connection that is closed while its client still sends is reset, and the client may lose the
# answer. So what is sent is read and dropped, up to a limit, before the connection is closed.
_DRAIN_SECONDS: Final = 2.0
_DRAIN_BYTES: Final = 16 * 2**20


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once with the problem of an error, and ends the connection if a body follows."""
    response = problem_response(Request(scope), error)
    if not has_body(scope):
        await response(scope, receive, send)
        return
    headers = [*response.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    # The whole answer, which the client can read now; the connection is closed after the end of it.
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with anyio.move_on_after(_DRAIN_SECONDS):
        await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    left = _DRAIN_BYTES
    while left > 0:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        left -= len(message["body"])
