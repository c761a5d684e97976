"""Pages of other origins, by both ways."""

from __future__ import annotations

from typing import Any, Final

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.app.http.access.conftest import Start
from tests.app.http.test_hot_route import behind, essence

SHOP: Final = "https://shop.example"
# A list, one that is scored, an error of each way, a call that is always the framework's.
TARGETS: Final = {
    "/recommend/u30": 200,
    "/recommend/u30?include_seen=true": 200,
    "/recommend/nobody?strategy=als": 404,
    "/recommend/u30?n=0": 422,
    "/popular": 200,
    "/nothing": 404,
}


@pytest.fixture(scope="module")
def named(start: Start) -> TestClient:
    return start(cors_origins=(SHOP, "http://localhost:5173"))


@pytest.fixture(scope="module")
def keyed(start: Start) -> TestClient:
    return start(cors_origins=("*",), api_key="k", protect=("reads",))


def preflight(client: TestClient, origin: str = SHOP, **asked: str) -> Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    headers |= {f"Access-Control-Request-{name}": value for name, value in asked.items()}
    return client.options("/recommend/u30", headers=headers)


def test_a_named_origin_may_read_answers_of_both_ways(named: TestClient) -> None:
    for path, status in TARGETS.items():
        hot, framework = (one.get(path, headers={"Origin": SHOP}) for one in (named, behind(named)))
        assert hot.status_code == status
        assert hot.headers["access-control-allow-origin"] == SHOP
        assert hot.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in hot.headers
        assert essence(hot) == essence(framework)


def test_other_origins_may_not(named: TestClient) -> None:
    for origin in ("https://evil.example", "null", f"{SHOP}.evil.example", f"{SHOP}:8443"):
        answer = named.get("/recommend/u30", headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_refusals_may_be_read_as_well(keyed: TestClient) -> None:
    for path, status in {"/recommend/u30": 401, "/popular": 401, "/nothing": 404}.items():
        answer = keyed.get(path, headers={"Origin": SHOP})
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["access-control-allow-origin"] == "*"
    headers = {"Origin": SHOP, "X-API-Key": "k"}
    assert keyed.get("/recommend/u30", headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_a_preflight_is_answered_without_the_key(keyed: TestClient, method: str) -> None:
    asked = {"Method": method, "Headers": "content-type, x-api-key"}
    answer = preflight(keyed, **asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "x-api-key"} <= {*allowed}


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"origin": "https://evil.example"}, 403, "urn:encore:problem:origin-not-allowed"),
        ({"origin": "null"}, 403, "urn:encore:problem:origin-not-allowed"),
        ({"Method": "PATCH"}, 400, "about:blank"),
        ({"Headers": "authorization"}, 400, "about:blank"),
    ],
)
def test_a_preflight_for_more_is_refused_with_a_problem(
    named: TestClient, asked: dict[str, Any], status: int, kind: str
) -> None:
    answer = preflight(named, **asked)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == kind


def test_a_named_origin_may_call_into_a_private_network(
    named: TestClient, keyed: TestClient
) -> None:
    asked = {"Private-Network": "true"}
    allowed = preflight(named, **asked)
    assert allowed.headers["access-control-allow-private-network"] == "true"
    assert preflight(keyed, **asked).status_code == 400


def test_without_the_setting_there_is_nothing_of_it(client: TestClient) -> None:
    origin = {"Origin": "http://localhost:3000"}
    for path in TARGETS:
        answer = client.get(path, headers=origin)
        assert not [name for name in answer.headers if name.startswith(("access-control", "vary"))]
    assert preflight(client, "http://localhost:3000").status_code == 405
