"""Which call wants what: one table, for the guards, for OpenAPI and for the page of calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from app.variables import Area


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
    """Tells which of several sets of calls a request belongs to.

    Args:
        sets: the calls of each set, as ``CALLS`` names them. A path that could belong to two sets
            belongs to the first.
    """

    def __init__(self, *sets: Collection[str]) -> None:
        patterns: dict[str, list[list[str]]] = {}
        for number, names in enumerate(sets):
            for name in names:
                method, _, path = name.partition(" ")
                groups = patterns.setdefault(method, [[] for _ in sets])
                groups[number].append(_pattern(path))
        self._matching = {
            # A group for each set; one without paths matches nothing.
            method: re.compile("|".join(f"({'|'.join(g) or '(?!)'})" for g in groups).encode())
            for method, groups in patterns.items()
        }
        if "GET" in self._matching:
            self._matching["HEAD"] = self._matching["GET"]

    def set_of(self, method: str, path: bytes) -> int | None:
        """Returns the number of the set that a request belongs to, from 0 on, or None.

        Args:
            method: its method.
            path: its path as it was sent, still percent-encoded.
        """
        matching = self._matching.get(method)
        found = None if matching is None else matching.fullmatch(path)
        return None if found is None or found.lastindex is None else found.lastindex - 1


def check_calls(app: FastAPI) -> None:
    """Checks that every call of an application has a row.

    Raises:
        TypeError: one has none.
    """
    missing = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        # A mount has no methods, and could answer any.
        for method in route.methods or {"any method of"}
        if f"{'GET' if method == 'HEAD' else method} {route.path}" not in CALLS
    }
    if missing:
        raise TypeError(f"each call needs a row in CALLS, which lacks {', '.join(sorted(missing))}")


def _pattern(path: str) -> str:
    """Returns the expression of the router for a path, so that both read a path alike."""
    expression, _, _ = compile_path(path)
    return re.sub(r"\?P<\w+>", "?:", expression.pattern.removeprefix("^").removesuffix("$"))
