"""Connections to PostgreSQL whose questions end in time, whatever the server does.

The kernel of a frozen server goes on to acknowledge what it is sent, so neither a timeout of the
server nor one of TCP ends the wait for the answer. The thread that waits has to look at the clock.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event as Flag
from typing import Any, Final, Self, TypeVar

import psycopg

from app.store.deadlines import Deadline

# So often whoever waits for an answer looks at the clock.
_GLANCE_SECONDS: Final = 0.1

T = TypeVar("T")


class TooLate(psycopg.OperationalError):
    """The answer has not come before the deadline, or before the store was closed."""


class Question:
    """Everything that a thread asks a server between taking a connection and giving it back.

    Args:
        deadline: of all of it together.
        closing: set when the store is being closed, which ends the question.

    Attributes:
        deadline: as given.
        is_cut: whether it was ended without an answer.
    """

    def __init__(self, deadline: Deadline, closing: Flag) -> None:
        self.deadline = deadline
        self.is_cut = False
        self._closing = closing
        self._ends_at = (
            float("inf") if deadline.seconds is None else time.monotonic() + deadline.seconds
        )

    @contextmanager
    def put(self) -> Iterator[None]:
        """Makes it the question that this thread asks."""
        token = _asked.set(self)
        try:
            yield
        finally:
            _asked.reset(token)

    def left(self, most: float) -> float:
        """Returns for how many seconds it may still wait, at most ``most``."""
        return max(0.0, min(most, self._ends_at - time.monotonic()))

    def bound(self, work: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Returns work of the driver that ends with ``TooLate`` when the time is up.

        Args:
            work: yields what it waits for, and is told what has come; nothing, now and then.
        """
        try:
            wanted = next(work)
            while True:
                ready = yield wanted
                wanted = work.send(ready)  # first, for what has come counts
                if self._closing.is_set() or time.monotonic() >= self._ends_at:
                    self.is_cut = True
                    raise TooLate("the answer did not come in time")
        except StopIteration as end:
            answer: T = end.value
            return answer


_asked: ContextVar[Question | None] = ContextVar("question", default=None)


class LastFailure:
    """Why the last attempt to connect has failed, if it has, which the pool does not tell."""

    error: psycopg.Error | None = None


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that keeps to the deadline of the question that its thread asks.

    After a deadline that was missed it is closed, since the answer to come would be taken for that
    of the next question.
    """

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connects; ``failure``, a ``LastFailure`` among the options, is told how it went."""
        failure: LastFailure = options.pop("failure")
        try:
            connection = super().connect(conninfo, **options)
        except psycopg.Error as error:
            failure.error = error
            raise
        failure.error = None
        return connection

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Waits for the driver's work; every question to the server comes by here."""
        question = _asked.get()
        if question is None:
            return super().wait(gen, *arguments, **options)
        options = {"interval": question.left(_GLANCE_SECONDS), **options}
        try:
            return super().wait(question.bound(gen), *arguments, **options)
        except TooLate:
            self.close()
            raise
