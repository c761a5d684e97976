from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from app.artifacts.models_folder import ModelsFolder
from app.errors import StoreUnavailable
from app.events.event import Event
from app.events.event_types import DEFAULT_RULES, EventType
from app.recommend.newcomer_rules import DEFAULT_NEWCOMER_RULES
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.serving.newcomer_worker import NewcomerWorker
from app.store.interface import EventStore
from app.store.sqlite import SqliteEventStore


class Faltering(SqliteEventStore):
    """A store that cannot be asked one time who was erased."""

    has_faltered = False

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        if not self.has_faltered and self.last_sequence():
            self.has_faltered = True
            raise StoreUnavailable("unreachable", "connection reset")
        return super().erased_after(after)


def following(
    models: Path,
    open_store: Callable[[], EventStore],
    use: Callable[[ModelFollower, Journal, NewcomerWorker], None],
) -> None:
    """Uses a newcomer worker beside a journal and a model in service."""

    async def main() -> None:
        follower = ModelFollower(ModelsFolder(models), poll_seconds=3600, verify_bytes=2**30)
        follower.start()
        journal = Journal(open_store, DEFAULT_RULES)
        await asyncio.to_thread(journal.start)
        try:
            worker = NewcomerWorker(follower, journal, DEFAULT_RULES, DEFAULT_NEWCOMER_RULES)
            use(follower, journal, worker)
        finally:
            await journal.close()
            follower.close()

    asyncio.run(main())


def played_by(follower: ModelFollower, count: int) -> list[Event]:
    users = follower.recommender.model.users
    return [Event(users.id(user), "brand new", timestamp=1) for user in range(count)]


def newcomers(follower: ModelFollower) -> list[tuple[str, bool]]:
    artists = follower.recommender.newcomers.artists
    return [(one.artist_id, one.is_ranked) for one in artists]


def test_a_new_artist_is_not_forgotten_when_the_store_falters(models: Path, tmp_path: Path) -> None:
    def use(follower: ModelFollower, journal: Journal, worker: NewcomerWorker) -> None:
        journal.store.append(played_by(follower, 5), 1)
        cast(Faltering, journal.store).has_faltered = False  # the keeper may have met it
        with pytest.raises(StoreUnavailable, match="connection reset"):
            worker.look()
        worker.look()
        assert newcomers(follower) == [("brand new", True)]

    following(models, lambda: Faltering(tmp_path / "encore.db"), use)


class Forgetful(SqliteEventStore):
    """A store that cannot be asked who played an artist, while told so."""

    falters = False

    def listeners_of(self, artist_id: str, *, limit: int) -> list[str]:
        if self.falters:
            raise StoreUnavailable("unreachable", "connection reset")
        return super().listeners_of(artist_id, limit=limit)


def test_a_new_artist_is_not_forgotten_when_others_cannot_be_looked_up(
    models: Path, tmp_path: Path
) -> None:
    def use(follower: ModelFollower, journal: Journal, worker: NewcomerWorker) -> None:
        store = cast(Forgetful, journal.store)
        store.append(
            [
                *played_by(follower, 5),
                Event("v", follower.recommender.model.items.id(0), timestamp=1),
            ],
            10**6,
        )
        worker.look()
        store.append([Event("u", "newest")], 10**6)
        store.prune(2, [EventType.PLAY], limit=1)
        store.last_sequence()
        store.falters = True
        with pytest.raises(StoreUnavailable, match="connection reset"):
            worker.look()
        store.falters = False
        worker.look()
        assert {name for name, _ in newcomers(follower)} == {"brand new", "newest"}

    following(models, lambda: Forgetful(tmp_path / "encore.db"), use)


def test_what_was_pruned_elsewhere_delays_no_new_artist(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: all artists were made anew first.
    monkeypatch.setattr("app.serving.newcomer_worker._ARTISTS_PER_LOOK", 2)

    def use(follower: ModelFollower, journal: Journal, worker: NewcomerWorker) -> None:
        store = cast(SqliteEventStore, journal.store)
        for number in range(6):
            store.append([Event("u", f"new {number}")], 10**6)
        for _ in range(3):
            worker.look()
        assert len(newcomers(follower)) == 6
        store.append(
            [Event("v", follower.recommender.model.items.id(0), timestamp=1), Event("u", "newest")],
            10**6,
        )
        assert store.prune(2, [EventType.PLAY], limit=9) == 1
        store.last_sequence()
        worker.look()
        assert len(newcomers(follower)) == 7

    following(models, lambda: SqliteEventStore(tmp_path / "encore.db"), use)


def test_a_new_artist_disappears_with_its_events(models: Path, tmp_path: Path) -> None:
    # Was wrong: it stayed until the service was started again.
    def use(follower: ModelFollower, journal: Journal, worker: NewcomerWorker) -> None:
        store = cast(SqliteEventStore, journal.store)
        store.append([*played_by(follower, 5), Event("somebody", "brand new")], 10**6)
        worker.look()
        assert newcomers(follower) == [("brand new", True)]
        assert store.prune(2, [EventType.PLAY], limit=9) == 5
        store.last_sequence()
        worker.look()
        assert newcomers(follower) == [("brand new", False)]
        assert store.prune(10**7, [EventType.PLAY], limit=9) == 1
        store.last_sequence()
        worker.look()
        assert newcomers(follower) == []

    following(models, lambda: SqliteEventStore(tmp_path / "encore.db"), use)


@pytest.mark.slow
def test_no_more_new_artists_are_followed_than_allowed(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: each id that was sent once stayed in memory.
    monkeypatch.setattr("app.serving.newcomer_worker._MOST_FOUND", 3)
    monkeypatch.setattr("app.serving.newcomer_worker._MOST_NEWCOMERS", 2)
    monkeypatch.setattr("app.serving.newcomer_worker._MOST_WAITING", 4)
    monkeypatch.setattr("app.serving.newcomer_worker._ARTISTS_PER_LOOK", 3)

    def use(follower: ModelFollower, journal: Journal, worker: NewcomerWorker) -> None:
        store = journal.store
        users = follower.recommender.model.users

        def play(artist: str, listeners: int) -> None:
            store.append([Event(users.id(user), artist) for user in range(listeners)], 1)

        for number in range(9):
            play(f"once-{number}", 1)
        play("often", 4)
        worker.look()
        play("later", 5)
        for _ in range(9):
            worker.look()
            assert len(worker._found) <= 3
            assert len(worker._waiting) <= 11
        followed = [one.artist_id for one in follower.recommender.newcomers.artists]
        assert followed == ["later", "often"]
        play("once-8", 6)  # it was dropped, and is found again
        worker.look()
        followed = [one.artist_id for one in follower.recommender.newcomers.artists]
        assert followed == ["once-8", "later"]

    following(models, partial(SqliteEventStore, tmp_path / "encore.db"), use)
