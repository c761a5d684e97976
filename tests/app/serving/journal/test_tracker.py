from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.serving.journal.journal import Journal
from app.store.address import open_store
from app.store.interface import EventStore
from app.store.keepsake import Keepsake, StoreKnowledge
from tests.app.serving.journal.harness import (
    RULES,
    eventually,
)


@pytest.mark.slow
def test_a_service_that_starts_without_its_store_knows_erased_users_and_unavailable_artists(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "encore.db"
    opening = partial(open_store, f"sqlite:///{path}")

    def fail() -> EventStore:
        raise StoreUnavailable("unreachable", "connection refused")

    async def started(opening: Callable[[], EventStore]) -> Journal:
        journal = Journal(opening, RULES, Keepsake("address", tmp_path))
        await asyncio.to_thread(journal.start)
        return journal

    async def known(journal: Journal) -> tuple[list[bool], int, object]:
        erased = [
            activity is not None and activity.is_erased
            for activity in await journal.activities_of(["u", "v"], None)
        ]
        touched = [journal.stamps.is_touched(user) for user in ("u", "v")]
        assert touched == erased
        return erased, journal.stamps.availability[0], await journal.unavailable_artists()

    async def main() -> None:
        journal = await started(opening)
        assert await known(journal) == ([False, False], 0, (0, []))
        await journal.erase("u")
        await journal.set_available("a", is_available=False)
        await eventually(lambda: journal.stamps.availability[0] == 1)
        await eventually(lambda: Keepsake("address", tmp_path).load().unavailable == ("a",))
        await journal.close()
        away = await started(fail)
        assert await known(away) == ([True, False], 1, (1, ["a"]))
        assert "does not know" not in caplog.text
        await away.close()
        # Of a store that holds something else, the keepsake does not know better.
        path.unlink()
        other = await started(opening)
        assert await known(other) == ([False, False], 0, (0, []))
        assert "does not know 1 users who were erased" in caplog.text
        assert Keepsake("address", tmp_path).load() == StoreKnowledge()
        await other.close()

    asyncio.run(main())
