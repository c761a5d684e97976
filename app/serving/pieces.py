"""Long work on the event loop, in pieces between which other requests are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

# The time of one piece; some twenty short lists take as long.
_PIECE_SECONDS: Final = 0.004

T = TypeVar("T")
R = TypeVar("R")


async def in_pieces(make: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Returns what is made of each item, and lets the event loop go on every few milliseconds.

    Args:
        make: called with one item; should take far less than a piece.
        items: the items.
    """
    made: list[R] = []
    end = time.perf_counter() + _PIECE_SECONDS
    for item in items:
        made.append(make(item))
        if time.perf_counter() >= end:
            await asyncio.sleep(0)
            end = time.perf_counter() + _PIECE_SECONDS
    return made
