from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.serving.journal.journal import Journal
from app.store.deadlines import Deadlines
from app.store.interface import EventStore
from tests.app.serving.journal.harness import (
    PATIENCE,
    RULES,
    SOON,
    eventually,
    hangs,
    run,
    run_beside_a_server,
    units,
)
from tests.leftovers import assert_nothing_is_left
from tests.postgres import PostgresServer


def test_a_user_without_events_is_not_touched(path: Path) -> None:
    async def use(journal: Journal) -> None:
        assert not journal.stamps.is_touched("u")
        assert await journal.activity_of("u", None) is None
        await journal.append([Event("u", "a")])
        assert journal.stamps.is_touched("u")
        assert not journal.stamps.is_touched("v")
        assert await journal.activities_of(["v", "u", "v"], None) == [
            None,
            await journal.activity_of("u", None),
            None,
        ]

    run(path, use)


@pytest.mark.slow
def test_starting_and_closing_leaves_nothing_open(path: Path) -> None:
    async def use(journal: Journal) -> None:
        for artist in "abc":
            await journal.append([Event("u", artist)])
            await journal.activity_of("u", None)

    assert_nothing_is_left(lambda: run(path, use), times=5)


def test_a_journal_that_cannot_be_started_can_be_closed() -> None:
    def fail() -> EventStore:
        raise ValueError("nobody expects that")

    async def main() -> None:
        journal = Journal(fail, RULES)
        with pytest.raises(ValueError, match="nobody expects that"):
            await asyncio.to_thread(journal.start)
        await journal.close()

    asyncio.run(main())


@pytest.mark.slow
def test_no_question_to_a_frozen_postgresql_hangs_and_events_count_again_when_it_goes_on() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a"), Event("v", "a")])
        known = await journal.activity_of("u", None)
        with server.frozen():
            async with asyncio.timeout(PATIENCE):
                assert await journal.activity_of("v", None) is None
                assert await journal.activity_of("u", None) is known
                assert {trouble.reason for trouble in journal.troubles} <= {"slow", "unreachable"}
                for question in (
                    journal.append([Event("u", "b")]),
                    journal.events_of("u", limit=9, before=None),
                    journal.played_in_days(7, by_plays=False, limit=5),
                    journal.erase("u"),
                    journal.set_available("a", is_available=False),
                    journal.append([Event("u", "c")]),
                ):
                    with pytest.raises(StoreUnavailable):
                        await question
                assert len(journal.troubles) == 2
        await eventually(lambda: not journal.troubles)
        await journal.append([Event("u", "d")])
        activity = await journal.activity_of("u", None)
        assert {"a", "d"} <= units(activity).keys() <= {"a", "b", "d"}
        assert units(await journal.activity_of("v", None)) == {"a": 1.0}

    run_beside_a_server(use, SOON)


@pytest.mark.slow
def test_a_journal_ends_while_everything_it_does_hangs() -> None:
    before = set(threading.enumerate())

    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a")])
        server.freeze()
        hanging = [
            asyncio.ensure_future(question)
            for question in (
                journal.activity_of("u", None),
                journal.append([Event("u", "b")]),
                journal.erase("u"),
                *(journal.played_in_days(day, by_plays=False, limit=5) for day in range(1, 5)),
            )
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await journal.close()
            await asyncio.gather(*hanging, return_exceptions=True)

    run_beside_a_server(use, Deadlines(read=3600, write=3600))
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("store-")}


@pytest.mark.slow
def test_a_disk_that_hangs_blocks_no_call_and_refused_events_are_not_written_later(
    path: Path,
) -> None:
    async def main() -> None:
        journal, store = await hangs(path, SOON)
        try:
            async with asyncio.timeout(PATIENCE):
                first = asyncio.ensure_future(journal.append([Event("u", "begun")]))
                await asyncio.sleep(0.1)
                second = asyncio.ensure_future(journal.append([Event("u", "waiting")]))
                assert await journal.activity_of("u", None) is None
                with pytest.raises(StoreUnavailable, match="ENCORE_STORE_READ_SECONDS"):
                    await journal.events_of("u", limit=9, before=None)
                for appending in (first, second):
                    with pytest.raises(StoreUnavailable, match="ENCORE_STORE_WRITE_SECONDS"):
                        await appending
                with pytest.raises(StoreUnavailable, match="ENCORE_STORE_WRITE_SECONDS"):
                    await journal.append([Event("u", "refused at once")])
            assert journal.waiting == 0
        finally:
            store.goes_on.set()
        await eventually(lambda: not journal.troubles)
        await journal.append([Event("u", "d")])
        assert units(await journal.activity_of("u", None)).keys() == {"a", "begun", "d"}
        await journal.close()

    asyncio.run(main())


@pytest.mark.slow
def test_a_journal_on_a_disk_that_hangs_can_be_closed(path: Path) -> None:
    async def main() -> None:
        journal, store = await hangs(path, SOON)
        asking = asyncio.ensure_future(journal.append([Event("u", "b")]))
        async with asyncio.timeout(PATIENCE):
            await journal.close()
            with pytest.raises(StoreUnavailable):
                await asking
        store.goes_on.set()

    asyncio.run(main())
