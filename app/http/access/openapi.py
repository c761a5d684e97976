"""What OpenAPI says about who may call."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from app.http.access.calls import CALLS, Access, wants_key
from app.http.problems import problem_responses
from app.variables import Area

_SCHEME: Final = "ApiKey"


def add_access(schema: dict[str, Any], protect: Collection[Area]) -> None:
    """Adds the key to the calls that want it, and the answers of the guards.

    Args:
        schema: the schema of all calls, which is changed.
        protect: the areas that the setting names.
    """
    schema["components"]["securitySchemes"] = {
        _SCHEME: {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "The service's ENCORE_API_KEY. Without one set, protected calls are "
            "open, and the service listens on loopback only.",
        }
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            name = "GET" if method == "head" else method.upper()
            access = CALLS[f"{name} {path}"]
            if access is Access.PROBE:
                continue
            statuses = {403, 421}
            if wants_key(access, protect):
                operation["security"] = [{_SCHEME: []}]
                statuses.add(401)
            added = {str(status): one for status, one in problem_responses(*statuses).items()}
            operation["responses"] = dict(sorted((operation["responses"] | added).items()))
