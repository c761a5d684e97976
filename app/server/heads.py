"""Heads of requests: what is wrong with one, and the one that is read instead of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from app.server.limits import HEAD_BYTES, LONG_HEAD, LONG_URL, URL_BYTES

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

# Headers that go with an offer of another protocol, which is never taken.
_OF_UPGRADES: Final = frozenset({b"upgrade", b"http2-settings"})


def size_of(url: bytes, headers: Headers) -> int:
    """Returns the bytes of a head: a colon, a space and the line's end go with each header."""
    return len(url) + 20 + sum(len(name) + len(value) + 4 for name, value in headers)


def length_of(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Returns the bytes of a body, as its head says; 0 if it does not."""
    return int(next((value for name, value in headers if name == b"content-length"), b"0"))


def excess(url: bytes, size: int) -> tuple[int, str] | None:
    """Returns the status and detail for a head that is too long, else None.

    Args:
        url: the request target, as far as it has come.
        size: the number of bytes of the head, or a lower bound.
    """
    if len(url) > URL_BYTES:
        return 414, LONG_URL
    if size > HEAD_BYTES:
        return 431, LONG_HEAD
    return None


def contradiction(headers: Headers, version: str) -> tuple[int, str] | None:
    """Returns the status and detail for a head that two readers could take in two ways, else None.

    Args:
        headers: those of the request, with names in lower case.
        version: of HTTP, as ``1.1``.
    """
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        return 400, f"the request has {hosts} headers Host; HTTP/1.1 wants one"
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings not in ([], [b"chunked"]):
        return 501, "no Transfer-Encoding but chunked is taken; send the body as it is"
    return None


def without_upgrade(method: bytes, url: bytes, headers: Headers) -> bytes:
    """Returns the bytes of a head without its offer of another protocol."""
    lines = [b"%b %b HTTP/1.1" % (method, url)]
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.lower().split(b",")]
            lines.append(b"connection: " + b",".join(t for t in tokens if t not in _OF_UPGRADES))
        elif name not in _OF_UPGRADES:
            lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])
