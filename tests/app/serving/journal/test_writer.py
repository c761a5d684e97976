from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import Overloaded
from app.events.event import Event
from app.serving.journal.journal import Journal
from app.store.clock import now
from app.store.deadlines import Deadlines
from app.store.interface import Outcome, Status
from app.store.sqlite import SqliteEventStore
from tests.app.serving.journal.harness import (
    hangs,
    opened,
    run,
    units,
)


def test_requests_at_once_are_answered_each_with_their_own(path: Path) -> None:
    async def use(journal: Journal) -> list[list[Outcome]]:
        batches = [[Event("u", f"{batch}.{number}") for number in range(3)] for batch in range(50)]
        return await asyncio.gather(*map(journal.append, batches))

    answers = run(path, use)
    sequences = [outcome.sequence for answer in answers for outcome in answer]
    assert sorted(sequences) == list(range(1, 151))
    with sqlite3.connect(path) as database:
        stored = dict(database.execute("SELECT sequence, CAST(artist_id AS TEXT) FROM events"))
    database.close()
    for batch, answer in enumerate(answers):
        expected = [f"{batch}.{number}" for number in range(3)]
        assert [stored[outcome.sequence] for outcome in answer] == expected


def test_a_repeated_event_is_noted_as_well(path: Path) -> None:
    """Its first sender may have been killed before it was."""

    async def use(journal: Journal) -> None:
        event = Event("u", "a", event_id="e")
        other = SqliteEventStore(path)
        other.append([event], now())
        other.close()
        assert [one.status for one in await journal.append([event])] == [Status.REPEATED]
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}

    run(path, use)


def test_no_more_events_wait_than_allowed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serving.journal.writer._MOST_WAITING", 5)

    async def use(journal: Journal) -> None:
        waiting = asyncio.create_task(journal.append([Event("u", str(one)) for one in range(4)]))
        await asyncio.sleep(0)
        assert journal.waiting == 4
        with pytest.raises(Overloaded, match="4 events were waiting"):
            await journal.append([Event("u", "x"), Event("u", "y")])
        assert len(await waiting) == 4
        assert journal.waiting == 0
        await journal.append([Event("u", "x"), Event("u", "y")])

    run(path, use)


def test_closing_writes_waiting_events_and_ends_all_threads(path: Path) -> None:
    before = set(threading.enumerate())

    async def main() -> list[Outcome]:
        async with opened(path) as journal:
            task = asyncio.create_task(journal.append([Event("u", "a")]))
            await asyncio.sleep(0)
        await journal.close()
        return await task

    assert [one.status for one in asyncio.run(main())] == [Status.STORED]
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("store-")}


def test_events_of_a_client_that_has_gone_are_written(path: Path) -> None:
    async def main() -> None:
        journal, store = await hangs(path, Deadlines(read=60, write=60))
        blocked = asyncio.ensure_future(journal.append([Event("u", "begun")]))
        left = asyncio.ensure_future(journal.append([Event("u", "left alone")]))
        await asyncio.sleep(0.1)
        left.cancel()
        store.goes_on.set()
        await blocked
        await journal.close()

    asyncio.run(main())
    with closing(SqliteEventStore(path)) as store:
        assert [one.event.artist_id for one in store.events_of("u", limit=9)] == [
            "left alone",
            "begun",
            "a",
        ]
