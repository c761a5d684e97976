"""Scores requests together, on two threads beside the event loop.

The requests that arrive while a thread is busy are its next batch, so no request waits for a batch
to fill. Heavy turns (long lists, long histories, many listens, many queries) have a lane of their
own, where they are answered one by one, so that short requests wait for none of them. In each lane
the number of waiting requests and their waiting time are bounded; the rest is refused, after a
short delay.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from app.errors import Overloaded
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from app.serving.lane import Encode, Encoded, Lane, Turn

# The weight of a full batch: a larger one is hardly faster for each request, and others would wait.
_BATCH: Final = 32
# A turn of at least this weight is heavy.
_HEAVY: Final = 8
# A list of this many items takes about twice the time of a short one; so does one that so many ids
# are sent with, and that of a history of so many artists, whether it is folded in or not.
_LIST_UNIT: Final = 256
_IDS_UNIT: Final = 64
_HISTORY_UNIT: Final = 1024
_FOLDED_UNIT: Final = 64
# How many requests of several turns are answered at a time. Their answers stay in memory until the
# last turn; the largest has some 10 MB.
_LONG_REQUESTS: Final = 4
# The time between two refusals, at which they take some hundredths of a worker's time; and the
# longest time that a refusal is delayed.
_BETWEEN_REFUSALS: Final = 1 / 150
_LEAST_HOLD_SECONDS: Final = 0.1
_LONGEST_HOLD_SECONDS: Final = 8.0
_CLOSE_SECONDS: Final = 5.0


class Batcher:
    """Answers queries on threads of its own.

    Opened, used and closed on one event loop.

    Args:
        size: how many turns may wait at once in each lane.
        wait_seconds: how long a turn may wait before it begins.
    """

    def __init__(self, *, size: int, wait_seconds: float) -> None:
        self._size = size
        self._wait_seconds = wait_seconds
        # How many refusals are held back.
        self._held = 0
        self._is_closed = False
        self._long_requests = asyncio.Semaphore(_LONG_REQUESTS)
        self._loop = asyncio.get_running_loop()
        self._light = Lane("batcher", most_weight=_BATCH, wait_seconds=wait_seconds)
        self._heavy = Lane("heavy-batcher", most_weight=1, wait_seconds=wait_seconds)

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
        weights = [_weight(recommender, query) for query in queries]
        lane = self._heavy if sum(weights) >= _HEAVY else self._light
        if lane.waiting >= self._size:
            await self._hold_back()
            raise Overloaded(
                f"{self._size} requests were waiting for live scoring already, as many as "
                "ENCORE_LIVE_QUEUE allows; ask again later"
            )
        expires_at = time.monotonic() + self._wait_seconds

        async def take_turn(part: slice) -> Encoded:
            if self._is_closed:
                raise Overloaded("the service is ending; ask again when it is back")
            future: asyncio.Future[Encoded] = self._loop.create_future()
            weight = sum(weights[part])
            lane.put(Turn(recommender, queries[part], encode, weight, expires_at, future))
            return await future

        parts = list(_parts(weights))
        if len(parts) == 1:
            return await take_turn(parts[0])
        encoded: Encoded = []
        async with self._as_long_request():
            for part in parts:
                encoded += await take_turn(part)
                expires_at = float("inf")  # a request that has begun is finished
        return encoded

    async def close(self) -> None:
        """Ends the threads after all turns that were given; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            for lane in (self._light, self._heavy):
                lane.finish()
            for lane in (self._light, self._heavy):
                await asyncio.to_thread(lane.join, _CLOSE_SECONDS)

    @asynccontextmanager
    async def _as_long_request(self) -> AsyncIterator[None]:
        self._heavy.waiting += 1
        try:
            await asyncio.wait_for(self._long_requests.acquire(), self._wait_seconds)
        except TimeoutError:
            raise self._heavy.waited_too_long() from None
        finally:
            self._heavy.waiting -= 1
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


def _weight(recommender: Recommender, query: Query) -> int:
    """Returns about how many short lists take the time of this one."""
    model, activity, listens = recommender.model, query.activity, query.listens or ()
    ids = len(query.exclude) + len(query.candidates or ()) + len(listens)
    is_folded = bool(listens)
    if activity is not None:
        ids += len(activity.seen) + len(activity.barred)
        is_folded = is_folded or not activity.only_hides
    user_index = None if query.user_id is None else model.users.index(query.user_id)
    history = 0 if user_index is None else len(model.user_items.row(user_index)[0])
    return (
        1
        + (query.offset + query.n) // _LIST_UNIT
        + ids // _IDS_UNIT
        + history // (_FOLDED_UNIT if is_folded else _HISTORY_UNIT)
    )


def _parts(weights: Sequence[int]) -> Iterator[slice]:
    """Splits the queries of a request into turns, given their weights."""
    start = weight = 0
    for place, its in enumerate(weights):
        if place > start and weight + its > _BATCH:
            yield slice(start, place)
            start, weight = place, 0
        weight += its
    yield slice(start, len(weights))
