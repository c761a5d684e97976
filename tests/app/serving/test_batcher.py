from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from app.errors import Overloaded, UnknownUser
from app.events.activity import Activity
from app.model.model import Model
from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Recommendation, Strategy
from app.serving import batcher as batcher_module
from app.serving.batcher import Batcher
from app.serving.encoding import encode_list

PATIENCE = 30.0
MANY = [f"unknown-{number}" for number in range(1000)]


class Held(Recommender):
    """A recommender that waits for a signal before each batch, and records its queries."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.asked: list[list[str | None]] = []
        self.begun = threading.Semaphore(0)
        self.may_go = threading.Semaphore(0)

    def attempt_many(self, queries: Sequence[Query]) -> list[Recommendation | UnknownUser]:
        self.asked.append([query.user_id for query in queries])
        self.begun.release()
        assert self.may_go.acquire(timeout=PATIENCE)
        return super().attempt_many(queries)


def live(user_id: str, n: int = 5) -> Query:
    return Query(user_id, n, include_seen=True)


def run(
    work: Callable[[Batcher], Awaitable[None]], *, size: int = 100, wait_seconds: float = PATIENCE
) -> None:
    async def whole() -> None:
        batcher = Batcher(size=size, wait_seconds=wait_seconds)
        try:
            await work(batcher)
        finally:
            await batcher.close()

    asyncio.run(whole())


async def begin(held: Held, batcher: Batcher, user_id: str) -> asyncio.Task[list[bytes]]:
    """Asks for a user's list, and returns once the thread is busy with it."""
    task = ask(held, batcher, user_id)
    assert await asyncio.to_thread(held.begun.acquire, timeout=PATIENCE)
    return task


def ask(recommender: Recommender, batcher: Batcher, *user_ids: str) -> asyncio.Task[list[bytes]]:
    async def answer() -> list[bytes]:
        encode = partial(encode_list, recommender.model)
        queries = [live(user_id) for user_id in user_ids]
        answers = await batcher.answer(recommender, queries, encode)
        return [one for one in answers if isinstance(one, bytes)]

    return asyncio.create_task(answer())


async def until_waiting(batcher: Batcher, turns: int) -> None:
    """Returns once this many turns wait for the threads, or are being answered."""
    async with asyncio.timeout(PATIENCE):
        while batcher._light.waiting + batcher._heavy.waiting < turns:
            await asyncio.sleep(0.001)


def alone(model: Model, user_id: str) -> bytes:
    query = live(user_id)
    return encode_list(model, query, Recommender(model).recommend(query))


