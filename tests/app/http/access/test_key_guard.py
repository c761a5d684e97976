"""Which calls are refused without the key: all of the table, by both ways."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from fastapi import Request
from fastapi.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.http.access.calls import CALLS, wants_key
from app.main import Service
from app.variables import Area
from tests.app.http.access.conftest import Start
from tests.app.http.test_hot_route import behind, essence

KEY: Final = "s3cret-key_~!"
PROTECTED: Final[list[tuple[Area, ...]]] = [(), ("reads",), ("metrics",), ("docs",), get_args(Area)]


@pytest.fixture(scope="module", params=PROTECTED, ids=",".join)
def protect(request: pytest.FixtureRequest) -> tuple[Area, ...]:
    areas: tuple[Area, ...] = request.param
    return areas


@pytest.fixture(scope="module")
def client(start: Start, protect: tuple[Area, ...]) -> TestClient:
    # A key ends what is open without one.
    return start(api_key=KEY, protect=protect, host="::", allow_unauthenticated=True)


@pytest.fixture(scope="module")
def protecting(start: Start) -> TestClient:
    return start(api_key=KEY, protect=("reads",))


def target(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    path = path.replace("{name}", "favicon.png")
    return method, path.replace("{user_id}", "u30").replace("{artist_id}", "i30")


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_call_wants_the_key_as_its_row_says(
    client: TestClient, protect: tuple[Area, ...], name: str
) -> None:
    method, path = target(name)
    is_wanted = wants_key(CALLS[name], protect)
    for one in (client, behind(client)):
        for verb in (method, "HEAD") if method == "GET" else (method,):
            for headers in ({}, {"X-API-Key": KEY + "x"}):
                answer = one.request(verb, path, headers=headers, follow_redirects=False)
                assert (answer.status_code == 401) == is_wanted
                if is_wanted and verb != "HEAD":
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.headers["www-authenticate"].startswith("ApiKey")
                    assert answer.json()["instance"] == path
            answer = one.request(verb, path, headers={"X-API-Key": KEY}, follow_redirects=False)
            assert answer.status_code not in {401, 403, 421}


HOT: Final = (
    "/recommend/u30",
    "/recommend/u30?n=3&exclude=i30",
    "/recommend/u30?include_seen=true",
    "/recommend/nobody?strategy=als",
    "/recommend/u30?n=0",
)


def test_lists_want_the_key_on_both_ways(protecting: TestClient) -> None:
    for path in HOT:
        hot, framework = (one.get(path) for one in (protecting, behind(protecting)))
        assert hot.status_code == 401
        # The framework's way has a body in this test, and a connection with one is closed.
        assert framework.headers.pop("connection") == "close"
        assert essence(hot) == essence(framework)
        headers = {"X-API-Key": KEY}
        hot, framework = (
            one.get(path, headers=headers) for one in (protecting, behind(protecting))
        )
        assert hot.status_code != 401
        assert essence(hot) == essence(framework)


@pytest.mark.parametrize(
    "keys",
    [
        [KEY, KEY],
        [KEY, "other"],
        ["other", KEY],
        [f"{KEY}, {KEY}"],
        [""],
        [KEY.upper()],
        [KEY[:-1]],
        ["schlüssel"],
        ["x" * 100_000],
    ],
    ids=lambda keys: str(keys)[:30],
)
def test_another_key_is_refused(protecting: TestClient, keys: list[str]) -> None:
    for one in (protecting, behind(protecting)):
        headers = [(b"X-API-Key", key.encode()) for key in keys]
        answer = one.get("/recommend/u30", headers=headers)
        assert answer.status_code == 401
        assert KEY not in answer.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"params": {"api_key": KEY, "X-API-Key": KEY, "key": KEY}},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": {"Cookie": f"X-API-Key={KEY}"}},
        {"headers": {"X_API_Key": KEY}},
    ],
    ids=lambda where: str(*where),
)
def test_the_key_is_looked_for_in_its_header_only(
    protecting: TestClient, elsewhere: dict[str, dict[str, str]]
) -> None:
    answer = protecting.get("/recommend/u30", **elsewhere)  # type: ignore[arg-type]
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/recommend/u30/",
        "//recommend/u30",
        "/./recommend/u30",
        "/%72ecommend/u30",
        "/recommend%2Fu30",
        "/Recommend/u30",
        "/users/u30/history",
        "/nothing",
    ],
)
def test_no_spelling_of_a_path_passes_the_guard(protecting: TestClient, path: str) -> None:
    """The router reads it as another path, at which nothing is."""
    assert protecting.request("GET", f"http://localhost{path}").status_code in {401, 404}


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "OPTIONS", "PROPFIND"])
def test_a_method_that_a_path_lacks_is_said_to_everybody(
    protecting: TestClient, method: str
) -> None:
    answer = protecting.request(method, "/recommend/u30")
    assert answer.status_code == 405
    assert answer.headers["allow"]


def test_a_body_is_not_looked_at_without_the_key(protecting: TestClient) -> None:
    for body in ("{", "[" * 100_000, "x" * 5_000_000):
        assert protecting.post("/events", content=body).status_code == 401
        assert protecting.post("/recommend", content=body).status_code == 401


def test_a_route_that_is_added_later_wants_the_key(start: Start) -> None:
    client = start(api_key=KEY)
    app = client.app
    assert isinstance(app, Service)

    async def late(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("late")

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("mounted")(scope, receive, send)

    app.add_api_route("/v2/popular", late, methods=["GET"])
    app.add_api_route("/popular", late, methods=["PATCH"])
    app.router.routes.append(Route("/late/{name}", late))
    app.router.routes.append(Mount("/mounted", mounted))
    for method, path in (
        ("GET", "/v2/popular"),
        ("HEAD", "/v2/popular"),
        ("PATCH", "/popular"),
        ("HEAD", "/late/x"),
        ("POST", "/mounted/x"),
    ):
        assert client.request(method, path).status_code == 401
        assert client.request(method, path, headers={"X-API-Key": KEY}).status_code == 200
    assert client.get("/popular").status_code == 200


def test_a_service_below_a_path_of_another_is_guarded(protecting: TestClient) -> None:
    inner = protecting.app
    outer = Service(guards=[], reading=[], routes=[Mount("/encore", inner)])
    client = TestClient(outer, "http://localhost", raise_server_exceptions=False)
    client.portal = protecting.portal
    for path in ("/encore/recommend/u30", "/encore/popular"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"X-API-Key": KEY}).status_code == 200
    assert client.get("/encore/health/live").status_code == 200
