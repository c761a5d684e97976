"""Asks for the API key, before the body of a request is read."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Collection
from typing import Final

from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthorized
from app.http.access.calls import CALLS, Paths, wants_key
from app.http.access.refusal import refuse
from app.http.raw_target import as_routed, path_in_service
from app.variables import Area

_HEADER: Final = b"x-api-key"
_GUARDED: Final = 0


class KeyGuard:
    """ASGI middleware that lets requests pass that have the key, or want none.

    Args:
        app: the application.
        key: the key.
        protect: the areas whose calls want the key as well.
    """

    def __init__(self, app: ASGIApp, *, key: str, protect: Collection[Area]) -> None:
        self._app = app
        self._key = key.encode()
        guarded = [name for name, access in CALLS.items() if wants_key(access, protect)]
        self._paths = Paths(guarded, [name for name in CALLS if name not in guarded])

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handles one request."""
        if scope["type"] == "http" and self._wants_key(scope):
            objection = self._objection(scope)
            if objection is not None:
                return refuse(Unauthorized(objection), scope, receive, send)
        return self._app(scope, receive, send)

    def _wants_key(self, scope: Scope) -> bool:
        found = self._paths.set_of(scope["method"], path_in_service(scope))
        # A route that was added without a row in the table wants the key. Where no route answers,
        # the service may say so to everybody.
        return found == _GUARDED or (found is None and _is_routed(scope))

    def _objection(self, scope: Scope) -> str | None:
        sent = [value for name, value in scope["headers"] if name == _HEADER]
        if not sent:
            return "this call needs the API key in the header X-API-Key"
        if len(sent) > 1:
            return f"the header X-API-Key is there {len(sent)} times; send it once"
        if not hmac.compare_digest(sent[0], self._key):
            return "the key in the header X-API-Key is not the service's ENCORE_API_KEY"
        return None


def _is_routed(scope: Scope) -> bool:
    service: FastAPI = scope["app"]
    seen = as_routed(scope)
    # HEAD is answered wherever GET is.
    asked = [seen, {**seen, "method": "GET"}] if scope["method"] == "HEAD" else [seen]
    routes = service.router.routes
    return any(route.matches(one)[0] is Match.FULL for one in asked for route in routes)
