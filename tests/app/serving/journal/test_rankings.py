from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from app.errors import Overloaded, StoreUnavailable
from app.events.event import Event
from app.serving.journal.journal import Journal
from app.store.deadlines import NO_DEADLINES
from app.store.interface import PlayedArtist
from app.store.sqlite import SqliteEventStore
from tests.app.serving.journal.harness import (
    PATIENCE,
    RULES,
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


def test_rankings_of_the_same_days_share_a_count_and_few_others_wait(path: Path) -> None:
    async def main() -> None:
        journal, store = await hangs(path, NO_DEADLINES)

        def ask(days: float, limit: int = 5) -> asyncio.Future[object]:
            return asyncio.ensure_future(journal.played_in_days(days, by_plays=False, limit=limit))

        # The same ranking, whatever part of it is wanted; and three more.
        waiting = [ask(1), *(ask(1, limit) for limit in range(6, 100)), ask(2), ask(3), ask(4)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="rankings"):
            await ask(5)
        waiting.append(ask(4))
        gone = ask(2)
        await asyncio.sleep(0)
        gone.cancel()
        store.goes_on.set()
        async with asyncio.timeout(PATIENCE):
            rankings = await asyncio.gather(*waiting)
            # There is room again.
            assert await ask(5) == rankings[0]
        assert all(ranking == rankings[0] for ranking in rankings)
        await journal.close()

    asyncio.run(main())


@pytest.mark.slow
def test_a_count_that_takes_too_long_is_no_trouble_of_the_store(path: Path) -> None:
    # Was wrong: a call for many days had the store count as failing, and lists ignored events.
    async def main() -> None:
        journal = Journal(partial(Counting, path), RULES, deadlines=SOON)
        await asyncio.to_thread(journal.start)
        await journal.append([Event("u", "a")])
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await journal.played_in_days(3650, by_plays=False, limit=5)
        assert not journal.troubles
        assert (await journal.events_of("u", limit=9, before=None))[0] == 1
        await journal.close()

    asyncio.run(main())


class Counting(SqliteEventStore):
    """A store that has so many events that it cannot count them before its deadline."""

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        with self._following() as connection:
            self._execute(
                connection,
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
                "SELECT count(*) FROM n",
            ).fetchall()
        raise AssertionError("it has counted")
