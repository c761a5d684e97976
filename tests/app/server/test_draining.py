"""The end of a true server: no client loses a request, and none is waited for too long."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.server.draining import refuse_new_connections, refuses_new_connections
from tests.app.server.raw import (
    HOST,
    LIST,
    LIVE,
    POST,
    answers_in,
    connected,
    one_from,
    problem_in,
    to_the_end,
)
from tests.processes import children_of
from tests.server import PATIENCE, Server, eventually, serving

CLIENTS = 6


class Clients:
    """Clients that ask without a pause, each on a connection for as long as it may.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self._ended = threading.Event()
        self._threads = ThreadPoolExecutor(CLIENTS)
        self.counts: Counter[str] = Counter()
        self._done = [self._threads.submit(self._ask, number) for number in range(CLIENTS)]

    def end(self) -> Counter[str]:
        """What has happened to all requests."""
        self._ended.set()
        for one in self._done:
            one.result()
        self._threads.shutdown()
        return self.counts

    def _ask(self, number: int) -> None:
        connection = None
        while not self._ended.is_set():
            if connection is None:
                connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    self.counts["refused"] += 1
                    connection = None
                    self._ended.wait(0.05)
                    continue
            try:
                body = json.dumps({"user_id": f"u{20 + number}", "discovery": 0.3})
                connection.request("POST", "/recommend", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                self.counts[str(response.status)] += 1
            except OSError as error:
                self.counts[type(error).__name__] += 1
                connection = None
                continue
            if response.getheader("connection") == "close":
                self.counts["told to close"] += 1
                connection.close()
                connection = None


def replace_workers_and_terminate(server: Server) -> None:
    former = set(children_of(server.process.pid))
    server.process.send_signal(signal.SIGHUP)
    # One of them is a helper of multiprocessing, which stays.
    eventually(lambda: len(former & set(children_of(server.process.pid))) <= 1)
    eventually(lambda: len(set(children_of(server.process.pid))) == len(former))
    server.process.terminate()


def terminate_everyone(server: Server) -> None:
    """As systemd does: the parent and its workers get the signal at the same time."""
    for pid in [*set(children_of(server.process.pid)), server.process.pid]:
        os.kill(pid, signal.SIGTERM)


def ended(server: Server) -> tuple[int, str]:
    """The exit status and the log; a second signal would come in the middle of the end."""
    _, log = server.process.communicate(timeout=PATIENCE)
    return server.process.returncode, log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "end"), [(2, replace_workers_and_terminate), (3, terminate_everyone)]
)
def test_no_request_is_lost_when_the_service_ends(
    models: Path, workers: int, end: Callable[[Server], None]
) -> None:
    """Two workers used to reset six to eight connections."""
    with serving(models, "--workers", str(workers)) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        clients = Clients(server)
        eventually(lambda: clients.counts["200"] > 100)
        end(server)
        eventually(lambda: clients.counts["refused"] > CLIENTS)
        counts = clients.end()
        status, log = ended(server)
    assert counts.keys() <= {"200", "told to close", "refused"}, counts
    assert counts["told to close"] >= CLIENTS
    assert (status, "Traceback" in log) == (0, False)


@pytest.mark.slow
def test_whatever_a_client_does_the_service_ends_in_time(models: Path) -> None:
    with serving(models, ENCORE_SHUTDOWN_SECONDS="2") as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        with (
            connected(server) as silent,
            connected(server) as idle,
            connected(server) as late,
            connected(server) as heading,
            connected(server) as sending,
            connected(server) as finishing,
            socket.socket() as deaf,
        ):
            for connection in (idle, late):
                connection.sendall(LIVE)
                assert one_from(connection) == 200
            heading.sendall(LIVE[:-2])
            for connection in (sending, finishing):
                connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(LIST) + LIST[:-1])
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            deaf.settimeout(1)
            with pytest.raises(TimeoutError):
                deaf.sendall((b"GET /docs HTTP/1.1\r\n" + HOST + b"\r\n") * 1_000_000)
            server.process.terminate()
            time.sleep(0.3)
            # Requests that come meanwhile are answered, and the client is told to close.
            late.sendall(LIVE)
            ((status, headers, _),) = answers_in(to_the_end(late))
            assert (status, headers["connection"]) == (200, "close")
            finishing.sendall(LIST[-1:])
            ((status, headers, _),) = answers_in(to_the_end(finishing))
            assert (status, headers["connection"]) == (200, "close")
            assert to_the_end(silent) == to_the_end(idle) == b""
            for connection in (heading, sending):
                problem = problem_in(to_the_end(connection))
                assert (problem["status"], "is ending" in problem["detail"]) == (503, True)
            status, log = ended(server)
    assert (status, "Traceback" in log) == (0, False), log


def test_who_connects_is_ignored_and_who_is_connected_is_served() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux can do that")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        assert not refuses_new_connections(listener)
        with socket.create_connection(address) as early, socket.socket() as late:
            refuse_new_connections(listener)
            assert refuses_new_connections(listener)
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.connect(address)
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"hello")
                assert accepted.recv(5) == b"hello"
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
