from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from app.artifacts.models_folder import ModelsFolder
from app.events.event_types import DEFAULT_RULES
from app.recommend.newcomers import Newcomer, Newcomers
from app.recommend.query import Query
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.serving.pinning import pin
from app.store.sqlite import SqliteEventStore


def using(
    models: Path, tmp_path: Path, use: Callable[[ModelFollower, Journal], Awaitable[None]]
) -> None:
    """Uses a model in service beside a journal."""

    async def main() -> None:
        follower = ModelFollower(ModelsFolder(models), poll_seconds=3600, verify_bytes=2**30)
        follower.start()
        journal = Journal(partial(SqliteEventStore, tmp_path / "encore.db"), DEFAULT_RULES)
        await asyncio.to_thread(journal.start)
        try:
            await use(follower, journal)
        finally:
            await journal.close()
            follower.close()

    asyncio.run(main())


def test_a_request_sees_the_availability_of_its_beginning(models: Path, tmp_path: Path) -> None:
    async def use(follower: ModelFollower, journal: Journal) -> None:
        before = await pin(follower, journal)
        best = before.recommend(Query("u30")).items[0]
        await journal.set_available(before.model.items.id(best), is_available=False)
        after = await pin(follower, journal)
        assert best in before.recommend(Query("u30")).items
        assert best not in after.recommend(Query("u30")).items
        # Put into service for all who come.
        assert follower.recommender is after
        assert await pin(follower, journal) is after

    using(models, tmp_path, use)


def test_newcomers_stay_when_an_artist_becomes_unavailable(models: Path, tmp_path: Path) -> None:
    async def use(follower: ModelFollower, journal: Journal) -> None:
        recommender = await pin(follower, journal)
        vector = recommender.model.user_factors[30]
        found = Newcomers.of(recommender.model, [Newcomer("new", "New", vector)])
        follower.in_service.update(recommender, lambda one: one.with_newcomers(found))
        await journal.set_available("i20", is_available=False)
        for pinned in (await pin(follower, journal), follower.recommender):
            assert pinned.newcomers is found
            assert pinned.availability.artists == {"i20"}

    using(models, tmp_path, use)


def test_concurrent_requests_all_see_a_change(models: Path, tmp_path: Path) -> None:
    async def use(follower: ModelFollower, journal: Journal) -> None:
        await journal.set_available("i20", is_available=False)
        pinned = await asyncio.gather(*(pin(follower, journal) for _ in range(5)))
        assert {one.availability.version for one in pinned} == {1}
        assert await pin(follower, journal) is follower.recommender

    using(models, tmp_path, use)
