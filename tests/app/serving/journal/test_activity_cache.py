from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from app.events.event import MICROSECONDS, Event
from app.events.event_types import EventType
from app.model.watermark import Watermark
from app.serving.journal.journal import Journal
from app.store.clock import now
from app.store.sqlite import SqliteEventStore
from tests.app.serving.journal.harness import (
    eventually,
    learned_by,
    run,
    run_beside_a_server,
    units,
)
from tests.postgres import PostgresServer

DAY = 24 * 3600 * MICROSECONDS


def test_acknowledged_events_count_and_are_cached_until_the_next_event(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a"), Event("v", "a")])
        first = await journal.activity_of("u", None)
        assert units(first) == {"a": 1.0}
        assert await journal.activity_of("u", None) is first
        await journal.append([Event("v", "b")])
        assert await journal.activity_of("u", None) is first
        await journal.append([Event("u", "b")])
        assert units(await journal.activity_of("u", None)) == {"a": 1.0, "b": 1.0}

    run(path, use)


@pytest.mark.slow
def test_pruned_events_no_longer_count(path: Path) -> None:
    # Was wrong: it counted until the user's next event, in the workers that had read it.
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "old", timestamp=1), Event("u", "a")])
        await journal.append([Event("v", "old", timestamp=1)])
        assert units(await journal.activity_of("u", None)) == {"old": 1.0, "a": 1.0}
        assert units(await journal.activity_of("v", None)) == {"old": 1.0}
        with closing(SqliteEventStore(path)) as other:
            assert other.prune(2, [EventType.PLAY], limit=9) == 2
        await eventually(lambda: journal.store.prunings == 1)
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}
        assert await journal.activity_of("v", None) is None

    run(path, use)


