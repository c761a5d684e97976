"""What a true server answers to odd requests: every error is a problem, and says what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.server import PATIENCE, Server, serving

pytestmark = pytest.mark.slow
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with serving(models) as server:
        yield server
        _, log = server.end()
        assert "Traceback" not in log


def ask(server: Server, line: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
    """Sends a request as it is; an answer that is an error has to be a problem."""
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers])
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)
        raw = b"".join(iter(lambda: connection.recv(65536), b""))
    start, _, content = raw.partition(b"\r\n\r\n")
    status_line, *lines = start.decode("latin-1").split("\r\n")
    given = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    status = int(status_line.split()[1])
    if status >= 400:
        assert given["content-type"] == "application/problem+json"
        problem = json.loads(content)
        assert problem["status"] == status
        given |= {"detail": problem["detail"]}
    return status, given


@pytest.mark.parametrize(
    "path", ["/recommend/u30", "/popular", "/events", "/docs", "/admin/reload"]
)
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_other_methods_are_405_and_say_which_there_are(
    server: Server, method: str, path: str
) -> None:
    expected = "POST" if path in {"/events", "/admin/reload"} else "GET, HEAD"
    status, given = ask(server, f"{method} {path}")
    assert (status, given["allow"]) == (405, expected)
    assert ask(server, f"{method} /nothing")[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("//recommend/u30", 404),
        ("/recommend//u30", 404),
        ("/recommend/u30/", 404),
        ("/recommend/", 404),
        ("/%72ecommend/u30", 404),
        ("/popular/", 404),
        ("/popular%2F", 404),
        ("/docs/", 404),
        ("/docs/assets/..%2f__init__.py", 404),
        ("/docs/assets/%2e%2e", 404),
        (f"/docs/assets/{'x' * 300}", 404),
        ("/docs/assets/nul%00", 404),
        ("/recommend/%", 422),
        ("/recommend/%FF", 422),
        ("/recommend/u30?n=%", 422),
        ("/recommend/u30?n=5&n=5", 422),
        ("/recommend/a%2Fb", 200),
        ("/recommend/..", 200),
        ("http://127.0.0.1/recommend/u30", 200),
    ],
)
def test_odd_paths(server: Server, path: str, status: int) -> None:
    assert ask(server, f"GET {path}")[0] == status


@pytest.mark.parametrize("name", ["X-API-Key", "Accept", "Accept-Encoding", "X-Forwarded-Prefix"])
def test_a_header_may_hold_any_bytes(server: Server, name: str) -> None:
    for path in ("/recommend/u30", "/users/u30", "/openapi.json"):
        assert ask(server, f"GET {path}", f"{name}: \xe9\xff,;=\xa0")[0] == 200
    status, given = ask(server, "GET /", f"{name}: \xe9\xff")
    assert (status, given["location"]) == (307, "docs")


def test_an_encoded_body_is_refused_before_it_comes(server: Server) -> None:
    for path in ("/events", "/recommend", "/recommend/batch"):
        length = "Content-Length: 1000"
        status, given = ask(server, f"POST {path}", JSON, "Content-Encoding: gzip", length)
        assert (status, given["accept-encoding"]) == (415, "identity")
        assert "send it uncompressed" in given["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "", "\xe9"])
def test_a_body_of_another_type_is_refused_before_it_comes(server: Server, media_type: str) -> None:
    content_type = f"Content-Type: {media_type}"
    status, given = ask(server, "POST /events", content_type, "Content-Length: 1000")
    assert status == 422
    assert "expected application/json" in given["detail"]
    assert "send the header Content-Type: application/json" in given["detail"]


@pytest.mark.parametrize(
    ("status", "size", "header"),
    [
        (415, 4_000_000, ("Content-Encoding", "gzip")),
        (422, 4_000_000, ("Content-Type", "text/plain")),
        (413, 6_000_000, ("Accept", "*/*")),
        (405, 4_000_000, ("Accept", "*/*")),
    ],
)
def test_a_client_that_sends_on_gets_the_refusal_before_the_end(
    server: Server, status: int, size: int, header: tuple[str, str]
) -> None:
    """The connection used to be reset, and the answer lost."""
    for _ in range(5):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", "Connection": "close"} | dict([header])
        path = "/popular" if status == 405 else "/events"
        connection.request("POST", path, b" " * size, headers)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["status"]) == (status, status)
        connection.close()


def test_a_connection_goes_on_after_head(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    for path in ("/recommend/u30", "/openapi.json", "/docs/assets/swagger-ui.css", "/nothing"):
        lengths = []
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, path)
            answer = connection.getresponse()
            lengths.append(answer.headers["Content-Length"])
            assert len(answer.read()) == (int(lengths[-1]) if method == "GET" else 0)
        assert len(set(lengths)) == 1
    connection.close()
