"""Logs why the application could not start or end, in one sentence if that is the machine."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observe.start_failures import sentence_for

logger = logging.getLogger(__name__)


class StartFailures:
    """Replaces the traceback that the framework would send the server for its log.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a start and an end; requests pass."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold_failures(message: Message) -> None:
            if message["type"].endswith(".failed"):
                failed.append(message)  # sent when the exception is known
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failures)
        except Exception as error:
            what = "start" if failed and "startup" in failed[0]["type"] else "end"
            if sentence := sentence_for(error):
                logger.critical("cannot %s: %s", what, sentence)
                logger.debug("the error", exc_info=error)
            else:
                logger.critical("cannot %s", what, exc_info=error)
            for message in failed:
                await send({**message, "message": ""})
            raise
