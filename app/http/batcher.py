"""Scores requests together, on one thread beside the event loop.

Whatever comes in while the thread is busy is its next batch, so a batch fills by itself and nobody
waits for one to fill. Requests are taken in the order in which they came; one with many queries
gets one turn at a time, as if it were many requests. How many may wait, and how long, is bounded;
the others are refused, though not at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from app.errors import Overloaded, UnknownUser
from app.recommender import Query, Recommendation, Recommender

# More would be scored hardly faster each, and those who wait would wait longer.
_BATCH: Final = 32
# Refusals come at this pace, which takes a tenth of a worker's time, but none is held for longer.
_BETWEEN_REFUSALS: Final = 1 / 250
_LEAST_HOLD_SECONDS: Final = 0.1
_LONGEST_HOLD_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0

Encode: TypeAlias = Callable[[Query, Recommendation], bytes]
# The encoded answer to each query, or why there is none.
Encoded: TypeAlias = list[bytes | UnknownUser]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """Queries of one request that are answered together, and who waits for that.

    Attributes:
        expires_at: of the monotonic clock, when it is no use any more to begin.
    """

    recommender: Recommender
    queries: Sequence[Query]
    encode: Encode
    future: asyncio.Future[Encoded]
    expires_at: float


class Batcher:
    """Answers queries on a thread of its own.

    Opened and used on one event loop.

    Args:
        size: how many turns may wait at once.
        wait_seconds: how long one may wait before it begins.
    """

    def __init__(self, *, size: int, wait_seconds: float) -> None:
        self._size = size
        self._wait_seconds = wait_seconds
        self._turns: SimpleQueue[_Turn | None] = SimpleQueue()
        # Changed on the event loop only.
        self._waiting = 0
        self._refusal_at = 0.0
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    async def answer(
        self, recommender: Recommender, queries: Sequence[Query], encode: Encode
    ) -> Encoded:
        """Answers queries, each exactly as it would be answered alone.

        Cancelling this, as when a client has gone, drops what has not begun.

        Args:
            recommender: who answers all of them.
            queries: in any number.
            encode: makes bytes of an answer; runs on the batcher's thread.

        Returns:
            For each query the bytes, or the refusal of that one.

        Raises:
            Overloaded: too many are waiting, or it has waited too long.
        """
        if self._waiting >= self._size:
            await asyncio.sleep(self._hold_back_seconds())
            raise Overloaded(
                f"{self._size} requests were waiting for live scoring already, as many as "
                "ENCORE_LIVE_QUEUE allows; ask again later"
            )
        if self._is_closed:
            raise Overloaded("the service is ending; ask again when it is back")
        encoded: Encoded = []
        expires_at = time.monotonic() + self._wait_seconds
        for start in range(0, len(queries), _BATCH):
            part = queries[start : start + _BATCH]
            turn = _Turn(recommender, part, encode, self._loop.create_future(), expires_at)
            self._waiting += 1
            self._turns.put(turn)
            encoded += await turn.future
            expires_at = float("inf")  # what has begun is finished
        return encoded

    def _hold_back_seconds(self) -> float:
        """Returns how long to hold back a refusal.

        Clients that ask again as soon as they are refused would otherwise take the time of those
        who are being answered: refusing costs a good part of what answering does.
        """
        now = time.monotonic()
        soonest, latest = now + _LEAST_HOLD_SECONDS, now + _LONGEST_HOLD_SECONDS
        self._refusal_at = min(max(self._refusal_at + _BETWEEN_REFUSALS, soonest), latest)
        return self._refusal_at - now

    def close(self) -> None:
        """Ends the thread after what it is doing; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._turns.put(None)
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while (turn := self._turns.get()) is not None:
            turns, queries = [turn], len(turn.queries)
            with suppress(Empty):
                while queries < _BATCH and (turn := self._turns.get_nowait()) is not None:
                    turns.append(turn)
                    queries += len(turn.queries)
            self._score(turns)
            if turn is None:
                break

    def _score(self, turns: Sequence[_Turn]) -> None:
        now = time.monotonic()
        # A model may have been exchanged while turns were waiting.
        by_recommender: defaultdict[int, list[_Turn]] = defaultdict(list)
        results: dict[_Turn, Encoded | Exception] = {}
        for turn in turns:
            if turn.future.cancelled():
                results[turn] = []
            elif turn.expires_at < now:
                results[turn] = Overloaded(
                    f"this request has waited {self._wait_seconds} s for live scoring, as long as "
                    "ENCORE_LIVE_WAIT_SECONDS allows; ask again later"
                )
            else:
                by_recommender[id(turn.recommender)].append(turn)
        for together in by_recommender.values():
            results.update(zip(together, _answers(together), strict=True))
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, results)

    def _deliver(self, results: dict[_Turn, Encoded | Exception]) -> None:
        self._waiting -= len(results)
        for turn, result in results.items():
            if turn.future.done():
                continue  # nobody waits any more
            if isinstance(result, Exception):
                turn.future.set_exception(result)
            else:
                turn.future.set_result(result)


def _answers(turns: Sequence[_Turn]) -> list[Encoded | Exception]:
    """Answers turns of one recommender, and alone any that would take others with it."""
    try:
        return list(_encoded(turns))
    except Exception as error:
        if len(turns) == 1:
            return [error]
    return [result for turn in turns for result in _answers([turn])]


def _encoded(turns: Sequence[_Turn]) -> Iterator[Encoded]:
    queries = [query for turn in turns for query in turn.queries]
    answers = iter(turns[0].recommender.attempt_many(queries))
    for turn in turns:
        yield [
            answer if isinstance(answer, UnknownUser) else turn.encode(query, answer)
            for query, answer in zip(turn.queries, answers, strict=False)
        ]
