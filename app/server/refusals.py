"""Answers that the application never sees: problems, as the bytes that go to the client."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from app.http.problems import MEDIA_TYPE
from app.http.raw_target import printable
from app.schemas.problem import Problem

_MAX_ECHO: Final = 100
_RETRY_SECONDS: Final = 5
# Python's own title of this status differs between versions.
_TITLES: Final = {414: "URI Too Long"}


def refusal(
    status: int,
    detail: str,
    *,
    target: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
    with_body: bool = True,
) -> bytes:
    """Returns a whole answer, after which the connection is closed.

    Args:
        status: the HTTP status; with 503 the client is told when to try again.
        detail: what was wrong, and what to do.
        target: what was asked for, as far as it is known.
        headers: those of all answers.
        with_body: False for HEAD.
    """
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    path = printable(target.partition(b"?")[0])
    problem = Problem(
        type="about:blank",
        title=title,
        status=status,
        detail=detail,
        instance=path if len(path) <= _MAX_ECHO else f"{path[: _MAX_ECHO - 3]}...",
    )
    body = problem.model_dump_json(exclude_none=True).encode()
    lines = [
        f"HTTP/1.1 {status} {title}".encode(),
        *(name + b": " + value for name, value in headers),
        b"content-type: " + MEDIA_TYPE.encode(),
        b"content-length: %d" % len(body),
        b"connection: close",
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(b"retry-after: %d" % _RETRY_SECONDS)
    return b"\r\n".join([*lines, b"", body if with_body else b""])
