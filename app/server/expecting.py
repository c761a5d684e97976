"""Requests with ``Expect: 100-continue``, whose clients wait to be asked for the body."""

from __future__ import annotations

from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def closing_unless_continued(
    app: ASGI3Application, cycle: RequestResponseCycle
) -> ASGI3Application:
    """Returns an application that closes after an answer for which it did not ask for the body.

    The client may send that body all the same, or its next request: nobody could tell them apart.
    """

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        async def watched_send(message: Any) -> None:
            has_begun = message["type"] == "http.response.start"
            if has_begun and cycle.waiting_for_100_continue and cycle.more_body:
                cycle.keep_alive = False
            await send(message)

        await app(scope, receive, watched_send)

    return closing
