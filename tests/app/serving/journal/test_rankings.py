from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.serving.journal.journal import Journal
from tests.app.serving.journal.harness import (
    PATIENCE,
    SOON,
    eventually,
    hangs,
    run,
)


@pytest.mark.slow
def test_a_ranking_is_counted_anew_after_an_event_unless_that_takes_long(path: Path) -> None:
    async def use(journal: Journal) -> None:
        for number in range(3):
            await journal.append([Event(f"u{number}", "a")])
            await asyncio.sleep(0.3)
            (played,) = await journal.played_in_days(7, by_plays=False, limit=5)
            assert (played.artist_id, played.listeners) == ("a", number + 1)

    run(path, use)


@pytest.mark.slow
def test_long_questions_end_when_the_store_does_not_answer(path: Path) -> None:
    async def main() -> None:
        journal, store = await hangs(path, SOON)
        rankings = [
            asyncio.ensure_future(journal.played_in_days(day, by_plays=False, limit=5))
            for day in (1, 7)
        ]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StoreUnavailable):
                await journal.events_of("u", limit=9, before=None)
            for ranking in rankings:
                with pytest.raises(StoreUnavailable, match="ENCORE_STORE_READ_SECONDS"):
                    await ranking
        store.goes_on.set()
        await eventually(lambda: not journal.troubles)
        assert len(await journal.played_in_days(7, by_plays=False, limit=5)) == 1
        await journal.close()

    asyncio.run(main())
