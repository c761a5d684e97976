from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from app.errors import StoreUnavailable
from app.events import DEFAULT_NEWCOMER_RULES, DEFAULT_RULES, Event
from app.journal import Journal
from app.model_watcher import ModelWatcher
from app.restocker import Restocker
from app.store.sqlite import SqliteEventStore


class Faltering(SqliteEventStore):
    """A store that cannot be asked one time who was erased."""

    has_faltered = False

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        if not self.has_faltered and self.last_sequence():
            self.has_faltered = True
            raise StoreUnavailable("unreachable", "connection reset")
        return super().erased_after(after)


def test_a_new_artist_is_not_forgotten_when_the_store_falters(models: Path, tmp_path: Path) -> None:
    async def main() -> None:
        watcher = ModelWatcher(models, poll_seconds=3600, verify_bytes=2**30)
        watcher.start()
        journal = Journal(lambda: Faltering(tmp_path / "encore.db"), DEFAULT_RULES)
        await asyncio.to_thread(journal.start)
        try:
            users = [watcher.recommender.model.users.id(user) for user in range(5)]
            restocker = Restocker(watcher, journal, DEFAULT_RULES, DEFAULT_NEWCOMER_RULES)
            journal.store.append([Event(user, "brand new") for user in users], 1)
            cast(Faltering, journal.store).has_faltered = False  # the keeper may have met it
            with pytest.raises(StoreUnavailable, match="connection reset"):
                restocker.look()
            restocker.look()
            assert [one.artist_id for one in watcher.recommender.newcomers.artists] == ["brand new"]
        finally:
            await journal.close()
            watcher.close()

    asyncio.run(main())
