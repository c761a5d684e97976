from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.http.raw_target import RawTarget


def seen_by_the_application(**scope: Any) -> tuple[str, bytes]:
    seen: list[Scope] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        return None

    given = {"type": "http", "query_string": b"", **scope}
    asyncio.run(RawTarget(application)(dict(given), receive, send))
    return seen[0]["path"], seen[0]["query_string"]


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        (b"/recommend/a%2Fb", "/recommend/a%2Fb"),
        (b"/recommend/%zz", "/recommend/%zz"),
        ("/recommend/björk".encode(), "/recommend/bj%C3%B6rk"),
        (b"/recommend/\xff", "/recommend/%FF"),
    ],
)
def test_the_path_stays_as_it_was_sent(raw_path: bytes, path: str) -> None:
    assert seen_by_the_application(path="decoded", raw_path=raw_path)[0] == path


@pytest.mark.parametrize(
    ("decoded", "path"),
    [("/recommend/50%", "/recommend/50%25"), ("/recommend/björk", "/recommend/bj%C3%B6rk")],
)
def test_a_server_without_raw_paths_loses_slashes_only(decoded: str, path: str) -> None:
    assert seen_by_the_application(path=decoded)[0] == path


@pytest.mark.parametrize(
    ("sent", "query"),
    [
        (b"exclude=a%2Cb+c&n=1", b"exclude=a%2Cb+c&n=1"),
        ("exclude=björk".encode(), b"exclude=bj%C3%B6rk"),
        (b"exclude=\xff", b"exclude=%FF"),
    ],
)
def test_raw_bytes_in_a_query_equal_their_encoding(sent: bytes, query: bytes) -> None:
    assert seen_by_the_application(path="/", query_string=sent)[1] == query
