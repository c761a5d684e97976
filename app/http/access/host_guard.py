"""Refuses requests that browsers send to, or from, a foreign name.

A web page may resolve its own name to 127.0.0.1 (DNS rebinding), and then call a service on the
machine of whoever opens it: for the browser both are one site. The name is still in the header
Host. A page that calls the service under the service's own name has its origin in the header
Origin. Other clients may send whatever they like; they are no browsers, and want no protection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import EncoreError, HostNotAllowed, OriginNotAllowed
from app.hosts import HostRule, host_of, host_of_origin
from app.http.access.calls import CALLS, Access, Paths
from app.http.access.refusal import refuse
from app.http.body_limit import BODY_HEADERS, HAS_BODY
from app.http.raw_target import path_in_service

_HOST: Final = b"host"
_NOTED: Final = frozenset({_HOST, b"origin", *BODY_HEADERS})
# Headers that were allowed once; clients send few different ones.
_REMEMBERED: Final = 256
_PROBES: Final = Paths([name for name, access in CALLS.items() if access is Access.PROBE])


class HostGuard:
    """ASGI middleware that lets requests pass whose headers Host and Origin are allowed.

    Probes always pass: they show nothing of a person, and orchestrators send them to an address
    that only they know. So does a request without these headers: browsers send Host always, and
    Origin wherever one site calls another and could read or change anything.

    Args:
        app: the application.
        hosts: the hosts that it answers to.
        origins: origins that may call it beside those on these hosts; None if any may.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: HostRule, origins: Collection[str] | None = None
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins
        self._allowed: set[tuple[bytes, bytes]] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handles one request."""
        if scope["type"] == "http":
            allowed, has_body = self._allowed, False
            for name, value in scope["headers"]:
                if name in _NOTED:
                    if name in BODY_HEADERS:
                        has_body = True
                    elif (name, value) not in allowed:
                        error = self._objection(scope, name, value)
                        if error is not None:
                            return refuse(error, scope, receive, send)
            scope[HAS_BODY] = has_body
        return self._app(scope, receive, send)

    def _objection(self, scope: Scope, name: bytes, value: bytes) -> EncoreError | None:
        error = self._error(name, value.decode("latin-1"))
        if error is None and len(self._allowed) < _REMEMBERED:
            self._allowed.add((name, value))
        if error is None or _PROBES.set_of(scope["method"], path_in_service(scope)) == 0:
            return None
        return error

    def _error(self, name: bytes, value: str) -> EncoreError | None:
        if name == _HOST:
            host = host_of(value)
            if host is not None and self._hosts.allows(host):
                return None
            return HostNotAllowed(
                f"the header Host is {value[:100]!a}, and this service answers to localhost, "
                "127.0.0.1 and the hosts in ENCORE_ALLOWED_HOSTS only: send requests there, or add "
                "the host"
            )
        host = host_of_origin(value)
        is_allowed = host is not None and self._hosts.allows(host)
        if is_allowed or self._origins is None or value in self._origins:
            return None
        return OriginNotAllowed(
            f"the header Origin is {value[:100]!a}, and web pages may call this service from "
            "loopback only while it has no key: set ENCORE_API_KEY, or add the origin to "
            "ENCORE_CORS_ORIGINS"
        )