def test_an_activity_ends_with_a_skip(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(journal: Journal) -> None:
        start = now()
        await journal.append([Event("u", "a", EventType.SKIP)])
        activity = await journal.activity_of("u", None)
        assert activity is not None
        assert activity.barred == {"a"}
        monkeypatch.setattr("app.serving.journal.activity_cache.now", lambda: start + 31 * DAY)
        later = await journal.activity_of("u", None)
        assert later is not None
        assert later.barred == frozenset()

    run(path, use)


def test_no_more_users_are_cached_than_allowed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serving.journal.activity_cache._CACHED_USERS", 2)

    async def use(journal: Journal) -> None:
        users = ["u", "v", "w"]
        await journal.append([Event(user, user) for user in users])
        for _ in range(2):
            found = await journal.activities_of(users[:2], None)
            assert [units(one) for one in found] == [{"u": 1.0}, {"v": 1.0}]
            assert units(await journal.activity_of("w", None)) == {"w": 1.0}
        assert len(journal._activities._entries) == 2

    run(path, use)


def test_more_users_at_once_than_are_cached_are_all_answered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.serving.journal.activity_cache._CACHED_USERS", 2)

    async def use(journal: Journal) -> None:
        users = [f"u{number}" for number in range(9)]
        await journal.append([Event(user, user) for user in users])
        found = await journal.activities_of(users, None)
        assert [units(one) for one in found] == [{user: 1.0} for user in users]

    run(path, use)


@pytest.mark.slow
def test_erased_users_are_not_recognised_while_the_store_is_away() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a"), Event("v", "a")])
        assert await journal.erase("u") == 1
        await asyncio.to_thread(server.stop)
        activity = await journal.activity_of("u", None)
        assert activity is not None
        assert activity.is_erased
        assert await journal.activity_of("v", None) is None

    run_beside_a_server(use)


@pytest.mark.slow
def test_events_that_the_model_has_learned_count_no_longer(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a"), Event("v", "a"), Event("u", "b", EventType.LIKE)])
        store = journal.store.id

        async def known(watermark: Watermark | None) -> list[dict[str, float]]:
            model = learned_by(["u", "w"], watermark)
            found = await journal.activities_of(["u", "v"], model)
            assert found[0] is not None
            assert found[0].seen == {"a", "b"}
            return [units(one) for one in found]

        everything, of_v = {"a": 1.0, "b": 2.0}, {"a": 1.0}
        assert await known(None) == [everything, of_v]
        # The filters have left v out, so no model stands for these events.
        assert await known(Watermark(store, 2)) == [{"b": 2.0}, of_v]
        assert await known(Watermark(store, 3)) == [{}, of_v]
        # Back to an older model, to that of another store, or to a store that was restored.
        assert await known(Watermark(store, 1)) == [{"b": 2.0}, of_v]
        assert await known(Watermark("another", 3)) == [everything, of_v]
        assert await known(Watermark(store, 4)) == [everything, of_v]
        await journal.append([Event("u", "c")])
        assert units(
            await journal.activity_of("u", learned_by(["u", "v"], Watermark(store, 3)))
        ) == {"c": 1.0}

    run(path, use)


def test_a_model_that_was_trained_after_an_erasure_may_know_the_user_again(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a")])
        await journal.erase("u")
        await journal.append([Event("u", "b")])
        for sequence, is_erased in ((1, True), (2, False), (3, False)):
            model = learned_by(["u", "v"], Watermark(journal.store.id, sequence))
            activity = await journal.activity_of("u", model)
            assert activity is not None
            assert activity.is_erased is is_erased
            assert activity.seen == {"b"}

    run(path, use)


@pytest.mark.slow
def test_a_new_model_knows_its_events_while_the_store_is_away() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a"), Event("u", "b", EventType.DISLIKE)])
        store = journal.store.id
        assert units(await journal.activity_of("u", learned_by(["u", "v"], None))) == {"a": 1.0}
        await asyncio.to_thread(server.stop)
        for end, expected in ((2, {}), (1, {"a": 1.0})):
            model = learned_by(["u", "v"], Watermark(store, end))
            activity = await journal.activity_of("u", model)
            assert activity is not None
            assert activity.units == expected
            assert activity.barred == {"b"}

    run_beside_a_server(use)


@pytest.mark.slow
def test_no_rollback_brings_an_erased_user_back_while_the_store_is_away() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a")])
        await journal.erase("u")
        await journal.append([Event("u", "b")])
        store = journal.store.id
        later, earlier = (learned_by(["u", "v"], Watermark(store, end)) for end in (3, 1))
        activity = await journal.activity_of("u", later)
        assert activity is not None
        assert not activity.is_erased
        await asyncio.to_thread(server.stop)
        activity = await journal.activity_of("u", earlier)
        assert activity is not None
        assert activity.is_erased

    run_beside_a_server(use)


@pytest.mark.slow
def test_long_histories_take_no_more_room_than_allowed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: users were counted, however long their histories; 2 GB were possible.
    monkeypatch.setattr("app.serving.journal.activity_cache._CACHED_ENTRIES", 1000)

    async def use(journal: Journal) -> None:
        cache = journal._activities
        users = [f"u{number}" for number in range(12)]
        for user in users:
            await journal.append([Event(user, f"a{artist}") for artist in range(120)])
        await journal.append([Event("short", "a")])
        for user in [*users, "short", *users[:2]]:
            found = await journal.activity_of(user, None)
            assert len(units(found)) == (1 if user == "short" else 120)
            assert cache._size == sum(
                one.activity.size for one in cache._entries.values() if one.activity
            )
            assert cache._size <= 1000
        # The latest ones: each of them has 120 artists, for its units and as seen.
        assert list(cache._entries) == ["u10", "u11", "short", "u0", "u1"]

    run(path, use)


@pytest.mark.slow
def test_an_erased_user_is_in_no_cache(path: Path) -> None:
    # Was wrong: what their events came to stayed until somebody asked for them, or for ever.
    async def use(journal: Journal) -> None:
        entries = journal._activities._entries
        await journal.append([Event("u", "a"), Event("v", "a"), Event("w", "a")])
        await journal.activities_of(["u", "v", "w"], None)
        await journal.erase("u")
        assert list(entries) == ["v", "w"]
        with closing(SqliteEventStore(path)) as other:
            other.erase("v", now())
        await eventually(lambda: list(entries) == ["w"])

    run(path, use)
