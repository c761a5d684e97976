"""Scores requests together, on one thread beside the event loop.

The requests that arrive while the thread is busy are its next batch, so no request waits for a
batch to fill. Requests are taken in the order of their arrival, except heavy turns (long lists,
requests with many queries): a batch holds at most one of them, so that short requests do not wait
for many. The number of waiting requests and their waiting time are bounded; the rest is refused,
after a short delay.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from app.errors import Overloaded, UnknownUser
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Recommendation

# The weight of a full batch: a larger one is hardly faster for each request, and others would wait.
_BATCH: Final = 32
# A turn of at least this weight is heavy.
_HEAVY: Final = 8
# A list of this many items takes about twice the time of a short one.
_LIST_UNIT: Final = 256
# How many requests of several turns are answered at a time. Their answers stay in memory until the
# last turn; the largest has some 10 MB.
_LONG_REQUESTS: Final = 4
# The time between two refusals, at which they take some hundredths of a worker's time; and the
# longest time that a refusal is delayed.
_BETWEEN_REFUSALS: Final = 1 / 150
_LEAST_HOLD_SECONDS: Final = 0.1
_LONGEST_HOLD_SECONDS: Final = 8.0
_CLOSE_SECONDS: Final = 5.0

Encode: TypeAlias = Callable[[Query, Recommendation], bytes]
# The encoded answer to each query, or the error in its place.
Encoded: TypeAlias = list[bytes | UnknownUser]


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """Queries of one request that are answered together.

    Attributes:
        recommender: the recommender that answers.
        queries: the queries.
        encode: makes bytes of an answer.
        weight: about how many short lists take the same time.
        expires_at: the time of the monotonic clock after which it is not begun.
        future: gets the answers; the request waits for it.
    """

    recommender: Recommender
    queries: Sequence[Query]
    encode: Encode
    weight: int
    expires_at: float
    future: asyncio.Future[Encoded]


class Batcher:
    """Answers queries on a thread of its own.

    Opened, used and closed on one event loop.

    Args:
        size: how many turns may wait at once.
        wait_seconds: how long a turn may wait before it begins.
    """

    def __init__(self, *, size: int, wait_seconds: float) -> None:
        self._size = size
        self._wait_seconds = wait_seconds
        # These are changed on the event loop only.
        self._waiting = self._held = 0
        self._is_closed = False
        self._long_requests = asyncio.Semaphore(_LONG_REQUESTS)
        self._loop = asyncio.get_running_loop()
        self._came: SimpleQueue[_Turn | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    async def answer(
        self, recommender: Recommender, queries: Sequence[Query], encode: Encode
    ) -> Encoded:
        """Answers queries, each exactly as it would be answered alone.

        Cancelling this call, for example when the client has gone, drops turns that have not begun.

        Args:
            recommender: the recommender that answers all queries.
            queries: any number of queries.
            encode: makes bytes of an answer; runs on the batcher's thread.

        Returns:
            For each query the bytes, or the error in their place.

        Raises:
            Overloaded: too many requests are waiting, or this one has waited too long.
        """
        if self._waiting >= self._size:
            await self._hold_back()
            raise Overloaded(
                f"{self._size} requests were waiting for live scoring already, as many as "
                "ENCORE_LIVE_QUEUE allows; ask again later"
            )
        expires_at = time.monotonic() + self._wait_seconds
        parts = list(_parts(queries))
        if len(parts) == 1:
            return await self._take_turn(recommender, queries, encode, expires_at)
        encoded: Encoded = []
        async with self._as_long_request():
            for part in parts:
                encoded += await self._take_turn(recommender, part, encode, expires_at)
                expires_at = float("inf")  # a request that has begun is finished
        return encoded

    async def close(self) -> None:
        """Ends the thread after all turns that were given; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._came.put(None)
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    async def _take_turn(
        self,
        recommender: Recommender,
        queries: Sequence[Query],
        encode: Encode,
        expires_at: float,
    ) -> Encoded:
        if self._is_closed:
            raise Overloaded("the service is ending; ask again when it is back")
        weight = sum(map(_weight, queries))
        future: asyncio.Future[Encoded] = self._loop.create_future()
        self._waiting += 1
        self._came.put(_Turn(recommender, queries, encode, weight, expires_at, future))
        return await future

    @asynccontextmanager
    async def _as_long_request(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await asyncio.wait_for(self._long_requests.acquire(), self._wait_seconds)
        except TimeoutError:
            raise Overloaded(self._waited_too_long()) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._long_requests.release()

    async def _hold_back(self) -> None:
        """Waits before a refusal.

        Refusing costs nearly as much time as answering. Without the wait, clients that ask again at
        once would take that time from the requests that are being answered.
        """
        seconds = self._held * _BETWEEN_REFUSALS
        if seconds > _LONGEST_HOLD_SECONDS:
            seconds = random.uniform(_LEAST_HOLD_SECONDS, _LONGEST_HOLD_SECONDS)
        self._held += 1
        try:
            await asyncio.sleep(max(seconds, _LEAST_HOLD_SECONDS))
        finally:
            self._held -= 1

    def _run(self) -> None:
        light: deque[_Turn] = deque()
        heavy: deque[_Turn] = deque()
        while self._receive(light, heavy) or light or heavy:
            self._score(_batch(light, heavy))

    def _receive(self, light: deque[_Turn], heavy: deque[_Turn]) -> bool:
        """Sorts the turns that have arrived, and waits if there are none; False after closing."""
        with suppress(Empty):
            while (turn := self._came.get(block=not (light or heavy))) is not None:
                (heavy if turn.weight >= _HEAVY else light).append(turn)
            self._came.put(None)  # for the next call, if turns are left
            return False
        return True

    def _score(self, turns: Sequence[_Turn]) -> None:
        now = time.monotonic()
        # Waiting turns may have different recommenders: another situation came into service.
        by_recommender: defaultdict[int, list[_Turn]] = defaultdict(list)
        results: dict[_Turn, Encoded | Exception] = {}
        for turn in turns:
            if turn.future.cancelled():
                results[turn] = []
            elif turn.expires_at < now:
                results[turn] = Overloaded(self._waited_too_long())
            else:
                by_recommender[id(turn.recommender)].append(turn)
        for together in by_recommender.values():
            results.update(zip(together, _answers(together), strict=True))
        with suppress(RuntimeError):  # the loop is closed: no request waits
            self._loop.call_soon_threadsafe(self._deliver, results)

    def _deliver(self, results: dict[_Turn, Encoded | Exception]) -> None:
        self._waiting -= len(results)
        for turn, result in results.items():
            if turn.future.done():
                continue  # cancelled: no request waits
            if isinstance(result, Exception):
                turn.future.set_exception(result)
            else:
                turn.future.set_result(result)

    def _waited_too_long(self) -> str:
        return (
            f"this request has waited {self._wait_seconds} s for live scoring, as long as "
            "ENCORE_LIVE_WAIT_SECONDS allows; ask again later"
        )


def _weight(query: Query) -> int:
    return 1 + (query.offset + query.n) // _LIST_UNIT


def _parts(queries: Sequence[Query]) -> Iterator[Sequence[Query]]:
    """Splits the queries of a request into turns."""
    start = weight = 0
    for place, query in enumerate(queries):
        if place > start and weight + _weight(query) > _BATCH:
            yield queries[start:place]
            start, weight = place, 0
        weight += _weight(query)
    yield queries[start:]


def _batch(light: deque[_Turn], heavy: deque[_Turn]) -> list[_Turn]:
    """Takes the turns that are next."""
    turns, weight = [], 0
    while light and weight < _BATCH:
        turns.append(light.popleft())
        weight += turns[-1].weight
    if heavy:
        turns.append(heavy.popleft())
    return turns


def _answers(turns: Sequence[_Turn]) -> list[Encoded | Exception]:
    """Answers turns of one recommender; if one fails, each alone, so that only that one fails."""
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
