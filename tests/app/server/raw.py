"""Bytes to a true server and back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.server import PATIENCE, Server

HOST: Final = b"Host: 127.0.0.1\r\n"
LIVE: Final = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
LIST: Final = b'{"user_id":"u30","n":3}'
POST: Final = b"POST /recommend HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        yield connection


def to_the_end(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection; an error if it resets it."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def one_from(connection: socket.socket) -> int:
    """Reads one whole answer and returns its status."""
    data = connection.recv(65536)
    while not data.endswith(b"}"):
        data += connection.recv(65536)
    ((status, *_),) = answers_in(data)
    return status


def sent(server: Server, request: bytes) -> bytes:
    """What comes back until the server closes; the client closes nothing."""
    with connected(server) as connection:
        connection.sendall(request)
        return to_the_end(connection)


def answers_in(data: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """The status, headers and body of each answer; every one has to have a length."""
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers["content-length"])
        answers.append((int(first.split()[1]), headers, data[:size]))
        assert len(data) >= size
        data = data[size:]
    return answers


def problem_in(data: bytes) -> dict[str, Any]:
    """The only answer, which has to be a problem after which the connection is closed."""
    ((status, headers, body),) = answers_in(data)
    problem: dict[str, Any] = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert problem["status"] == status
    assert problem["detail"]
    return problem
