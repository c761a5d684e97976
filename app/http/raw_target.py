"""Routes on the request target as it was sent, still percent-encoded.

A server decodes the path before the application sees it, so an id with ``/`` in it would fall
apart into segments. With the encoded path each segment is one id, and is decoded on its own.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, quote_from_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

# Every printable ASCII character stands for itself; only what no URL may carry gets encoded.
_PRINTABLE: Final = bytes(range(0x21, 0x7F))
# What stays as it is when a server gives the decoded path only.
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"


class RawTarget:
    """ASGI middleware that puts the encoded path and query into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http":
            # A server may let the bytes of ``é`` through; they mean what they encode to.
            query = _encode(scope["query_string"]).encode()
            scope = {**scope, "path": encoded_path(scope), "query_string": query}
        await self.app(scope, receive, send)


def encoded_path(scope: Scope) -> str:
    """Returns a request's path as it was sent, as printable ASCII."""
    raw_path: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe=_PATH_SAFE) if raw_path is None else _encode(raw_path)


def _encode(target: bytes) -> str:
    return quote_from_bytes(target, safe=_PRINTABLE)
