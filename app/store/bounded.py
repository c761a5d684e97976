"""Connections to PostgreSQL whose questions end in time, whatever the server does.

The kernel of a frozen server still acknowledges packets, so neither a timeout of the server nor one
of TCP ends the wait for an answer. The waiting thread has to check the time itself.
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

# How often a waiting thread checks the time.
_GLANCE_SECONDS: Final = 0.1

T = TypeVar("T")


class TooLate(psycopg.OperationalError):
    """The answer did not come before the deadline, or before the store was closed."""


class Question:
    """All that a thread asks a server between taking a connection and giving it back.

    Args:
        deadline: the deadline of the whole question.
        closing: set when the store is being closed, which ends the question.

    Attributes:
        deadline: the deadline.
        is_cut: whether the question was ended without an answer.
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
        """Makes this the present question of the calling thread."""
        token = _asked.set(self)
        try:
            yield
        finally:
            _asked.reset(token)

    def left(self, most: float) -> float:
        """Returns for how many seconds the question may still wait, at most ``most``."""
        return max(0.0, min(most, self._ends_at - time.monotonic()))

    def bound(self, work: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Wraps work of the driver, so that it ends with ``TooLate`` when the time is up.

        Args:
            work: the driver's generator. It yields the events that it waits for, and is sent those
                that are ready; none at each check of the time.
        """
        try:
            wanted = next(work)
            while True:
                ready = yield wanted
                wanted = work.send(ready)  # first, since an answer that is there counts
                if self._closing.is_set() or time.monotonic() >= self._ends_at:
                    self.is_cut = True
                    raise TooLate("the answer did not come in time")
        except StopIteration as end:
            answer: T = end.value
            return answer


_asked: ContextVar[Question | None] = ContextVar("question", default=None)


class LastFailure:
    """The error of the last attempt to connect, if it failed; the pool does not report it."""

    error: psycopg.Error | None = None


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that obeys the deadline of the present question of its thread.

    It is closed after a missed deadline; otherwise the late answer would be taken for that of the
    next question.
    """

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connects; the option ``failure``, a ``LastFailure``, gets the error or None."""
        failure: LastFailure = options.pop("failure")
        try:
            connection = super().connect(conninfo, **options)
        except psycopg.Error as error:
            failure.error = error
            raise
        failure.error = None
        return connection

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Waits for the driver's work; every question to the server passes here."""
        question = _asked.get()
        if question is None:
            return super().wait(gen, *arguments, **options)
        options = {"interval": question.left(_GLANCE_SECONDS), **options}
        try:
            return super().wait(question.bound(gen), *arguments, **options)
        except TooLate:
            self.close()
            raise
