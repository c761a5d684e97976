"""Which call wants what: one table, for the guards, for OpenAPI and for the page of calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Final, get_args

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import Mount, compile_path
from starlette.staticfiles import StaticFiles

from app.settings import Area


class Access(StrEnum):
    """What a call wants, once a key is set."""

    PROBE = "probe"
    READ = "read"
    METRICS = "metrics"
    DOCS = "docs"
    WRITE = "write"
    ADMIN = "admin"


# A GET stands for HEAD as well.
CALLS: Final[Mapping[str, Access]] = {
    "GET /recommend/{user_id}": Access.READ,
    "POST /recommend": Access.READ,
    "POST /recommend/batch": Access.READ,
    "POST /events": Access.WRITE,
    "GET /users/{user_id}": Access.ADMIN,
    "DELETE /users/{user_id}": Access.ADMIN,
    "PUT /artists/{artist_id}": Access.WRITE,
    "GET /popular": Access.READ,
    "GET /model": Access.READ,
    "GET /model/report": Access.READ,
    "GET /health/live": Access.PROBE,
    "GET /health/ready": Access.PROBE,
    "GET /metrics": Access.METRICS,
    "POST /admin/reload": Access.ADMIN,
    "GET /": Access.DOCS,
    "GET /docs": Access.DOCS,
    "GET /docs/assets/{name}": Access.DOCS,
    "GET /openapi.json": Access.DOCS,
}
# Calls that are open until the setting names their area.
_AREAS: Final[Mapping[Access, Area]] = {
    Access.READ: "reads",
    Access.METRICS: "metrics",
    Access.DOCS: "docs",
}
if {*_AREAS.values()} != {*get_args(Area)}:
    raise TypeError("each area of ENCORE_PROTECT needs a line in _AREAS")


def wants_key(access: Access, protect: Collection[Area]) -> bool:
    """Says whether a call wants the key, once one is set.

    Args:
        access: the call's row in ``CALLS``.
        protect: the areas that the setting names.
    """
    area = _AREAS.get(access)
    return access is not Access.PROBE if area is None else area in protect


class Paths:
    """The paths of some calls.

    Args:
        names: the calls, as ``CALLS`` names them.
    """

    def __init__(self, names: Collection[str]) -> None:
        patterns: dict[str, list[str]] = {}
        for name in names:
            method, _, path = name.partition(" ")
            patterns.setdefault(method, []).append(_pattern(path))
        self._matching = {
            method: re.compile("|".join(several).encode()).fullmatch
            for method, several in patterns.items()
        }
        if "GET" in self._matching:
            self._matching["HEAD"] = self._matching["GET"]

    def has(self, method: str, path: bytes) -> bool:
        """Says whether a request is for one of these calls.

        Args:
            method: its method.
            path: its path as it was sent, still percent-encoded.
        """
        match = self._matching.get(method)
        return match is not None and match(path) is not None


def check_calls(app: FastAPI) -> None:
    """Checks that every call of an application has a row.

    Raises:
        TypeError: one has none.
    """
    missing = {
        name
        for route in iter_route_contexts(app.routes)
        for name in _names(route)
        if name not in CALLS
    }
    if missing:
        raise TypeError(f"each call needs a row in CALLS, which lacks {', '.join(sorted(missing))}")


def _names(route: RouteContext) -> Iterator[str]:
    mounted = route.original_route
    if isinstance(mounted, Mount) and isinstance(mounted.app, StaticFiles):
        yield f"GET {mounted.path}/{{path:path}}"  # files answer no other method
        return
    methods: Collection[str] = route.methods or {"any method of"}
    for method in methods:
        yield f"{'GET' if method == 'HEAD' else method} {route.path}"


def _pattern(path: str) -> str:
    """Returns the expression of the router for a path, so that both read a path alike."""
    expression, _, _ = compile_path(path)
    return re.sub(r"\?P<\w+>", "?:", expression.pattern.removeprefix("^").removesuffix("$"))
