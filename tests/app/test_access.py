"""Who may call a true server process: over sockets, as an attacker would."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.server import PATIENCE, Server, eventually, serving

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
KEY: Final = "k" * 20
JSON: Final = b"Content-Type: application/json\r\n"
# The hot route, the framework's route of the same path, a call that is always the framework's.
LISTS: Final = (b"/recommend/u30", b"/recommend/u30?n=0", b"/popular")


@pytest.fixture(scope="module")
def open_server(models: Path) -> Iterator[Server]:
    """A service without a key."""
    variables = {
        "ENCORE_ALLOWED_HOSTS": "serve, *.example.org",
        "ENCORE_CORS_ORIGINS": "https://shop.example",
    }
    with serving(models, **variables) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        yield server


@pytest.fixture(scope="module")
def guarded_server(models: Path) -> Iterator[Server]:
    """A service as compose starts it, with a key, that protects all it can."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    composed = yaml.safe_load(text)["services"]["serve"]["environment"]
    assert composed["ENCORE_ALLOW_UNAUTHENTICATED"] == "${ENCORE_ALLOW_UNAUTHENTICATED:-true}"
    assert composed["ENCORE_ALLOWED_HOSTS"].endswith("${ENCORE_API_KEY:+,*}}")
    variables = {
        "ENCORE_HOST": "0.0.0.0",  # noqa: S104 - as in a container
        "ENCORE_ALLOW_UNAUTHENTICATED": "true",
        "ENCORE_ALLOWED_HOSTS": "serve,*",
        "ENCORE_API_KEY": KEY,
        "ENCORE_PROTECT": "reads,metrics,docs",
        "ENCORE_CORS_ORIGINS": "*",
        "ENCORE_LOG_LEVEL": "debug",
    }
    with serving(models, **variables) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        yield server
        status, log = server.end()
        assert (status, "Traceback" in log) == (0, False)
        assert "POST /admin/reload" in log
        assert KEY not in log


class Answer:
    """An answer on a connection, which stays open."""

    def __init__(self, connection: socket.socket, method: str = "GET") -> None:
        response = HTTPResponse(connection, method=method)
        response.begin()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()  # by its length, not up to the end of the connection


