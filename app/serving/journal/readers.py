"""Threads that ask a store questions for an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")
_Asked: TypeAlias = tuple[Callable[[], Any], asyncio.Future[Any]]


class Readers:
    """A few threads that answer questions in the order in which they are asked.

    This is not an executor: the process would wait for its threads when it ends, and one of them
    may hang on a disk.

    Args:
        count: how many threads.
        loop: the event loop on which the answers are awaited.
    """

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._threads: Final = [
            threading.Thread(target=self._answer, name=f"store-reader-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begins to answer."""
        for thread in self._threads:
            thread.start()

    def ask(self, question: Callable[[], T]) -> asyncio.Future[T]:
        """Asks a question; one that is cancelled before its turn is dropped."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked.put((question, future))
        return future

    def close(self, seconds: float) -> None:
        """Ends the threads, and waits for them, for ``seconds`` at most."""
        deadline = time.monotonic() + seconds
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _answer(self) -> None:
        while (asked := self._asked.get()) is not None:
            question, future = asked
            if future.done():
                continue
            try:
                answer, error = question(), None
            except Exception as raised:
                answer, error = None, raised
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_deliver, future, answer, error)
            # These names would keep their objects in memory until the next question.
            del asked, question, future, answer, error


def _deliver(future: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
    if future.done():
        return  # cancelled: no one waits
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)
