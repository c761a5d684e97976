"""Clients that are slow, silent or too many, at a true server; limits are short, waits are long."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.server.limits import BYTES_PER_SECOND, Limits
from app.server.patience import Patience, Phase
from tests.app.server.raw import (
    HOST,
    LIST,
    LIVE,
    POST,
    answers_in,
    connected,
    problem_in,
    to_the_end,
)
from tests.server import Server, eventually, serving

GET = b"GET /health/live HTTP/1.1\r\n" + HOST
LIMITS = Limits(head=10, body=20, send=30, keep_alive=40, connections=5)


@pytest.fixture(scope="module")
def hasty(models: Path) -> Iterator[Server]:
    """A server with little patience."""
    seconds = {f"ENCORE_{name}_SECONDS": "0.6" for name in ("HEAD", "BODY", "SEND", "KEEP_ALIVE")}
    with serving(models, ENCORE_MAX_CONNECTIONS="20", **seconds) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        yield server


@pytest.mark.slow
def test_a_silent_connection_is_closed_without_a_word(hasty: Server) -> None:
    with connected(hasty) as connection:
        assert to_the_end(connection) == b""


@pytest.mark.slow
def test_an_idle_connection_is_closed_without_a_word(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(LIVE)
        assert len(answers_in(to_the_end(connection))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"G", GET, GET + b"X: ", b"\r\n" + GET])
def test_a_head_that_does_not_end_is_refused(hasty: Server, head: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(head)
        problem = problem_in(to_the_end(connection))
    assert problem["status"] == 408
    assert "ENCORE_HEAD_SECONDS=0.6" in problem["detail"]


@pytest.mark.slow
def test_a_head_that_comes_a_byte_at_a_time_is_refused(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(GET)
        connection.settimeout(0.1)
        for _ in range(600):
            connection.send(b"X")
            try:
                assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("it went on for a minute")


@pytest.mark.slow
def test_a_body_that_does_not_come_is_refused(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n" + LIST)
        problem = problem_in(to_the_end(connection))
    assert problem["status"] == 408
    assert problem["instance"] == "/recommend"
    assert "ENCORE_BODY_SECONDS=0.6" in problem["detail"]


@pytest.mark.slow
def test_a_body_that_comes_slowly_but_steadily_is_read(hasty: Server) -> None:
    """As from a telephone: it takes several times as long as a client may be silent."""
    with connected(hasty) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % (len(LIST) + 20_000))
        for _ in range(20):
            connection.sendall(b" " * 1000)
            time.sleep(0.1)
        connection.sendall(LIST)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_a_client_that_does_not_read_is_cut_off(hasty: Server) -> None:
    request = b"GET /docs HTTP/1.1\r\n" + HOST + b"\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", hasty.port))
        # Its own answers hinder it from sending more, once all buffers are full.
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(request * 1_000_000)
    assert hasty.get("/health/ready")[0] == 200


@pytest.mark.slow
def test_a_client_that_neither_reads_nor_sends_is_reset(hasty: Server) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", hasty.port))
        connection.sendall((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 400)
        # A close would leave megabytes in the kernel, and the client would not notice.
        eventually(
            lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        )


@pytest.fixture(scope="module")
def small(models: Path) -> Iterator[Server]:
    """A server with four places."""
    with serving(models, ENCORE_MAX_CONNECTIONS="4") as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        yield server


@pytest.mark.slow
def test_connections_beyond_the_limit_get_a_problem_and_probes_an_answer(small: Server) -> None:
    def is_full() -> bool:
        return small.get("/recommend/u30")[0] == 503

    with ExitStack() as clients:
        for _ in range(4):
            busy = clients.enter_context(connected(small))
            busy.sendall(POST + b"Content-Length: 100\r\n\r\n" + LIST)
        eventually(is_full)
        with connected(small) as connection:
            connection.sendall(b"GET /recommend/u30 HTTP/1.1\r\n" + HOST + b"\r\n")
            answer = to_the_end(connection)
        assert "ENCORE_MAX_CONNECTIONS" in problem_in(answer)["detail"]
        assert answers_in(answer)[0][1]["retry-after"] == "5"
        assert [small.get(path)[0] for path in ("/health/live", "/health/ready")] == [200, 200]
        # Where even the places are taken in which clients are told so, they are told at once.
        answers = [clients.enter_context(connected(small)) for _ in range(60)]
        assert problem_in(to_the_end(answers[-1]))["status"] == 503
    eventually(lambda: not is_full())


@pytest.mark.slow
def test_idle_connections_make_room_for_others(small: Server) -> None:
    with ExitStack() as clients:
        idle = [clients.enter_context(connected(small)) for _ in range(4)]
        for connection in idle[:2]:
            connection.sendall(LIVE)
        eventually(lambda: small.get("/recommend/u30")[0] == 200)
        closed = [connection for connection in idle[2:] if not _is_open(connection)]
        assert closed


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True


def test_a_phase_is_measured_from_when_it_was_seen_first() -> None:
    patience = Patience(LIMITS, 0.0)
    assert not patience.is_over(Phase.SILENT, None, 0, 10)
    assert patience.is_over(Phase.SILENT, None, 0, 10.5)
    one, two = object(), object()
    assert not patience.is_over(Phase.IDLE, one, 0, 20)
    assert patience.since(Phase.IDLE, one) == 20
    assert not patience.is_over(Phase.IDLE, two, 0, 61)  # there was a request in between
    assert patience.since(Phase.IDLE, one) is None
    assert not patience.is_over(Phase.IDLE, two, 0, 101)
    assert patience.is_over(Phase.IDLE, two, 0, 102)


def test_work_may_take_any_time() -> None:
    patience = Patience(LIMITS, 0.0)
    assert not any(patience.is_over(Phase.WORKING, None, 0, now) for now in range(0, 10_000, 100))


@pytest.mark.parametrize(("phase", "seconds"), [(Phase.BODY, 20), (Phase.SENDING, 30)])
def test_who_moves_bytes_has_time_but_not_for_ever(phase: Phase, seconds: int) -> None:
    def over_at(level_at: dict[int, int]) -> int | None:
        patience, level = Patience(LIMITS, 0.0), 0
        for now in range(6000):
            level = level_at.get(now, level)
            if patience.is_over(phase, level_at, level, now):
                return now
        return None

    # 4 MiB at ten kilobytes a second.
    assert over_at({now: 10_000 * now for now in range(6000)}) is None
    assert over_at({now: BYTES_PER_SECOND * now for now in range(6000)}) is None
    # A byte a second.
    assert over_at({now: now for now in range(6000)}) == seconds + 1
    # A megabyte at first, and then no more.
    assert over_at({1: 1_000_000}) == seconds + 2
    # Half as fast as is wanted.
    assert over_at({now: BYTES_PER_SECOND * now // 2 for now in range(6000)}) == 2 * seconds + 1
