"""Refuses a request of which only the head has been read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.http.body_limit import drain, has_body
from app.http.problems import problem_response


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
    await drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
