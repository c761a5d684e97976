"""Routes on the request target as it was sent, still percent-encoded.

A server decodes the path before the application sees it, so an id with ``/`` in it would be split
into segments. In the encoded path each segment is one id, which is decoded on its own.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, quote_from_bytes

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

# Printable ASCII characters stay as they are; all other bytes are encoded.
_PRINTABLE: Final = bytes(range(0x21, 0x7F))
# Characters that are not encoded again when a server gives only the decoded path.
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"


class RawTarget:
    """ASGI middleware that puts the encoded path and query into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http":
            # A server may pass raw bytes of ``é``; they mean the same as their percent-encoding.
            query = printable(scope["query_string"]).encode()
            scope = {**scope, "path": encoded_path(scope), "query_string": query}
        await self.app(scope, receive, send)


def encoded_path(scope: Scope) -> str:
    """Returns a request's path as it was sent, as printable ASCII."""
    raw_path: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe=_PATH_SAFE) if raw_path is None else printable(raw_path)


def as_routed(scope: Scope) -> Scope:
    """Returns the scope of a request as routes see it, for who looks at it ahead of them."""
    root_path: str = scope["app"].root_path or scope.get("root_path", "")
    return {**scope, "path": encoded_path(scope), "root_path": root_path}


def path_in_service(scope: Scope) -> bytes:
    """Returns a request's path as it was sent, without the path of the service itself."""
    raw_path: bytes | None = scope.get("raw_path")
    if raw_path and not scope.get("root_path") and not scope["app"].root_path:
        return raw_path
    return get_route_path(as_routed(scope)).encode()


def printable(target: bytes) -> str:
    """Returns a target with all bytes but printable ASCII percent-encoded."""
    return quote_from_bytes(target, safe=_PRINTABLE)
