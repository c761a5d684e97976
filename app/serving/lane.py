"""A lane of the batcher: one thread, and the turns that wait for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeAlias

from app.errors import Overloaded, UnknownUser
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Recommendation

Encode: TypeAlias = Callable[[Query, Recommendation], bytes]
# The encoded answer to each query, or the error in its place.
Encoded: TypeAlias = list[bytes | UnknownUser]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
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


class Lane:
    """Answers turns in the order of their arrival, several together.

    Opened, used and closed on one event loop.

    Args:
        name: of the thread.
        most_weight: turns of this weight in all are answered together; a heavier one alone.
        wait_seconds: how long a turn may wait before it begins.

    Attributes:
        waiting: how many turns wait or are being answered; changed on the event loop only.
    """

    def __init__(self, name: str, *, most_weight: int, wait_seconds: float) -> None:
        self._most_weight = most_weight
        self._wait_seconds = wait_seconds
        self.waiting = 0
        self._loop = asyncio.get_running_loop()
        self._came: SimpleQueue[Turn | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, turn: Turn) -> None:
        """Takes a turn."""
        self.waiting += 1
        self._came.put(turn)

    def finish(self) -> None:
        """Ends the thread after all turns that were given."""
        self._came.put(None)

    def join(self, seconds: float) -> None:
        """Waits until the thread has ended, for ``seconds`` at most."""
        self._thread.join(seconds)

    def waited_too_long(self) -> Overloaded:
        """Returns the error of a request that did not begin in time."""
        return Overloaded(
            f"this request has waited {self._wait_seconds} s for live scoring, as long as "
            "ENCORE_LIVE_WAIT_SECONDS allows; ask again later"
        )

    def _run(self) -> None:
        turns: deque[Turn] = deque()
        while self._receive(turns) or turns:
            self._score(self._next(turns))

    def _receive(self, turns: deque[Turn]) -> bool:
        """Takes the turns that have arrived, and waits if there are none; False after closing."""
        with suppress(Empty):
            while (turn := self._came.get(block=not turns)) is not None:
                turns.append(turn)
            self._came.put(None)  # for the next call, if turns are left
            return False
        return True

    def _next(self, turns: deque[Turn]) -> list[Turn]:
        taken, weight = [], 0
        while turns and weight < self._most_weight:
            taken.append(turns.popleft())
            weight += taken[-1].weight
        return taken

    def _score(self, turns: Sequence[Turn]) -> None:
        now = time.monotonic()
        # Waiting turns may have different recommenders: another situation came into service.
        by_recommender: defaultdict[int, list[Turn]] = defaultdict(list)
        results: dict[Turn, Encoded | Exception] = {}
        for turn in turns:
            if turn.future.cancelled():
                results[turn] = []
            elif turn.expires_at < now:
                results[turn] = self.waited_too_long()
            else:
                by_recommender[id(turn.recommender)].append(turn)
        for together in by_recommender.values():
            results.update(zip(together, _answers(together), strict=True))
        with suppress(RuntimeError):  # the loop is closed: no request waits
            self._loop.call_soon_threadsafe(self._deliver, results)

    def _deliver(self, results: dict[Turn, Encoded | Exception]) -> None:
        self.waiting -= len(results)
        for turn, result in results.items():
            if turn.future.done():
                continue  # cancelled: no request waits
            if isinstance(result, Exception):
                turn.future.set_exception(result)
            else:
                turn.future.set_result(result)


def _answers(turns: Sequence[Turn]) -> list[Encoded | Exception]:
    """Answers turns of one recommender; if one fails, each alone, so that only that one fails."""
    try:
        return list(_encoded(turns))
    except Exception as error:
        if len(turns) == 1:
            return [error]
    return [result for turn in turns for result in _answers([turn])]


def _encoded(turns: Sequence[Turn]) -> Iterator[Encoded]:
    queries = [query for turn in turns for query in turn.queries]
    answers = iter(turns[0].recommender.attempt_many(queries))
    for turn in turns:
        yield [
            answer if isinstance(answer, UnknownUser) else turn.encode(query, answer)
            for query, answer in zip(turn.queries, answers, strict=False)
        ]
