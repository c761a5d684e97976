"""Journals for tests, and helpers that several tests share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.model import Model
from app.model.watermark import Watermark
from app.serving.journal.journal import Journal
from app.store.address import open_store
from app.store.deadlines import Deadlines
from app.store.interface import Outcome, PlayedArtist
from app.store.sqlite import SqliteEventStore
from tests.builders import interactions_of, small_model
from tests.postgres import PostgresServer

T = TypeVar("T")
RULES = EventRules()
PATIENCE = 30.0
SOON = Deadlines(read=0.5, write=1)


@asynccontextmanager
async def opened(path: Path, rules: EventRules = RULES) -> AsyncIterator[Journal]:
    journal = Journal(partial(SqliteEventStore, path), rules)
    await asyncio.to_thread(journal.start)
    try:
        yield journal
    finally:
        await journal.close()


def run(path: Path, use: Callable[[Journal], Awaitable[T]], rules: EventRules = RULES) -> T:
    async def main() -> T:
        async with opened(path, rules) as journal:
            return await use(journal)

    return asyncio.run(main())


def run_beside_a_server(
    use: Callable[[Journal, PostgresServer], Awaitable[None]], deadlines: Deadlines | None = None
) -> None:
    """Runs a coroutine on a journal in PostgreSQL, whose server may be stopped meanwhile."""
    server = PostgresServer()
    url = server.new_database()
    deadlines = deadlines or Deadlines()

    async def main() -> None:
        opening = partial(open_store, url, deadlines=deadlines)
        journal = Journal(opening, RULES, deadlines=deadlines)
        await asyncio.to_thread(journal.start)
        try:
            await use(journal, server)
        finally:
            await journal.close()

    try:
        asyncio.run(main())
    finally:
        server.remove()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


def units(journal_activity: object) -> dict[str, float]:
    return dict(getattr(journal_activity, "units", {}))


def learned_by(users: list[str], watermark: Watermark | None) -> Model:
    """A model of some users that has read a store."""
    plays = [[1, 0, 1], [0, 1, 1]]
    return replace(
        small_model(interactions_of(plays, user_ids=users), factors=2), watermark=watermark
    )


class Hanging(SqliteEventStore):
    """A store on a disk that hangs while it is told so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.goes_on = threading.Event()
        self.goes_on.set()

    def events_of(
        self, user_id: str, *, limit: int, before: int | None = None
    ) -> list[StoredEvent]:
        self.goes_on.wait()
        return super().events_of(user_id, limit=limit, before=before)

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        self.goes_on.wait()
        return super().played_since(since, by_plays=by_plays, limit=limit)

    def append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        self.goes_on.wait()
        return super().append(events, received_at)

    def last_sequence(self) -> int:
        self.goes_on.wait()
        return super().last_sequence()


async def hangs(path: Path, deadlines: Deadlines) -> tuple[Journal, Hanging]:
    """Returns a journal on a store that hangs from now on."""
    journal = Journal(partial(Hanging, path), RULES, deadlines=deadlines)
    await asyncio.to_thread(journal.start)
    await journal.append([Event("u", "a")])
    store = cast(Hanging, journal.store)
    store.goes_on.clear()
    return journal, store
