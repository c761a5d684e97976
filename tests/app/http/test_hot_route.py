"""The hot route against the framework's route of the same path."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.http.hot_route import PATH, read_query
from app.main import create_app
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Strategy
from app.recommend.situation import Situation
from app.schemas.options import MAX_N, MAX_OFFSET, RecommendParameters
from app.schemas.primitives import MAX_IDS
from app.settings import Settings
from tests.app.conftest import ODD_ITEMS, ODD_USERS
from tests.app.serving.test_batcher import PATIENCE, Held


@pytest.fixture(scope="module")
def framework(client: TestClient) -> TestClient:
    """The same service, entered behind the hot route."""
    return behind(client)


def behind(client: TestClient) -> TestClient:
    """The service, asked with a body, so that the hot route hands all requests over."""

    async def with_empty_body(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (b"content-length", b"0")]
        await client.app(scope, receive, send)

    base_url = str(client.base_url)
    through = TestClient(with_empty_body, base_url, raise_server_exceptions=False)
    through.portal = client.portal  # the event loop that the service runs on
    return through


def scope_of(target: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def essence(response: Response) -> tuple[int, bytes, dict[str, str]]:
    return response.status_code, response.content, dict(response.headers)


@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/recommend/u1", Query("u1")),
        ("/recommend/u1?n=2", Query("u1", 2)),
        ("/recommend/u1?offset=3&n=500", Query("u1", 500, 3)),
        ("/recommend/a%2Fb%20%C3%A9", Query("a/b é")),
        ("/recommend/a+b", Query("a+b")),
        ("/recommend/batch", Query("batch")),
        ("/recommend/u1?strategy=als", Query("u1", strategy=Strategy.ALS)),
        ("/recommend/u1?include_seen=true", Query("u1", include_seen=True)),
        ("/recommend/u1?discovery=0.25", Query("u1", discovery=0.25)),
        ("/recommend/u1?exclude=a&n=5&exclude=b", Query("u1", 5, exclude=["a", "b"])),
        ("/recommend/u1?exclude=a%2Fb&exclude=c+d", Query("u1", exclude=["a/b", "c d"])),
        ("/recommend/u1?exclude=", Query("u1", exclude=[""])),
        ("/recommend/u1?exclude=a=b", Query("u1", exclude=["a=b"])),
        (f"/recommend/u1?exclude={'x' * 256}", Query("u1", exclude=["x" * 256])),
        (f"/recommend/{'x' * 256}?", Query("x" * 256)),
        ("/recommend/u1?&&n=4&", Query("u1", 4)),
        (
            "/recommend/u1?exclude=a%2Fb+%26c&n=4&exclude=%2B",
            Query("u1", 4, exclude=["a/b &c", "+"]),
        ),
        ("/recommend/u1?exclude=a&&exclude=b&", Query("u1", exclude=["a", "b"])),
        ("/recommend/u1?n=3&exclude=b&offset=2&exclude=a", Query("u1", 3, 2, exclude=["b", "a"])),
    ],
)
def test_valid_requests_are_read(target: str, query: Query) -> None:
    read = read_query(scope_of(target))
    assert read is not None
    assert replace(read, exclude=[*read.exclude]) == replace(query, exclude=[*query.exclude])


@pytest.mark.parametrize(
    "target",
    [
        "/recommend/",
        "/recommend",
        "/recommend/a/b",
        "/recommendations/u1",
        "/popular",
        "/recommend/%ZZ",
        "/recommend/%FF",
        f"/recommend/{'x' * 257}",
        f"/recommend/{'%C3%A9' * 129}",
        "/recommend/é",
        "/recommend/u1?n=0",
        "/recommend/u1?n=1_0",
        "/recommend/u1?n=10&n=10",
        "/recommend/u1?what=1",
        "/recommend/u1?n=%ZZ",
        "/recommend/u1?exclude=é",
        "/recommend/u1?exclude",
        "/recommend/u1?exclude&exclude=a",
        "/recommend/u1?%65xclude=a&exclude=a",
        "/recommend/u1?exclude=%ZZ",
        "/recommend/u1?exclude=%FF",
        "/recommend/u1?exclude=a&xexclude=b",
        f"/recommend/u1?exclude={'x' * 257}",
        "/recommend/u1?" + "&".join(["exclude=a"] * (MAX_IDS + 1)),
        "/recommend/u1?exclude=a&n=0",
        f"/recommend/u1?exclude=a&n={MAX_N + 1}",
        f"/recommend/u1?offset={MAX_OFFSET + 1}",
        "/recommend/u1?strategy=best",
        "/recommend/u1?discovery=nan",
    ],
)
def test_other_requests_are_left_to_the_framework(target: str) -> None:
    assert read_query(scope_of(target)) is None


def test_other_methods_and_bodies_are_left_to_the_framework() -> None:
    assert read_query(scope_of("/recommend/u1", accept="*/*")) is not None
    for method in ("HEAD", "POST", "DELETE"):
        assert read_query(scope_of("/recommend/u1", method)) is None
    assert read_query(scope_of("/recommend/u1", **{"content-length": "2"})) is None
    assert read_query(scope_of("/recommend/u1", **{"transfer-encoding": "chunked"})) is None
    assert read_query(scope_of("/recommend/u1") | {"root_path": "/encore"}) is None
    assert read_query(scope_of("/recommend/u1") | {"raw_path": None}) is None


NAMES = st.sampled_from([*RecommendParameters.model_fields, "N", "what", "", "%6E", "exclude%5B"])
VALUES = st.one_of(
    st.sampled_from(
        ["", "0", "1", "7", "007", "+1", "-1", "1e1", "2.0", " 3", "500", "501", "10000", "10001"]
    ),
    st.sampled_from(
        ["true", "false", "True", "yes", "on", "1", "als", "auto", "popularity", "ALS"]
    ),
    st.sampled_from(["0.5", ".5", "1.0", "1.01", "nan", "inf", "%30.5", "0%2E5", "%", "%F", "%FF"]),
    st.sampled_from([quote(item, safe="") for item in ODD_ITEMS]),
    st.sampled_from(["i20", "i21&exclude=i22", "i20&exclude=i20", "a=b", "x" * 257, "é"]),
    st.text(max_size=4).map(lambda text: quote(text, safe="%&=;+")),
)
SEGMENTS = st.one_of(
    st.sampled_from(["u30", "u31", "u39", "nobody", "%", "%FF", "a/b", "é", "x" * 257]),
    st.sampled_from([quote(user, safe="") for user in ODD_USERS if user not in {"", ".", ".."}]),
    st.text(min_size=1, max_size=4).map(lambda text: quote(text, safe="")),
)


@pytest.mark.slow
@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segment=SEGMENTS, pairs=st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_any_request_is_answered_as_the_framework_would(
    client: TestClient, framework: TestClient, segment: str, pairs: list[tuple[str, str]]
) -> None:
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    target = f"/recommend/{segment}?{query}"
    assert essence(client.get(target)) == essence(framework.get(target))


def test_errors_are_those_of_the_framework(
    client: TestClient, framework: TestClient, bare_client: TestClient
) -> None:
    for target in ("/recommend/nobody?strategy=als", "/recommend/u39?strategy=als"):
        assert client.get(target).status_code == 404
        assert essence(client.get(target)) == essence(framework.get(target))
    unavailable = bare_client.get("/recommend/u1")
    assert unavailable.status_code == 503
    assert unavailable.headers["retry-after"] == "5"
    assert unavailable.json()["instance"] == "/recommend/u1"
    assert essence(behind(bare_client).get("/recommend/u1")) == essence(unavailable)


def test_the_route_in_openapi_is_the_one_that_is_hot() -> None:
    schema = create_app(Settings()).openapi()
    operation = schema["paths"][f"{PATH.decode()}{{user_id}}"]["get"]
    in_query = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
    assert in_query == set(RecommendParameters.model_fields)


def test_a_fault_is_a_500_on_both_ways_and_raised_for_the_server_s_log(models: Path) -> None:
    app = create_app(Settings(models=models))
    with TestClient(app, raise_server_exceptions=False) as client:
        in_service = app.state.follower.in_service
        broken = replace(in_service.recommender.model, users=None)  # as no published one is
        in_service.put(Recommender(broken))
        response = client.get("/recommend/u30%0Aall%20is%20well")
        assert essence(response) == essence(behind(client).get("/recommend/u30%0Aall%20is%20well"))
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert "NoneType" not in response.text
        loud = TestClient(app)
        loud.portal = client.portal
        with pytest.raises(AttributeError, match="NoneType"):
            loud.get("/recommend/u30")


class Staying(Held):
    """Stays in service when newcomers, which are looked for at the start, are found."""

    def succeeded_by(self, _situation: Situation) -> Recommender:
        return self


def test_a_client_that_has_gone_costs_nothing(models: Path) -> None:
    app = create_app(Settings(models=models))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def stays() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        scope = scope_of("/recommend/u30?include_seen=true") | {"path": "/recommend/u30"}
        async with app.router.lifespan_context(app):
            held = Staying(app.state.follower.recommender.model)
            app.state.follower.in_service.put(held)
            busy = asyncio.create_task(app(scope, stays, send))
            assert await asyncio.to_thread(held.begun.acquire, timeout=PATIENCE)
            await app(scope, receive, send)
            assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]
            assert sent.pop(0)["status"] == 400  # for middleware that counts answers
            assert sent.pop(0)["type"] == "http.response.body"
            assert sent == []
            held.may_go.release(2)
            await busy
            assert len(held.asked) == 1  # nothing was scored for the client that had gone

    asyncio.run(ask())
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
