"""Which hosts and origins a service without a key answers to, by both ways."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.hosts import HostRule
from app.http.access.calls import CALLS, Access
from app.http.access.host_guard import _REMEMBERED, HostGuard
from tests.app.http.access.conftest import Start
from tests.app.http.access.test_key_guard import target
from tests.app.http.test_hot_route import behind, essence

GUARDED: Final = [name for name, access in CALLS.items() if access is not Access.PROBE]
PROBES: Final = [name for name, access in CALLS.items() if access is Access.PROBE]
TARGETS: Final = ("/recommend/u30", "/recommend/u30?n=0", "/popular")


@pytest.fixture(scope="module")
def client(start: Start) -> TestClient:
    return start()


@pytest.fixture(scope="module")
def named(start: Start) -> TestClient:
    return start(allowed_hosts=("serve", "*.example.org"), cors_origins=("https://shop.example",))


def test_foreign_hosts_and_origins_are_refused_on_both_ways(client: TestClient) -> None:
    for header, status, kind in (
        ({"Host": "evil.example"}, 421, "host-not-allowed"),
        ({"Host": "localhost@evil.example:80"}, 421, "host-not-allowed"),
        ({"Origin": "https://evil.example"}, 403, "origin-not-allowed"),
        ({"Origin": "null"}, 403, "origin-not-allowed"),
    ):
        for path in TARGETS:
            hot, framework = (one.get(path, headers=header) for one in (client, behind(client)))
            assert hot.status_code == hot.json()["status"] == status
            assert hot.json()["type"] == f"urn:encore:problem:{kind}"
            assert next(iter(header.values())) in hot.json()["detail"]
            assert framework.headers.pop("connection") == "close"
            assert essence(hot) == essence(framework)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDED)
def test_every_call_but_probes_is_guarded(client: TestClient, name: str) -> None:
    method, path = target(name)
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = client.request(method, path, headers=headers, follow_redirects=False)
        assert answer.status_code in {403, 421}


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_answered_under_any_name(client: TestClient, name: str) -> None:
    method, path = target(name)
    for verb in (method, "HEAD"):
        headers = {"Host": "10.42.0.7:8000", "Origin": "null"}
        assert client.request(verb, path, headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1"])
def test_pages_of_this_machine_may_call(client: TestClient, origin: str) -> None:
    for path in TARGETS:
        for _ in range(2):  # remembered
            assert client.get(path, headers={"Origin": origin}).status_code in {200, 422}


def test_named_hosts_may_be_called_and_call(named: TestClient) -> None:
    for host in ("serve:8000", "api.example.org", "localhost"):
        for headers in ({"Host": host}, {"Origin": f"http://{host}"}):
            assert named.get("/recommend/u30", headers=headers).status_code == 200
    assert named.get("/popular", headers={"Origin": "https://shop.example"}).status_code == 200
    for headers in (
        {"Host": "example.org"},
        {"Host": "shop.example"},
        {"Origin": "http://shop.example"},
    ):
        assert named.get("/popular", headers=headers).status_code in {403, 421}


@pytest.mark.parametrize(
    "hosts", [[b"evil.example", b"localhost"], [b"localhost", b"evil.example"], [b""], [b"\xff"]]
)
def test_one_good_host_among_several_is_not_enough(client: TestClient, hosts: list[bytes]) -> None:
    async def with_hosts(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [(b"host", host) for host in hosts]
        await client.app(scope, receive, send)

    several = TestClient(with_hosts, raise_server_exceptions=False)
    several.portal = client.portal
    assert several.get("/recommend/u30").status_code == 421


def test_a_request_without_a_host_comes_from_no_browser(client: TestClient) -> None:
    async def without_host(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = []
        await client.app(scope, receive, send)

    bare = TestClient(without_host, raise_server_exceptions=False)
    bare.portal = client.portal
    assert bare.get("/recommend/u30").status_code == 200


@pytest.mark.slow
def test_with_a_key_any_host_and_origin_will_do(start: Start) -> None:
    client = start(api_key="k")
    headers = {"Host": "encore.example", "Origin": "https://evil.example"}
    assert client.get("/recommend/u30", headers=headers).status_code == 200
    assert client.post("/admin/reload", headers=headers).status_code == 401


@pytest.mark.slow
def test_with_a_key_hosts_are_looked_at_where_some_are_named(start: Start) -> None:
    client = start(api_key="k", allowed_hosts=("encore.example",))
    for host, status in (("encore.example", 200), ("localhost:1", 200), ("evil.example", 421)):
        headers = {"Host": host, "Origin": "https://evil.example"}
        assert client.get("/recommend/u30", headers=headers).status_code == status


@pytest.mark.slow
def test_a_star_gives_the_guard_up(start: Start) -> None:
    client = start(allowed_hosts=("*",))
    headers = {"Host": "evil.example", "Origin": "null"}
    assert client.get("/recommend/u30", headers=headers).status_code == 200


@pytest.mark.slow
def test_openness_beyond_loopback_does_not_end_the_guard(start: Start) -> None:
    client = start(host="::", allow_unauthenticated=True)
    for host in ("192.168.0.7:8000", "encore.lan"):
        assert client.get("/recommend/u30", headers={"Host": host}).status_code == 421


def test_what_is_remembered_is_bounded() -> None:
    async def app(*_message: Any) -> None:
        pass

    guard = HostGuard(app, hosts=HostRule([]), origins=())

    async def ask() -> None:
        for port in range(10 * _REMEMBERED):
            headers = [(b"host", b"localhost:%d" % port), (b"origin", b"http://[::1]:%d" % port)]
            scope = {"type": "http", "method": "GET", "headers": headers}
            await guard(scope, app, app)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert len(guard._allowed) == _REMEMBERED
