"""How much, how long and how many: what one client's connection may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.settings import Settings

# Of a head: its request line with all headers.
HEAD_BYTES: Final = 64 * 1024
# Of a chunked body: what is no content. The parser calls back for each chunk, and one-byte chunks
# would hold the event loop for milliseconds.
FRAMING_BYTES: Final = 4 * 1024
URL_BYTES: Final = 32 * 1024
# Slower than any network that a client could use, and faster than a client that only holds on.
BYTES_PER_SECOND: Final = 1000
# What still comes from a client that was refused is read, so that it gets to see the answer.
LINGER_SECONDS: Final = 5.0
_LINGER_BYTES: Final = 16 * 1024 * 1024
# After a head or a framing that was refused: the longest body by default.
_REFUSED_LINGER_BYTES: Final = 4 * 1024 * 1024

LONG_URL: Final = f"the URL has more than {URL_BYTES} bytes; POST /recommend takes long options"
LONG_HEAD: Final = f"the request line and the headers have more than {HEAD_BYTES} bytes"
LONG_FRAMING: Final = (
    f"the body has more than {FRAMING_BYTES} bytes of chunk sizes, extensions and trailers; send "
    "it in longer chunks"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the connections of one worker.

    Attributes:
        head: seconds until a head is complete, from the connection or from its first byte on.
        body: seconds without a byte of a body; the whole one may take a second more for each
            ``BYTES_PER_SECOND``.
        send: the same for a client that does not read its answer.
        keep_alive: seconds between two requests.
        connections: number of connections at once.
    """

    head: float
    body: float
    send: float
    keep_alive: float
    connections: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Returns the limits that the settings name."""
        return cls(
            head=settings.head_seconds,
            body=settings.body_seconds,
            send=settings.send_seconds,
            keep_alive=settings.keep_alive_seconds,
            connections=settings.max_connections,
        )

    @property
    def look_seconds(self) -> float:
        """Seconds between two looks at all connections: a quarter of the shortest limit at most."""
        return min(1.0, self.head / 4, self.body / 4, self.send / 4, self.keep_alive / 4)


def linger_bytes(*, is_refused: bool) -> int:
    """Returns how much is read and dropped of a client that has its answer.

    Args:
        is_refused: whether its head or its framing was refused.
    """
    return _REFUSED_LINGER_BYTES if is_refused else _LINGER_BYTES


def late(part: str, variable: str, seconds: float) -> str:
    """Returns the detail for a part of a request that did not come in time."""
    return f"the {part} of the request did not come in time ({variable}={seconds:g}); send it again"
