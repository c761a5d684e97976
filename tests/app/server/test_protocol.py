"""Hostile bytes to a true server: what is long, malformed or ambiguous, and who closes when."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.app.server.raw import (
    CHUNKED,
    HOST,
    LIST,
    LIVE,
    POST,
    answers_in,
    connected,
    one_from,
    problem_in,
    sent,
    to_the_end,
)
from tests.server import Server, eventually, serving

pytestmark = pytest.mark.slow

GET = b"GET /health/live HTTP/1.1\r\n" + HOST
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
# As many bytes of framing as a body may have, and more.
ONE_CHUNK = CHUNKED + b"%x\r\n" % len(LIST) + LIST + b"\r\n"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with serving(models, ENCORE_API_KEY="secret") as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        yield server


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (GET + b"X-Long: " + b"a" * 8_000_000, 431),
        (GET + b"A" * 8_000_000, 431),
        (GET + b"X: a\r\n" * 11_000 + b"\r\n", 431),
        (GET + b"X: a\r\n" * 1_000_000, 431),
        (ONE_CHUNK + b"0\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (ONE_CHUNK + b"0\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", 431),
        (CHUNKED + b"17;" + b"a" * 100_000 + b"\r\n" + LIST + b"\r\n0\r\n\r\n", 431),
        (CHUNKED + b"1\r\n \r\n" * 100_000, 431),
        (b"GET /health/live?" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /" + b"a" * 8_000_000, 414),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:60].decode(),
)
def test_what_is_too_long_is_refused_as_it_comes(
    server: Server, request_bytes: bytes, status: int
) -> None:
    """Heads had no limit: one of 100 MB was answered after 17 s, and everyone waited."""
    assert problem_in(sent(server, request_bytes))["status"] == status
    assert server.get("/health/ready")[0] == 200


def test_what_is_below_the_limits_is_served(server: Server) -> None:
    long = b"X-Long: " + b"a" * 65_000 + b"\r\n"
    many = b"X: a\r\n" * 6_000
    url = (
        b"GET /recommend/u30?exclude=" + b"a" * 256 + b"&exclude=b" * 900 + b" HTTP/1.1\r\n" + HOST
    )
    trailers = ONE_CHUNK + b"0\r\n" + b"X: a\r\n" * 800 + b"\r\n"
    requests = [GET + long + b"\r\n", GET + many + b"\r\n", url + b"\r\n", trailers, LIVE]
    with connected(server) as connection:
        connection.sendall(b"".join(requests))
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, *_ in answers_in(to_the_end(connection))] == [200] * 5


def test_a_head_that_comes_little_by_little_is_counted_like_any_other(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(GET + b"X-Long: ")
        for _ in range(70):
            connection.sendall(b"a" * 1000)
        assert problem_in(to_the_end(connection))["status"] == 431


def test_where_the_bytes_are_cut_changes_nothing(server: Server, rng: np.random.Generator) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(LIST)
    stream = b"".join(
        [
            LIVE,
            POST + length + LIST,
            GET + b"X-Long: " + b"a" * 5000 + b"\r\n\r\n",
            ONE_CHUNK + b"0\r\nX: a\r\n\r\n",
            POST + UPGRADE + length + LIST,
            LIVE * 5,
            POST + length.replace(b"%d" % len(LIST), b"9000") + LIST + b" " * (9000 - len(LIST)),
            GET + b"Connection: close\r\n\r\n",
        ]
    )
    whole = [body for _, _, body in answers_in(sent(server, stream))]
    assert len(whole) == 12
    for _ in range(25):
        cuts = np.sort(rng.choice(len(stream), rng.integers(1, 30), replace=False)).tolist()
        with connected(server) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for begin, end in pairwise([0, *cuts, len(stream)]):
                connection.sendall(stream[begin:end])
                time.sleep(0.0005)
            assert [body for _, _, body in answers_in(to_the_end(connection))] == whole


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT host:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://host HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (GET + b"X: a\0b\r\n\r\n", 400),
        (GET + b"X : a\r\n\r\n", 400),
        (GET + b"X: a\r\n folded\r\n\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400),
        (GET + HOST + b"\r\n", 400),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}1", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (CHUNKED + b"zz\r\n", 400),
    ],
    ids=lambda value: value if isinstance(value, int) else repr(value[:60]),
)
def test_what_could_be_read_in_two_ways_is_refused_with_a_problem(
    server: Server, request_bytes: bytes, status: int
) -> None:
    assert problem_in(sent(server, request_bytes))["status"] == status


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    answer = sent(server, b"HEAD /health/live HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 80_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.endswith(b"\r\n\r\n")


def test_answers_to_requests_before_a_malformed_one_are_not_lost(server: Server) -> None:
    """The refusal used to come first, and the answer never."""
    answers = answers_in(sent(server, LIVE + LIVE + b"nonsense\r\n\r\n"))
    assert [status for status, *_ in answers] == [200, 200]
    assert answers[-1][1]["connection"] == "close"


def test_an_offer_of_another_protocol_is_ignored(server: Server) -> None:
    """The body used to be lost, and what followed to be read as another request."""
    length = b"Content-Length: %d\r\n\r\n" % len(LIST)
    requests = POST + UPGRADE + length + LIST + GET + UPGRADE + b"\r\n" + LIVE
    with connected(server) as connection:
        connection.sendall(requests)
        connection.shutdown(socket.SHUT_WR)
        posted, *others = answers_in(to_the_end(connection))
    assert posted[0] == 200
    assert json.loads(posted[2])["user_id"] == "u30"
    assert [body for *_, body in others] == [b'{"status":"live"}'] * 2


def test_trailers_do_not_join_the_headers(server: Server) -> None:
    """A proxy looks at headers only, so the key or the host must not come behind the body."""
    head = b"POST /admin/reload HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
    assert len(answers_in(sent(server, head + b"Connection: close\r\n\r\n0\r\n\r\n"))) == 1
    for key, status in ((b"", 401), (b"X-API-Key: secret\r\n", 200)):
        request = head + key + b"Connection: close\r\n\r\n0\r\nX-API-Key: secret\r\n\r\n"
        assert answers_in(sent(server, request))[0][0] == status


def test_no_next_request_is_taken_for_a_body_that_was_never_asked_for(server: Server) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 50000000\r\n\r\n"
    problem = problem_in(sent(server, head))
    assert problem["status"] == 413
    with connected(server) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(LIST))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(LIST)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_answered_in_turn_however_many(server: Server) -> None:
    """All those that came at once used to be begun at once, with some kilobytes for each."""
    count = 3000
    targets = [b"/recommend/u%d?n=1" % (20 + number % 19) for number in range(count)]
    with connected(server) as connection:
        connection.settimeout(60)
        for begin in range(0, count, 300):
            lines = (b"GET %b HTTP/1.1\r\n" % target for target in targets[begin : begin + 300])
            connection.sendall(b"".join(line + HOST + b"\r\n" for line in lines))
        connection.shutdown(socket.SHUT_WR)
        answers = answers_in(to_the_end(connection))
    users = [json.loads(body)["user_id"].encode() for _, _, body in answers]
    assert users == [target[11:14] for target in targets]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /recommend/u30?include_seen=true HTTP/1.1\r\n" + HOST + b"\r\n",
        POST + b"Content-Length: %d\r\n\r\n" % len(LIST) + LIST,
        ONE_CHUNK + b"0\r\n\r\n",
    ],
)
def test_a_client_that_closes_its_side_gets_its_answer(
    server: Server, request_bytes: bytes
) -> None:
    with connected(server) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        ((status, _, body),) = answers_in(to_the_end(connection))
    assert status == 200
    assert json.loads(body)["user_id"] == "u30"


def test_a_client_that_closes_its_side_gets_a_long_answer(server: Server) -> None:
    """Work that took longer than the client's last word used to be cancelled."""
    body = json.dumps({"user_ids": ["u30", "u31", "nobody"] * 300, "discovery": 0.5}).encode()
    head = POST.replace(b"/recommend", b"/recommend/batch")
    with connected(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        connection.shutdown(socket.SHUT_WR)
        ((status, _, answer),) = answers_in(to_the_end(connection))
    assert status == 200
    assert len(json.loads(answer)["results"]) == 900


def test_a_client_that_closes_its_side_too_early_is_told_so(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n" + LIST)
        connection.shutdown(socket.SHUT_WR)
        assert "ended before the body" in problem_in(to_the_end(connection))["detail"]
    for half in (b"", GET):
        with connected(server) as connection:
            connection.sendall(half)
            connection.shutdown(socket.SHUT_WR)
            assert to_the_end(connection) == b""


def test_bodies_that_stay_incomplete_are_refused_for_new_ones(models: Path) -> None:
    longest = 65_536
    with serving(models, ENCORE_MAX_BODY_BYTES=str(longest)) as server, ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(50)]
        begin = POST + b"Content-Length: %d\r\n\r\n" % longest
        for connection in slow:
            connection.sendall(begin + b" " * (longest - 1))
        # 32 of them are taken; those that came first have their answer.
        for connection in slow[:18]:
            data = connection.recv(65536)
            while not data.endswith(b"}"):
                data += connection.recv(65536)
            ((status, headers, body),) = answers_in(data)
            assert (status, headers["retry-after"]) == (503, "1")
            assert b"32 times ENCORE_MAX_BODY_BYTES" in body
        with connected(server) as connection:
            connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % longest)
            connection.sendall(LIST.ljust(longest))
            assert one_from(connection) == 200
        # The others may still complete theirs, which is no JSON.
        slow[-1].sendall(b" ")
        assert one_from(slow[-1]) == 422