def test_waiting_queries_are_answered_together_and_each_as_alone(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        others = [ask(held, batcher, f"u{number}") for number in range(31, 38)]
        await until_waiting(batcher, 8)
        held.may_go.release(2)
        assert await first == [alone(model, "u30")]
        for number, task in enumerate(others, start=31):
            assert await task == [alone(model, f"u{number}")]
        assert held.asked == [["u30"], [f"u{number}" for number in range(31, 38)]]

    run(work)


def deep(user_id: str) -> list[Query]:
    return [Query(user_id, 500, 10_000, include_seen=True)]


def long_history(model: Model) -> list[Query]:
    known = [(model.items.id(item), 1.0) for item in range(len(model.items))]
    return [Query(listens=known * (500 // len(known) + 1))]


@pytest.mark.parametrize(
    "heavy",
    [
        lambda _: [live("u31")] * 100,
        lambda _: deep("u31"),
        long_history,
        lambda _: [Query("u31", exclude=["i1"] * 1000, include_seen=True)],
        lambda _: [Query("u31", activity=Activity(units={"i1": 1.0}, seen=frozenset(MANY)))],
    ],
    ids=["many queries", "far down", "many listens", "many excluded", "many events"],
)
def test_short_lists_wait_for_no_heavy_turn(
    model: Model, heavy: Callable[[Model], list[Query]]
) -> None:
    async def work(batcher: Batcher) -> None:
        held, encode = Held(model), partial(encode_list, model)
        queries = heavy(model)
        task = asyncio.create_task(batcher.answer(held, queries, encode))
        assert await asyncio.to_thread(held.begun.acquire, timeout=PATIENCE)
        assert await ask(Recommender(model), batcher, "u32") == [alone(model, "u32")]
        assert not task.done()
        held.may_go.release(10)
        expected = Recommender(model).recommend_many(queries)
        assert await task == [
            encode(query, answer) for query, answer in zip(queries, expected, strict=True)
        ]

    run(work)


def test_one_with_many_queries_takes_several_turns(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        held.may_go.release(10)
        assert await ask(held, batcher, *["u31"] * 100) == [alone(model, "u31")] * 100
        assert held.asked == [["u31"] * 32] * 3 + [["u31"] * 4]

    run(work)


def test_heavy_turns_are_answered_one_by_one(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held, encode = Held(model), partial(encode_list, model)
        queries = [deep(f"u{user}") for user in (31, 32, 33)]
        heavy = [asyncio.create_task(batcher.answer(held, one, encode)) for one in queries]
        await until_waiting(batcher, 3)
        held.may_go.release(10)
        await asyncio.gather(*heavy)
        assert held.asked == [["u31"], ["u32"], ["u33"]]

    run(work)


def test_short_lists_are_admitted_however_many_heavy_turns_wait(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held, encode = Held(model), partial(encode_list, model)
        heavy = [asyncio.create_task(batcher.answer(held, deep("u31"), encode)) for _ in range(2)]
        await until_waiting(batcher, 2)
        with pytest.raises(Overloaded, match="ENCORE_LIVE_QUEUE"):
            await batcher.answer(held, deep("u31"), encode)
        assert await ask(Recommender(model), batcher, "u32") == [alone(model, "u32")]
        held.may_go.release(10)
        await asyncio.gather(*heavy)

    run(work, size=2)


def test_few_requests_of_several_turns_are_under_way_at_a_time(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        long = [ask(held, batcher, *[f"u{number}"] * 40) for number in range(30, 36)]
        await until_waiting(batcher, 6)
        held.may_go.release(100)
        for number, task in enumerate(long, start=30):
            assert await task == [alone(model, f"u{number}")] * 40
        # The first four take turns before the others begin.
        begun = [asked[0] for asked in held.asked]
        assert begun[:4] == ["u30", "u31", "u32", "u33"]
        assert begun.index("u34") > begun.index("u30", 1)

    run(work)


@pytest.mark.slow
def test_a_request_of_several_turns_that_waits_too_long_is_refused(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        long = [ask(held, batcher, *["u30"] * 40) for _ in range(5)]
        with pytest.raises(Overloaded, match="ENCORE_LIVE_WAIT_SECONDS"):
            await long[4]
        held.may_go.release(100)
        done = await asyncio.gather(*long[:4], return_exceptions=True)
        assert len(done[0]) == 40  # type: ignore[arg-type]

    run(work, wait_seconds=1.0)


@pytest.mark.slow
def test_no_more_wait_than_may(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "_LEAST_HOLD_SECONDS", 2.0)

    async def work(batcher: Batcher) -> None:
        held = Held(model)
        waiting = [await begin(held, batcher, "u30")]
        waiting += [ask(held, batcher, "u31") for _ in range(2)]
        await asyncio.sleep(0)
        refused = [ask(held, batcher, "u32") for _ in range(3)]
        await asyncio.sleep(0)
        held.may_go.release(2)
        await asyncio.gather(*waiting)
        # A refusal is held back, but nobody has to wait for that.
        assert not any(task.done() for task in refused)
        # There is room again at once.
        held.may_go.release(1)
        assert await ask(held, batcher, "u32") == [alone(model, "u32")]
        for task in refused:
            with pytest.raises(Overloaded, match=r"3 requests were waiting.*ENCORE_LIVE_QUEUE"):
                await task
        assert [len(asked) for asked in held.asked] == [1, 2, 1]

    run(work, size=3)


def test_refusals_come_at_a_pace(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "_LEAST_HOLD_SECONDS", 0.0)
    monkeypatch.setattr(batcher_module, "_LONGEST_HOLD_SECONDS", 0.2)
    monkeypatch.setattr(batcher_module, "_BETWEEN_REFUSALS", 0.01)

    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        loop, refused_after = asyncio.get_running_loop(), list[float]()
        start = loop.time()

        async def refused() -> None:
            with pytest.raises(Overloaded):
                await ask(held, batcher, "u31")
            refused_after.append(loop.time() - start)

        gone = [asyncio.create_task(refused()) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        # Clients that have left delay no other; the others are held by their place in the queue.
        await asyncio.gather(*(refused() for _ in range(20)))
        assert all(after >= 0.01 * place for place, after in enumerate(sorted(refused_after)))
        held.may_go.release(1)
        await first

    run(work, size=1)


@pytest.mark.slow
def test_a_request_that_waited_too_long_is_not_scored(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        late = ask(held, batcher, "u31")
        await asyncio.sleep(1.1)
        held.may_go.release(1)
        assert await first == [alone(model, "u30")]
        with pytest.raises(Overloaded, match=r"waited 1\.0 s.*ENCORE_LIVE_WAIT_SECONDS"):
            await late
        assert held.asked == [["u30"]]

    run(work, wait_seconds=1.0)


@pytest.mark.slow
def test_a_request_that_has_begun_is_finished(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        many = ask(held, batcher, *["u31"] * 70)
        for _ in range(3):
            assert await asyncio.to_thread(held.begun.acquire, timeout=PATIENCE)
            await asyncio.sleep(0.6)
            held.may_go.release(1)
        assert len(await many) == 70

    run(work, wait_seconds=1.0)


def test_a_request_of_a_client_that_has_gone_is_not_scored(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        gone, stays = ask(held, batcher, "u31"), ask(held, batcher, "u32")
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        held.may_go.release(2)
        assert await first == [alone(model, "u30")]
        assert await stays == [alone(model, "u32")]
        assert held.asked == [["u30"], ["u32"]]
        # Its place is free again.
        held.may_go.release(1)
        assert await ask(held, batcher, "u33") == [alone(model, "u33")]

    run(work, size=3)


def test_requests_that_want_different_models_get_them(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        other = Recommender(model)
        asked = [ask(held, batcher, "u31"), ask(other, batcher, "u31"), ask(held, batcher, "u32")]
        await asyncio.sleep(0)
        held.may_go.release(2)
        await asyncio.gather(first, *asked)
        assert held.asked == [["u30"], ["u31", "u32"]]

    run(work)


def test_requests_of_different_situations_stay_with_theirs(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        first = await begin(held, batcher, "u30")
        best = Recommender(model).recommend(live("u31")).items[0]
        gone = Availability.of(1, [model.items.id(best)], model.items)
        changed = held.succeeded_by(held.situation.with_availability(gone))
        asked = [ask(held, batcher, "u31"), ask(changed, batcher, "u31")]
        await until_waiting(batcher, 3)
        held.may_go.release(2)
        await first
        before, after = [await task for task in asked]
        assert before == [alone(model, "u31")]
        assert after == [encode_list(model, live("u31"), changed.recommend(live("u31")))]
        assert before != after

    run(work)


def test_a_refusal_and_a_failure_concern_only_their_own_request(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        encode = partial(encode_list, model)
        first = await begin(held, batcher, "u30")
        unknown = Query("nobody", strategy=Strategy.ALS, include_seen=True)
        absurd = Query("u30", listens=[("i20", -1.0)])
        tasks = [
            asyncio.create_task(batcher.answer(held, queries, encode))
            for queries in ([live("u31"), unknown], [absurd], [live("u32")])
        ]
        await asyncio.sleep(0)
        held.may_go.release(10)
        await first
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], list)
        assert results[0][0] == alone(model, "u31")
        assert isinstance(results[0][1], UnknownUser)
        assert isinstance(results[1], ValueError)
        assert results[2] == [alone(model, "u32")]

    run(work)


def test_a_closed_batcher_refuses_and_may_be_closed_again(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        await batcher.close()
        await batcher.close()
        with pytest.raises(Overloaded):
            await ask(Recommender(model), batcher, "u30")

    before = threading.active_count()
    run(work)
    assert threading.active_count() == before


def test_closing_waits_for_turns_that_were_taken(model: Model) -> None:
    async def work(batcher: Batcher) -> None:
        asked = [ask(Recommender(model), batcher, f"u{number}") for number in range(30, 40)]
        await asyncio.sleep(0)
        await batcher.close()
        assert all([len(await task) == 1 for task in asked])

    run(work)


def test_closing_refuses_the_turns_that_have_not_begun(model: Model) -> None:
    # Was wrong: the rest of a batch was put behind the signal to end, and waited for ever.
    async def work(batcher: Batcher) -> None:
        held = Held(model)
        many = ask(held, batcher, *["u31"] * 100)
        assert await asyncio.to_thread(held.begun.acquire, timeout=PATIENCE)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        held.may_go.release(10)
        with pytest.raises(Overloaded, match="ending"):
            await asyncio.wait_for(many, PATIENCE)
        await closing

    run(work)


@pytest.mark.slow
def test_a_model_that_was_replaced_is_let_go(model: Model) -> None:
    # Was wrong: the thread kept the last turn, and so its model, until the next one came.
    async def work(batcher: Batcher) -> None:
        recommender = Recommender(replace(model, version="old"))
        await ask(recommender, batcher, "u30")
        gone = weakref.ref(recommender.model)
        del recommender
        for _ in range(100):
            await asyncio.sleep(0.05)
            gc.collect()
            if gone() is None:
                return
        raise AssertionError("the model is still there")

    run(work)
