"""When more is read from a connection."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

_BREATH_SECONDS: Final = 0.001


class Flow(FlowControl):
    """Reading that stays paused while bytes wait to be parsed, whoever wants to go on.

    Args:
        transport: the connection.

    Attributes:
        is_holding: whether bytes wait.
    """

    is_holding = False

    def resume_reading(self) -> None:
        """Goes on reading, unless bytes wait."""
        if self.read_paused and not self.is_holding:
            super().resume_reading()

    def breathe(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pauses for a moment.

        uvloop reads from a fast sender up to 32 times in a row, which takes milliseconds.
        """
        self.pause_reading()
        loop.call_later(_BREATH_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self.resume_reading()
