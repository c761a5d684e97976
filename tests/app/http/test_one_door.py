"""Middleware sees the requests of the hot route and those of the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthorized, UnknownUser
from app.http.dependencies import CurrentServing, _serving
from app.http.known_route import is_as_known
from app.http.parameters import UserIdInPath
from app.http.routers import recommend
from app.http.routers.recommend import recommend as handler
from app.http.strict_route import StrictRoute
from app.main import Service, create_app
from app.schemas.lists import Recommendations
from app.schemas.options import RecommendParameters
from app.settings import Settings
from tests.app.http.test_hot_route import behind, essence

# Answers of every kind: a list at once, one that is scored, an unknown user, a faulty parameter.
TARGETS: Final = {
    "/recommend/u30": 200,
    "/recommend/u30?include_seen=true": 200,
    "/recommend/nobody?strategy=als": 404,
    "/recommend/u30?n=0": 422,
    "/recommend/u30/more": 404,
}
SHOP: Final = "https://shop.example"
HOT: Final = (
    "/recommend/u30",
    "/recommend/u30?include_seen=true",
    "/recommend/nobody?strategy=als",
)


class SetsHeader:
    """Sets a header, as plain ASGI."""

    def __init__(self, app: ASGIApp, *, name: str = "x-plain") -> None:
        self.app, self.name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[self.name] = scope["path"]
            await send(message)

        await self.app(scope, receive, with_header)


class SetsHeaderAsWell(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-base"] = request.method
        return response


class Fails:
    """Fails before it has begun to answer."""

    def __init__(self, app: ASGIApp, *, error: Exception) -> None:
        self.app, self.error = app, error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise self.error
        await self.app(scope, receive, send)


async def refuse() -> None:
    raise Unauthorized("a guard refuses")


async def pass_all() -> None:
    pass


@contextmanager
def serving(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def handed_over(app: Service) -> Iterator[list[str]]:
    """Lists the targets that reach the framework."""
    targets: list[str] = []
    framework = app.hot_route._framework

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        targets.append(scope["path"])
        await framework(scope, receive, send)

    app.hot_route._framework = counting
    try:
        yield targets
    finally:
        app.hot_route._framework = framework


@pytest.fixture
def app(models: Path, tmp_path: Path) -> Service:
    """The service, not started yet."""
    app = create_app(Settings(models=models, state=tmp_path))
    assert isinstance(app, Service)
    return app


def without_recommend(app: FastAPI) -> None:
    app.router.routes[:] = [
        route
        for route in app.router.routes
        if getattr(route, "original_router", None) is not recommend.router
    ]
    assert not any(path.startswith("/recommend") for path in app.openapi()["paths"])
    app.openapi_schema = None


def include_first(app: FastAPI, router: APIRouter, **options: Any) -> None:
    """Exchanges the router of recommend calls."""
    without_recommend(app)
    app.include_router(router, **options)
    app.router.routes.insert(0, app.router.routes.pop())


def test_the_hot_route_answers_what_it_can(app: Service) -> None:
    with serving(app) as client, handed_over(app) as targets:
        for target, status in TARGETS.items():
            assert client.get(target).status_code == status
    assert targets == ["/recommend/u30", "/recommend/u30/more"]  # n=0, and no such path


def test_a_middleware_sees_both_ways(app: Service) -> None:
    app.add_middleware(SetsHeader)
    app.add_middleware(SetsHeaderAsWell)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    origin = {"origin": "http://localhost:3000"}
    with serving(app) as client, handed_over(app) as targets:
        for target, status in TARGETS.items():
            hot, framework = (one.get(target, headers=origin) for one in (client, behind(client)))
            assert hot.status_code == status
            assert hot.headers["x-plain"] == target.partition("?")[0]
            assert hot.headers["x-base"] == "GET"
            assert hot.headers["access-control-allow-origin"] == "*"
            assert essence(hot) == essence(framework)
        assert len(targets) == 2 + len(TARGETS)
        assert client.post("/recommend", json={}).headers["x-plain"] == "/recommend"


@pytest.mark.slow
def test_a_middleware_sees_faults_on_both_ways(app: Service) -> None:
    app.add_middleware(SetsHeader)
    with serving(app) as client:
        app.state.follower.recommender.model = None
        for one in (client, behind(client)):
            answer = one.get("/recommend/u30")
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-plain"] == "/recommend/u30"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("hunter2"), 500), (Unauthorized("no key"), 401)]
)
def test_a_middleware_that_fails_is_answered_with_a_problem(
    app: Service, error: Exception, status: int
) -> None:
    app.add_middleware(Fails, error=error)
    with serving(app) as client:
        for target in ("/recommend/u30", "/popular"):
            answer = client.get(target)
            assert answer.status_code == answer.json()["status"] == status
            assert "hunter2" not in answer.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"allowed_hosts": ()}, {"host": "evil.example"}, 421),
        ({}, {"origin": "https://evil.example"}, 403),
        ({"cors_origins": (SHOP,)}, {"origin": SHOP}, 200),
        ({"api_key": "k"}, {}, 200),
        ({"api_key": "k", "protect": ("reads",)}, {}, 401),
        ({"api_key": "k", "protect": ("reads",)}, {"x-api-key": "k"}, 200),
        ({"api_key": "k", "protect": ("reads",), "cors_origins": (SHOP,)}, {"origin": SHOP}, 401),
    ],
    ids=str,
)
def test_guards_and_cors_are_found_on_both_ways(
    models: Path, tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    app = create_app(Settings(models=models, state=tmp_path, **settings))
    assert isinstance(app, Service)
    with serving(app) as client, handed_over(app) as targets:
        for target in HOT:
            hot, framework = (one.get(target, headers=headers) for one in (client, behind(client)))
            assert hot.status_code == (TARGETS[target] if status == 200 else status)
            may_read = hot.headers.get("access-control-allow-origin")
            assert may_read == (SHOP if "cors_origins" in settings else None)
            if status != 200:  # a refusal of a request with a body ends the connection
                assert framework.headers.pop("connection") == "close"
            assert essence(hot) == essence(framework)
        assert len(targets) == (len(HOT) if status == 200 else 0)


def test_middleware_is_refused_once_the_service_runs(app: Service) -> None:
    with serving(app) as client:
        client.get("/recommend/u30")
        with pytest.raises(RuntimeError, match="after an application has started"):
            app.add_middleware(SetsHeader)


def test_handlers_of_exceptions_hold_on_both_ways(app: Service) -> None:
    async def say(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"handled: {error}", 418)

    app.add_exception_handler(UnknownUser, say)
    app.add_exception_handler(Exception, say)
    with serving(app) as client:
        unknown = client.get("/recommend/nobody?strategy=als")
        assert unknown.status_code == 418
        assert essence(unknown) == essence(behind(client).get("/recommend/nobody?strategy=als"))
        app.state.follower.recommender.model = None
        fault = client.get("/recommend/u30")
        assert fault.text.startswith("handled: 'NoneType'")
        assert essence(fault) == essence(behind(client).get("/recommend/u30"))


def guard_of_include(app: FastAPI) -> None:
    include_first(app, recommend.router, dependencies=[Depends(refuse)])


def guard_of_router(app: FastAPI) -> None:
    router = APIRouter(route_class=StrictRoute, dependencies=[Depends(refuse)])
    router.get("/recommend/{user_id}", response_model=Recommendations)(handler)
    include_first(app, router)


def guard_of_application(app: FastAPI) -> None:
    without_recommend(app)
    app.router.dependencies.append(Depends(refuse))
    app.include_router(recommend.router)


def guard_of_outer_router(app: FastAPI) -> None:
    outer = APIRouter(dependencies=[Depends(refuse)])
    outer.include_router(recommend.router)
    include_first(app, outer)


def guard_of_route(app: FastAPI) -> None:
    router = APIRouter(route_class=StrictRoute)
    guards = [Depends(refuse)]
    router.get("/recommend/{user_id}", dependencies=guards, response_model=Recommendations)(handler)
    include_first(app, router)


def guard_of_handler(app: FastAPI) -> None:
    async def guarded(
        user_id: UserIdInPath,
        parameters: Annotated[RecommendParameters, Query()],
        serving: CurrentServing,
        request: Request,
        _guard: Annotated[None, Depends(refuse)],
    ) -> Response:
        return await handler(user_id, parameters, serving, request)

    router = APIRouter(route_class=StrictRoute)
    router.get("/recommend/{user_id}", response_model=Recommendations)(guarded)
    include_first(app, router)


def guard_as_decorator(app: FastAPI) -> None:
    @wraps(handler)
    async def guarded(*_args: object, **_kwargs: object) -> Response:
        raise Unauthorized("a guard refuses")

    router = APIRouter(route_class=StrictRoute)
    router.get("/recommend/{user_id}", response_model=Recommendations)(guarded)
    include_first(app, router)


def guard_of_route_class(app: FastAPI) -> None:
    class Guarded(StrictRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            async def handle(_request: Request) -> Response:
                raise Unauthorized("a guard refuses")

            return handle

    router = APIRouter(route_class=Guarded)
    router.get("/recommend/{user_id}", response_model=Recommendations)(handler)
    include_first(app, router)


def guard_as_override(app: FastAPI) -> None:
    app.dependency_overrides[_serving] = refuse


def guard_as_route_before(app: FastAPI) -> None:
    async def refusing(_request: Request) -> Response:
        raise Unauthorized("a guard refuses")

    app.router.routes.insert(0, Route("/recommend/{user_id}", refusing))


def guard_as_mount_before(app: FastAPI) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise Unauthorized("a guard refuses")

    app.router.routes.insert(0, Mount("/recommend", refusing))


GUARDS: Final = (
    guard_of_include,
    guard_of_router,
    guard_of_application,
    guard_of_outer_router,
    guard_of_route,
    guard_of_handler,
    guard_as_decorator,
    guard_of_route_class,
    guard_as_override,
    guard_as_route_before,
    guard_as_mount_before,
)


def assert_refused(client: TestClient) -> None:
    for target in HOT:
        answer = client.get(target)
        assert answer.status_code == 401
        assert answer.json()["detail"] == "a guard refuses"
        assert essence(answer) == essence(behind(client).get(target))


@pytest.mark.slow
@pytest.mark.parametrize("add", GUARDS, ids=lambda add: add.__name__)
def test_a_guard_is_asked_on_both_ways(app: Service, add: Callable[[FastAPI], None]) -> None:
    add(app)
    with serving(app) as client:
        assert_refused(client)


def test_a_guard_is_asked_from_when_it_is_there(app: Service) -> None:
    with serving(app) as client:
        for add in (guard_as_override, guard_of_include, guard_as_route_before):
            assert client.get("/recommend/u30").status_code == 200
            routes = [*app.router.routes]
            add(app)
            assert_refused(client)
            app.router.routes[:] = routes
            app.dependency_overrides.clear()


def test_a_guard_that_passes_changes_nothing(app: Service) -> None:
    with serving(app) as client, handed_over(app) as targets:
        plain = [essence(client.get(target)) for target in HOT]
        include_first(app, recommend.router, dependencies=[Depends(pass_all)])
        assert [essence(client.get(target)) for target in HOT] == plain
    assert len(targets) == len(HOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"status_code": 201},
        {"response_class": PlainTextResponse},
        {"response_model": None},
        {"response_model_exclude": {"items"}},
    ],
    ids=str,
)
def test_a_route_that_answers_otherwise_is_left_to_the_framework(
    app: Service, options: dict[str, Any]
) -> None:
    router = APIRouter(route_class=StrictRoute)
    router.get("/recommend/{user_id}", **{"response_model": Recommendations} | options)(handler)
    include_first(app, router)
    assert not is_as_known(app)
    with serving(app) as client, handed_over(app) as targets:
        assert client.get("/recommend/u30").status_code == 200
    assert targets == ["/recommend/u30"]


@pytest.mark.slow
def test_a_prefix_moves_the_route(app: Service) -> None:
    include_first(app, recommend.router, prefix="/v1")
    with serving(app) as client:
        assert client.get("/recommend/u30").status_code == 404
        assert client.get("/v1/recommend/u30").status_code == 200


def test_a_path_below_the_service_s_own_is_left_to_the_framework(app: Service) -> None:
    outer = FastAPI(routes=[Mount("/encore", app)])
    with serving(app), serving(outer) as client, handed_over(app) as targets:
        assert client.get("/encore/recommend/u30").status_code == 200
    assert len(targets) == 1


@pytest.mark.slow
def test_words_in_openapi_do_not_matter(app: Service) -> None:
    router = APIRouter(route_class=StrictRoute, tags=["other"], include_in_schema=False)
    router.get("/recommend/{user_id}", response_model=Recommendations, summary="Other")(handler)
    include_first(app, router)
    assert is_as_known(app)
    with serving(app) as client, handed_over(app) as targets:
        assert client.get("/recommend/u30").status_code == 200
    assert targets == []
