"""Signals that are delayed while an exception would be lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def signals_held() -> Iterator[Callable[[], None]]:
    """Delays the signals that end a search; yields the function that delivers them.

    If a signal raised an exception while SQLAlchemy cleans up in the callback of a weak reference,
    Python would print and drop it, and the search would go on. A second signal is not delayed.
    """
    held: list[int] = []

    def deliver() -> None:
        if held:
            number = held[-1]
            held.clear()
            handlers[number](number, None)

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handlers[number](number, frame)
        held.append(number)

    handlers = {
        int(number): handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if callable(handler := signal.getsignal(number))
    }
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        handlers.clear()
    try:
        for number in handlers:
            signal.signal(number, hold)
        yield deliver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        deliver()
