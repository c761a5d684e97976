"""Whether the framework would treat ``GET /recommend/{user_id}`` just as the hot route does.

The hot route implements one way of handling: these parameters, this dependency, this answer. The
registered route may differ, through its router or the application: a guard, a prefix, another class
of routes. All attributes are compared, so that a kind of difference that is not named here is found
as well.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic.fields import FieldInfo
from starlette.routing import Route

from app.http.dependencies import CurrentServing
from app.http.parameters import UserIdInPath
from app.http.routers.recommend import recommend
from app.http.strict_route import StrictRoute
from app.schemas.lists import Recommendations
from app.schemas.options import RecommendParameters

PREFIX: Final = "/recommend/"
_PATH: Final = f"{PREFIX}{{user_id}}"
# Attributes of a route that are text for OpenAPI, or follow from the other attributes.
_WORDS: Final = frozenset(
    {
        "callbacks",
        "deprecated",
        "description",
        "generate_unique_id_function",
        "include_in_schema",
        "name",
        "openapi_extra",
        "operation_id",
        "response_description",
        "response_field",
        "response_fields",
        "responses",
        "summary",
        "tags",
        "unique_id",
    }
)
# These differ from route to route; the handler and the overrides are compared separately.
_OWN: Final = frozenset({"app", "dependency_overrides_provider", "endpoint", "form_limits"})


async def _as_known(
    user_id: UserIdInPath,
    parameters: Annotated[RecommendParameters, Query()],
    serving: CurrentServing,
    request: Request,
) -> Response:
    """Declares what the hot route reads and answers from; never called."""
    raise NotImplementedError


_KNOWN: Final = StrictRoute(_PATH, _as_known, methods=["GET"], response_model=Recommendations)
_ATTRIBUTES: Final = sorted(vars(_KNOWN).keys() - _WORDS - _OWN)


def is_as_known(app: FastAPI) -> bool:
    """Returns whether the hot route may answer for the application."""
    for route in iter_route_contexts(app.routes):
        if route.path == _PATH and route.methods == {"GET"}:
            return (
                type(route.original_route) is StrictRoute
                # A decorator around the handler could refuse requests.
                and inspect.unwrap(route.dependant.call) is recommend
                and route.endpoint is recommend
                and _handling(route) == _handling(RouteContext(_KNOWN))
                and not app.root_path
            )
        if _may_come_first(route):
            return False
    return False


def _may_come_first(route: RouteContext) -> bool:
    """Returns whether a route could match a request before the known route does."""
    is_fixed = isinstance(route.original_route, Route) and not route.param_convertors
    return not is_fixed or str(route.path).startswith(PREFIX)


def _handling(route: RouteContext) -> list[Any]:
    return [_comparable(getattr(route, name)) for name in _ATTRIBUTES]


def _comparable(value: Any, *, is_root: bool = True) -> Any:
    """Returns a value of a route in a form that can be compared, with its dependencies expanded."""
    if isinstance(value, DefaultPlaceholder):
        return value.value
    if isinstance(value, list):
        return [_comparable(one, is_root=False) for one in value]
    if isinstance(value, FieldInfo):  # compares by identity
        return type(value), value.annotation, value.default, value.alias, value.metadata
    if is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: _comparable(getattr(value, one.name), is_root=False)
            for one in fields(value)
            # The handler itself is compared separately.
            if not (is_root and isinstance(value, Dependant) and one.name == "call")
        } | {"type": type(value)}
    return value
