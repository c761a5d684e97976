from __future__ import annotations

import asyncio

import pytest

from app.errors import StoreUnavailable
from app.serving.journal.waiting import Patience, in_time


def test_an_answer_that_does_not_come_in_time_is_cancelled() -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await in_time(future, 0)
        assert future.cancelled()

    asyncio.run(main())


def test_an_answer_that_is_there_counts_however_late_it_is_looked_at() -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(3)
        assert await in_time(future, 0) == 3

    asyncio.run(main())


def test_patience_ends_for_all_that_is_still_awaited() -> None:
    error = StoreUnavailable("slow", "no answer")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
        awaited, answered, forgotten = futures
        patience = Patience()
        for future in futures:
            patience.add(future)
        answered.set_result(3)
        patience.discard(forgotten)
        await asyncio.to_thread(patience.end, error)
        with pytest.raises(StoreUnavailable):
            await in_time(awaited, None)
        assert answered.result() == 3
        assert not forgotten.done()

    asyncio.run(main())


def test_patience_may_end_after_the_loop() -> None:
    async def main() -> Patience:
        return Patience()

    asyncio.run(main()).end(StoreUnavailable("slow", "no answer"))