def ask(server: Server, request: bytes) -> Answer:
    with closing(connect(server)) as connection:
        connection.sendall(request)
        return Answer(connection)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def ends(connection: socket.socket) -> bool:
    """Says whether the server closes a connection that the client leaves open."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Host: localhost\r\n", 200),
        (b"Host: LOCALHOST.:8000\r\n", 200),
        (b"Host: 127.0.0.1\r\n", 200),
        (b"Host: [::1]:8000\r\n", 200),
        (b"Host: serve:8000\r\n", 200),
        (b"Host: api.example.org\r\n", 200),
        (b"", 200),
        (b"Host: localhost\r\nOrigin: http://127.0.0.1:5173\r\n", 200),
        (b"Host: localhost\r\nOrigin: https://shop.example\r\n", 200),
        (b"Host: evil.example\r\n", 421),
        (b"Host: localhost.evil.example\r\n", 421),
        (b"Host: localhost@evil.example\r\n", 421),
        (b"Host: evil.example@localhost\r\n", 421),
        (b"Host: localhost\r\nHost: evil.example\r\n", 421),
        (b"Host: \r\n", 421),
        (b"Host: \xe9vil\r\n", 421),
        (b"Host: 192.0.2.7:8000\r\n", 421),
        (b"Host: localhost\r\nX-Forwarded-Host: localhost\r\nOrigin: null\r\n", 403),
        (b"Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        (b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n", 403),
    ],
)
def test_a_server_without_a_key_answers_to_hosts_that_it_knows(
    open_server: Server, path: bytes, headers: bytes, status: int
) -> None:
    is_one = headers.count(b"Host: ") - headers.count(b"-Host: ") == 1
    for version in (b"1.0", b"1.1"):
        answer = ask(open_server, b"GET %b HTTP/%b\r\n%b\r\n" % (path, version, headers))
        if not is_one and answer.status == 400:
            continue  # no HTTP/1.1, so the server itself may refuse it
        if status == 200:
            assert answer.status == (422 if b"n=0" in path else 200)
        else:
            assert answer.status == json.loads(answer.body)["status"] == status
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_page_that_rebinds_its_name_can_change_nothing(open_server: Server) -> None:
    body = b'{"events": [{"user_id": "u31", "artist_id": "i31"}]}'
    for headers in (
        b"Host: evil.example\r\n",
        b"Host: localhost\r\nOrigin: http://evil.example\r\n",
    ):
        for line in (
            b"POST /admin/reload",
            b"POST /events",
            b"DELETE /users/u31",
            b"GET /users/u31",
        ):
            length = JSON + b"Content-Length: %d\r\n" % len(body)
            answer = ask(open_server, line + b" HTTP/1.1\r\n" + headers + length + b"\r\n" + body)
            assert answer.status in {403, 421}
    assert open_server.get("/users/u31")[1]["event_count"] == 0


def test_probes_are_answered_to_the_address_of_a_pod(open_server: Server) -> None:
    for path in (b"live", b"ready"):
        request = b"GET /health/%b HTTP/1.1\r\nHost: 10.42.0.7:8000\r\n\r\n" % path
        assert ask(open_server, request).status == 200


CORS: Final = b"Host: localhost\r\nOrigin: https://shop.example\r\n"


@pytest.mark.parametrize("path", [*LISTS, b"/nothing", b"/recommend/nobody?strategy=als"])
def test_answers_of_both_ways_have_the_headers(open_server: Server, path: bytes) -> None:
    answer = ask(open_server, b"GET %b HTTP/1.1\r\n%b\r\n" % (path, CORS))
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert_static(answer)


def assert_static(answer: Answer) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"


def test_refusals_and_answers_of_the_server_itself_have_the_headers(open_server: Server) -> None:
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"):
        assert_static(ask(open_server, request))


def test_browsers_hold_the_files_of_the_page(open_server: Server) -> None:
    page = ask(open_server, b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert_static(page)
    found = re.search(rb'src="[.](/docs/[^"]+[.]js)"', page.body)
    assert found
    path = found[1]
    file = ask(open_server, b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    assert (file.status, file.headers["cache-control"]) == (200, "no-cache")
    known = b"If-None-Match: " + file.headers["etag"].encode()
    again = ask(open_server, b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (path, known))
    assert (again.status, again.body) == (304, b"")


def test_a_preflight_is_answered(open_server: Server, guarded_server: Server) -> None:
    asked = b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n"
    for server in (open_server, guarded_server):
        answer = ask(server, b"OPTIONS /recommend HTTP/1.1\r\n" + CORS + asked + b"\r\n")
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] in {"*", "https://shop.example"}
        assert_static(answer)


@pytest.mark.parametrize("path", [*LISTS, b"/metrics", b"/docs", b"/users/u30", b"/openapi.json"])
def test_a_server_with_a_key_wants_it(guarded_server: Server, path: bytes) -> None:
    """Whatever compose's open default says: a key ends it."""
    line = b"GET %b HTTP/1.1\r\n%b" % (path, CORS)
    for headers in (b"", b"X-API-Key: %b\r\n" % KEY[:-1].encode(), b"X-API-Key: \r\n"):
        answer = ask(guarded_server, line + headers + b"\r\n")
        assert answer.status == json.loads(answer.body)["status"] == 401
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers.get("connection") != "close"
        assert_static(answer)
    key = b"X-API-Key: %b\r\n" % KEY.encode()
    assert ask(guarded_server, line + key + key + b"\r\n").status == 401
    assert ask(guarded_server, line + key + b"\r\n").status in {200, 422}


