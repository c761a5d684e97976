"""The table of what each call wants, and all that reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles

from app.http.access.calls import CALLS, Access, Paths, check_calls, wants_key
from app.http.raw_target import encoded_path
from app.main import create_app
from app.settings import Settings
from app.variables import Area

ROOT = Path(__file__).parents[4]


async def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("protect", "wanting"),
    [
        ((), {Access.WRITE, Access.ADMIN}),
        (("reads",), {Access.READ, Access.WRITE, Access.ADMIN}),
        (("metrics", "docs"), {Access.METRICS, Access.DOCS, Access.WRITE, Access.ADMIN}),
        (("reads", "metrics", "docs"), {*Access} - {Access.PROBE}),
    ],
)
def test_what_wants_the_key(protect: tuple[Area, ...], wanting: set[Access]) -> None:
    assert {access for access in Access if wants_key(access, protect)} == wanting


def test_every_row_is_a_call_of_the_service() -> None:
    app = create_app(Settings())
    check_calls(app)
    for name in CALLS:
        method, _, path = name.partition(" ")
        scope = {
            "type": "http",
            "method": method,
            "path": path.replace("{path:path}", "favicon.png"),
        }
        found = [route for route in app.routes if route.matches(scope)[0] is Match.FULL]
        assert found, name


def late_route(app: FastAPI) -> None:
    app.add_api_route("/late", nothing)


def late_method(app: FastAPI) -> None:
    app.add_api_route("/popular", nothing, methods=["DELETE"])


def late_head(app: FastAPI) -> None:
    app.add_api_route("/late", nothing, methods=["HEAD"])


def late_router(app: FastAPI) -> None:
    router = APIRouter(prefix="/late")
    router.get("/{name}")(nothing)
    app.include_router(router)


def late_prefix(app: FastAPI) -> None:
    router = APIRouter()
    router.get("/popular")(nothing)
    app.include_router(router, prefix="/v2")


def late_mount(app: FastAPI) -> None:
    app.router.routes.append(Mount("/docs/assets", Starlette()))


def late_files(app: FastAPI) -> None:
    app.router.routes.append(Mount("/late", StaticFiles(directory=ROOT)))


def late_class(app: FastAPI) -> None:
    class Endpoint:
        async def __call__(self, *_arguments: object) -> None:
            pass

    app.router.routes.append(Route("/popular", Endpoint()))


@pytest.mark.parametrize(
    "add",
    [
        late_route,
        late_method,
        late_head,
        late_router,
        late_prefix,
        late_mount,
        late_files,
        late_class,
    ],
    ids=lambda add: add.__name__,
)
def test_a_call_without_a_row_stops_the_start(add: Any) -> None:
    app = create_app(Settings())
    add(app)
    with pytest.raises(TypeError, match="needs a row in CALLS, which lacks "):
        check_calls(app)


def test_a_head_is_in_the_row_of_its_get() -> None:
    app = create_app(Settings())
    app.add_api_route("/popular", nothing, methods=["HEAD"])
    check_calls(app)
    assert Paths(["GET /a/{b}"]).set_of("HEAD", b"/a/x") == 0


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
PATHS = (
    b"/",
    b"",
    b"//",
    b"/recommend",
    b"/recommend/",
    b"/recommend/x",
    b"/recommend/x/",
    b"/recommend/x/y",
    b"/recommend/a%2Fb",
    b"/recommend/batch",
    b"//recommend/x",
    b"/./recommend/x",
    b"/Recommend/x",
    b"/%72ecommend/x",
    b"/recommend%2Fx",
    b"/recommend/\xc3\xb6",
    b"/recommend/x\n",
    b"/recommend/%0A",
    b"/docs/assets/a/b.js",
    b"/docs/assets/",
    b"/docs/assets",
    b"/docs",
    b"/docs/",
    b"/health/live",
    b"/health/live/",
    b"/users/..",
    b"/users/%2E%2E/x",
    b"recommend/x",
    b"*",
)


@pytest.mark.parametrize("name", CALLS)
def test_paths_are_read_as_a_router_reads_them(name: str) -> None:
    method, _, path = name.partition(" ")
    route = Route(path, nothing, methods=[method])
    for sent in PATHS:
        for asked in METHODS:
            scope = {"type": "http", "method": asked, "path": "", "raw_path": sent}
            match, _ = route.matches(scope | {"path": encoded_path(scope)})
            found = Paths([name]).set_of(asked, sent)
            assert found == (0 if match is Match.FULL else None), (asked, sent)


def test_several_sets_are_told_apart() -> None:
    names = [*CALLS]
    sets = names[::3], names[1::3], names[2::3]
    several = Paths(*sets)
    for path in PATHS:
        for method in METHODS:
            alone = [
                number for number, one in enumerate(sets) if Paths(one).set_of(method, path) == 0
            ]
            assert several.set_of(method, path) == (alone[0] if alone else None)


def test_a_path_of_two_sets_belongs_to_the_first() -> None:
    paths = Paths(["GET /a/{b}/c"], ["GET /a/{b:path}", "POST /a"])
    assert paths.set_of("GET", b"/a/x/c") == 0
    assert paths.set_of("GET", b"/a/x/d") == 1
    assert paths.set_of("POST", b"/a") == 1
    assert paths.set_of("POST", b"/a/x/c") is None
    assert paths.set_of("PUT", b"/a") is None


def test_the_page_of_calls_says_what_each_wants() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[A-Z]+ /[^`]*`(?:, )?)+) \| .* \| (\w+) \|$", text, re.MULTILINE)
    assert {name: wants for calls, wants in rows for name in re.findall("`([^`]+)`", calls)} == {
        name: access.value for name, access in CALLS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("protect", [(), ("reads",), ("metrics", "docs")])
def test_openapi_says_what_wants_the_key(protect: tuple[Area, ...]) -> None:
    schema = create_app(Settings(api_key="k", protect=protect)).openapi()
    assert schema["components"]["securitySchemes"]["ApiKey"]["in"] == "header"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            access = CALLS[f"{method.upper()} {path}".replace("HEAD ", "GET ")]
            is_wanted = wants_key(access, protect)
            assert (operation.get("security") == [{"ApiKey": []}]) == is_wanted
            assert ("401" in operation["responses"]) == is_wanted
            for status in ("403", "421"):
                assert (status in operation["responses"]) == (access is not Access.PROBE)
            assert [*operation["responses"]] == sorted(operation["responses"])
