"""An answer that is sent in pieces, for one of some megabytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE: Final = 2**18


class PiecesResponse(Response):
    """JSON that is never written as a whole; between its pieces other requests are answered.

    Args:
        parts: the parts of the JSON, small or large.
    """

    media_type = "application/json"

    def __init__(self, parts: Sequence[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self.headers["Content-Length"] = str(sum(map(len, parts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        pieces = self._pieces()
        piece = next(pieces)
        for following in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
            piece = following
        await send({"type": "http.response.body", "body": piece})

    def _pieces(self) -> Iterator[bytes]:
        together: list[bytes] = []
        size = 0
        for part in self._parts:
            together.append(part)
            size += len(part)
            if size >= _PIECE:
                yield b"".join(together)
                together, size = [], 0
        yield b"".join(together)