def test_no_artist_of_a_history_comes_out_without_the_key(guarded_server: Server) -> None:
    """With ``candidates`` those that are missing in the answer are the history."""
    artists = [f"i{number}" for number in range(8, 60)]
    body = {"candidates": artists, "n": 500}
    for path, asked in (
        ("/recommend", {"user_id": "u30", **body}),
        ("/recommend/batch", {"user_ids": ["u30"], "n": 500}),
    ):
        status, answer = guarded_server.ask("POST", path, json.dumps(asked))
        assert (status, "items" in str(answer)) == (401, False)
    with closing(HTTPConnection("127.0.0.1", guarded_server.port, timeout=PATIENCE)) as connection:
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        connection.request("POST", "/recommend", json.dumps({"user_id": "u30", **body}), headers)
        listed = {
            item["artist_id"] for item in json.loads(connection.getresponse().read())["items"]
        }
        connection.request("GET", "/users/u30", headers=headers)
        card = json.loads(connection.getresponse().read())
    history = {artist["artist_id"] for artist in card["history"]}
    assert history & {*artists} == {*artists} - listed  # what there is to protect


WRONG: Final = b"Host: localhost\r\nX-API-Key: wrong\r\n" + JSON


UNFINISHED: Final = (
    b"POST /events HTTP/1.1\r\n%bContent-Length: 4000000\r\n\r\n" % WRONG,
    b"POST /events HTTP/1.1\r\n%bContent-Length: 99999999999\r\n\r\n" % WRONG,
    b"POST /events HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % WRONG,
    b'POST /recommend HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n3\r\n{"u\r\n' % WRONG,
    b"GET /recommend/u30 HTTP/1.1\r\n%bContent-Length: 10\r\n\r\n" % WRONG,
)


def test_a_wrong_key_is_answered_before_the_body_comes(guarded_server: Server) -> None:
    """The answer used to wait for the body."""
    with ExitStack() as ending:
        connections = [ending.enter_context(closing(connect(guarded_server))) for _ in UNFINISHED]
        for connection, request in zip(connections, UNFINISHED, strict=True):
            connection.sendall(request)
            answer = Answer(connection)
            assert answer.status == 401
            assert answer.headers["connection"] == "close"
        assert all(ends(connection) for connection in connections)


def test_a_body_that_never_ends_is_dropped(guarded_server: Server) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = b"POST /events HTTP/1.1\r\n" + WRONG + b"Transfer-Encoding: chunked\r\n\r\n"
    with closing(connect(guarded_server)) as connection:
        connection.sendall(head + chunk)
        assert Answer(connection).status == 401
        with pytest.raises(ConnectionError):
            connection.sendall(chunk * 1_000)  # 65 MB
    assert guarded_server.get("/health/live")[0] == 200


def test_a_client_that_sends_its_whole_body_first_reads_the_answer(guarded_server: Server) -> None:
    body = b" " * 4_000_000
    request = b"POST /events HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (WRONG, len(body)) + body
    for _ in range(5):
        assert ask(guarded_server, request).status == 401


def test_a_client_that_asks_first_is_not_told_to_go_on(guarded_server: Server) -> None:
    head = WRONG + b"Content-Length: 4000000\r\nExpect: 100-continue\r\n\r\n"
    with closing(connect(guarded_server)) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\n" + head)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_refusal_without_a_body_leaves_the_connection_open(guarded_server: Server) -> None:
    refused = b"POST /admin/reload HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(connect(guarded_server)) as connection:
        for _ in range(3):
            connection.sendall(refused)
            assert Answer(connection).status == 401
        key = b"X-API-Key: %b\r\nConnection: close\r\n" % KEY.encode()
        connection.sendall(b"POST /admin/reload HTTP/1.1\r\nHost: localhost\r\n" + key + b"\r\n")
        assert Answer(connection).status == 200


def test_the_page_of_calls_may_do_what_it_does_and_nothing_else(open_server: Server) -> None:
    answer = ask(open_server, b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert_static(answer)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
