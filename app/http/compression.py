"""Compresses long answers for clients that ask for it.

No answer holds a secret beside text that a stranger chooses, so its compressed length gives nothing
away (BREACH): the key is in requests only.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Iterable
from typing import Final

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A server may send ten packets of 1460 bytes before it hears from the client (RFC 6928): an answer
# that fits into them arrives no sooner when it is compressed. Lists of up to 120 artists do.
LONG_BODY: Final = 14_000
# Level 6 takes three times as long and saves a tenth, as most of a list is random ids.
_LEVEL: Final = 1
# More is compressed in a thread, since it would hold the event loop up for more than 2 ms.
_LONGEST_AT_ONCE: Final = 128 * 1024
_TEXT: Final = frozenset({"application/json", "application/problem+json", "application/javascript"})
# Without a body, or with a part of one.
_WITHOUT_A_WHOLE_BODY: Final = frozenset({204, 206, 304})
_LONGEST_ACCEPT_ENCODING: Final = 1000

_turns: RunVar[CapacityLimiter] = RunVar("compression turns")


class Compressing:
    """ASGI middleware that compresses long answers for clients that ask for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handles one request."""
        if scope["type"] == "http":
            send = compressing(scope, send)
        return self.app(scope, receive, send)


def compressing(scope: Scope, send: Send) -> Send:
    """Returns a ``send`` that compresses the answer to a request if it is long text."""
    return _Answer(scope, send).send


class _Answer:
    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._compressor: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        """Sends a message; the start of the answer waits for the first part of the body."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if message["type"] == "http.response.body":
            if start is not None:
                self._begin(start, message)
            if self._compressor is not None:
                message = {**message, "body": await self._compressed(message)}
                if start is not None and not message.get("more_body"):
                    MutableHeaders(scope=start)["content-length"] = str(len(message["body"]))
        if start is not None:
            await self._send(start)
        await self._send(message)

    def _begin(self, start: Message, first: Message) -> None:
        headers = MutableHeaders(scope=start)
        is_long = first.get("more_body") or len(first.get("body", b"")) >= LONG_BODY
        if not is_long or not _is_compressible(start["status"], headers):
            return
        headers.add_vary_header("Accept-Encoding")
        if takes_gzip(Headers(scope=self._scope).getlist("accept-encoding")):
            self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
            headers["content-encoding"] = "gzip"
            del headers["content-length"]
            tag = headers.get("etag")
            if tag and not tag.startswith("W/"):
                headers["etag"] = f"W/{tag}"  # other bytes of the same content

    async def _compressed(self, message: Message) -> bytes:
        body = message.get("body", b"")
        # What a stream has sent so far can be read, as without compression.
        ending = zlib.Z_SYNC_FLUSH if message.get("more_body") else zlib.Z_FINISH
        if len(body) <= _LONGEST_AT_ONCE:
            return self._compress(body, ending)
        return await to_thread.run_sync(self._compress, body, ending, limiter=_one_at_a_time())

    def _compress(self, body: bytes, ending: int) -> bytes:
        assert self._compressor is not None  # noqa: S101 - it was made for this answer
        return self._compressor.compress(body) + self._compressor.flush(ending)


def takes_gzip(accepted: Iterable[str]) -> bool:
    """Returns whether a client asks for gzip.

    Args:
        accepted: the values of its headers ``Accept-Encoding``.
    """
    value = ",".join(accepted).lower()
    if len(value) > _LONGEST_ACCEPT_ENCODING:
        return False
    weights: dict[str, float] = {}
    for entry in value.split(","):
        coding, *parameters = (part.strip() for part in entry.split(";"))
        weights[coding.removeprefix("x-")] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            digits = value.strip()
            return float(digits) if digits.replace(".", "", 1).isdecimal() else 0.0
    return 1.0


def _is_compressible(status: int, headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    return (
        status not in _WITHOUT_A_WHOLE_BODY
        and "content-encoding" not in headers
        and (media_type in _TEXT or media_type.startswith("text/"))
    )


def _one_at_a_time() -> CapacityLimiter:
    # Each event loop has its own: several at once would take the processor from the event loop.
    try:
        return _turns.get()
    except LookupError:
        _turns.set(limiter := CapacityLimiter(1))
        return limiter
