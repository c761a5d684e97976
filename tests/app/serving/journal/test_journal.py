from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar, cast

import pytest

from app.errors import Overloaded, StoreUnavailable
from app.events import MICROSECONDS, Event, EventRules, EventType, StoredEvent, Watermark
from app.model import Model
from app.serving.journal import journal as journal_module
from app.serving.journal.journal import Journal
from app.store.address import open_store
from app.store.clock import now
from app.store.deadlines import Deadlines
from app.store.interface import EventStore, Outcome, PlayedArtist, Status
from app.store.keepsake import Keepsake, StoreKnowledge
from app.store.sqlite import SqliteEventStore
from tests.builders import interactions_of, small_model
from tests.leftovers import assert_nothing_is_left
from tests.postgres import PostgresServer

T = TypeVar("T")
RULES = EventRules()
DAY = 24 * 3600 * MICROSECONDS
PATIENCE = 30.0


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
    """Runs something on a journal in PostgreSQL, whose server may be stopped meanwhile."""
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "encore.db"


def test_somebody_without_events_is_not_touched(path: Path) -> None:
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


def test_what_is_acknowledged_is_known_and_kept_until_the_next_event(path: Path) -> None:
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


def test_what_was_pruned_counts_no_longer(path: Path) -> None:
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
        monkeypatch.setattr(journal_module, "now", lambda: start + 31 * DAY)
        later = await journal.activity_of("u", None)
        assert later is not None
        assert later.barred == frozenset()

    run(path, use)


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


def test_what_others_store_is_found_within_a_moment(path: Path) -> None:
    """As after a process that was killed between its commit and its stamp."""

    async def use(journal: Journal) -> None:
        other = SqliteEventStore(path)
        other.append([Event("u", "a")], now())
        other.close()
        await eventually(lambda: journal.stamps.is_touched("u"))
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}

    run(path, use)


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
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 5)

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


def test_no_more_users_are_kept_than_allowed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_KEPT_USERS", 2)

    async def use(journal: Journal) -> None:
        users = ["u", "v", "w"]
        await journal.append([Event(user, user) for user in users])
        for _ in range(2):
            found = await journal.activities_of(users[:2], None)
            assert [units(one) for one in found] == [{"u": 1.0}, {"v": 1.0}]
            assert units(await journal.activity_of("w", None)) == {"w": 1.0}
        assert len(journal._kept) == 2

    run(path, use)


def test_more_users_at_once_than_are_kept_are_all_answered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_KEPT_USERS", 2)

    async def use(journal: Journal) -> None:
        users = [f"u{number}" for number in range(9)]
        await journal.append([Event(user, user) for user in users])
        found = await journal.activities_of(users, None)
        assert [units(one) for one in found] == [{user: 1.0} for user in users]

    run(path, use)


def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"

    async def use(journal: Journal) -> None:
        assert [trouble.reason for trouble in journal.troubles] == ["unreachable"]
        with pytest.raises(StoreUnavailable):
            await journal.append([Event("u", "a")])
        assert await journal.activity_of("u", None) is None
        folder.mkdir()
        await eventually(lambda: not journal.troubles)
        await journal.append([Event("u", "a")])
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}

    run(folder / "encore.db", use)


def test_a_lock_that_others_hold_degrades_until_it_is_free(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.sqlite._BUSY_SECONDS", 0.05)

    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a")])
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another program holds its lock"):
            await journal.append([Event("u", "b")])
        assert [trouble.reason for trouble in journal.troubles] == ["locked"]
        # Readers are never blocked.
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}
        assert (await journal.events_of("u", limit=9, before=None))[0] == 1
        holder.execute("ROLLBACK")
        holder.close()
        await eventually(lambda: not journal.troubles)
        await journal.append([Event("u", "b")])
        assert units(await journal.activity_of("u", None)) == {"a": 1.0, "b": 1.0}

    run(path, use)


def test_closing_writes_what_was_given_and_ends_all_threads(path: Path) -> None:
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


def test_starting_and_closing_leaves_nothing_open(path: Path) -> None:
    async def use(journal: Journal) -> None:
        for artist in "abc":
            await journal.append([Event("u", artist)])
            await journal.activity_of("u", None)

    assert_nothing_is_left(lambda: run(path, use), times=5)


class Unreadable(SqliteEventStore):
    """A store that a defect keeps from being followed."""

    defect: ClassVar[Exception]

    def assortment_version(self) -> int:
        raise self.defect


@pytest.mark.parametrize("defect", [StoreUnavailable("failed", "no answer"), OSError("defect")])
def test_a_store_that_cannot_be_followed_is_not_left_open(
    path: Path, monkeypatch: pytest.MonkeyPatch, defect: Exception
) -> None:
    # Was wrong: after anything but StoreUnavailable it was, once a second.
    monkeypatch.setattr(journal_module, "_REOPEN_SECONDS", 0.01)
    monkeypatch.setattr(Unreadable, "defect", defect, raising=False)
    stores: list[Unreadable] = []

    def open_in_the_end() -> EventStore:
        if threading.current_thread().name != "store-keeper":
            raise StoreUnavailable("unreachable", "not yet")
        stores.append(Unreadable(path))
        return stores[-1]

    async def main() -> None:
        journal = Journal(open_in_the_end, RULES)
        await asyncio.to_thread(journal.start)
        await eventually(lambda: len(stores) >= 5)
        await journal.close()

    asyncio.run(main())
    for store in stores:
        with pytest.raises(StoreUnavailable, match="the event store is closed"):
            store.last_sequence()


def test_a_store_that_opens_after_the_journal_was_closed_is_closed_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_REOPEN_SECONDS", 0.01)
    monkeypatch.setattr(journal_module, "_CLOSE_SECONDS", 0.01)
    is_closed = threading.Event()
    late: list[SqliteEventStore] = []

    def open_late() -> EventStore:
        if threading.current_thread().name != "store-keeper":
            raise StoreUnavailable("unreachable", "not yet")
        assert is_closed.wait(PATIENCE)
        late.append(SqliteEventStore(path))
        return late[0]

    async def main() -> None:
        journal = Journal(open_late, RULES)
        await asyncio.to_thread(journal.start)
        await asyncio.sleep(0.2)
        await journal.close()
        is_closed.set()
        await eventually(lambda: not journal._keeper.is_alive())
        with pytest.raises(StoreUnavailable, match="the event store is closed"):
            late[0].last_sequence()

    asyncio.run(main())


def test_a_ranking_is_counted_anew_after_an_event_unless_that_takes_long(path: Path) -> None:
    async def use(journal: Journal) -> None:
        for number in range(3):
            await journal.append([Event(f"u{number}", "a")])
            await asyncio.sleep(0.3)
            (played,) = await journal.played_in_days(7, by_plays=False, limit=5)
            assert (played.artist_id, played.listeners) == ("a", number + 1)

    run(path, use)


def test_hosts_follow_each_other(postgres: PostgresServer) -> None:
    """Two names of one server are two places, as two hosts are, with a table of stamps each."""
    here = postgres.new_database()
    there = here.replace("127.0.0.1", "localhost")

    async def main() -> None:
        one, other = (Journal(partial(open_store, url), RULES) for url in (here, there))
        for journal in (one, other):
            await asyncio.to_thread(journal.start)
        try:
            for number in range(3):
                user = f"u{number}"
                assert not other.stamps.is_touched(user)
                await one.append([Event(user, "a")])
                assert units(await one.activity_of(user, None)) == {"a": 1.0}
                await eventually(lambda: other.stamps.is_touched(user))  # noqa: B023
                assert units(await other.activity_of(user, None)) == {"a": 1.0}
        finally:
            await one.close()
            await other.close()

    asyncio.run(main())


def test_lists_go_on_while_postgresql_is_away_and_events_when_it_is_back() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a"), Event("v", "a")])
        known = await journal.activity_of("u", None)
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable, match="is it running"):
            await journal.append([Event("u", "b")])
        assert {trouble.reason for trouble in journal.troubles} == {"unreachable"}
        assert await journal.activity_of("u", None) is known
        assert await journal.activity_of("v", None) is None  # not read before
        await asyncio.to_thread(server.start)
        await eventually(lambda: not journal.troubles)
        assert units(await journal.activity_of("v", None)) == {"a": 1.0}
        await journal.append([Event("u", "b")])
        assert units(await journal.activity_of("u", None)) == {"a": 1.0, "b": 1.0}

    run_beside_a_server(use)


def test_who_was_erased_is_not_recognised_while_the_store_is_away() -> None:
    async def use(journal: Journal, server: PostgresServer) -> None:
        await journal.append([Event("u", "a"), Event("v", "a")])
        assert await journal.erase("u") == 1
        await asyncio.to_thread(server.stop)
        activity = await journal.activity_of("u", None)
        assert activity is not None
        assert activity.is_erased
        assert await journal.activity_of("v", None) is None

    run_beside_a_server(use)


def learned_by(users: list[str], watermark: Watermark | None) -> Model:
    """A model of some users that has read a store."""
    plays = [[1, 0, 1], [0, 1, 1]]
    return replace(
        small_model(interactions_of(plays, user_ids=users), factors=2), watermark=watermark
    )


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


def test_what_was_erased_and_unavailable_stays_so_for_a_service_that_starts_without_its_store(
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
        return erased, journal.stamps.assortment[0], await journal.unavailable_artists()

    async def main() -> None:
        journal = await started(opening)
        assert await known(journal) == ([False, False], 0, (0, []))
        await journal.erase("u")
        await journal.set_available("a", is_available=False)
        await eventually(lambda: journal.stamps.assortment[0] == 1)
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


def test_a_journal_that_cannot_be_started_can_be_closed() -> None:
    def fail() -> EventStore:
        raise ValueError("nobody expects that")

    async def main() -> None:
        journal = Journal(fail, RULES)
        with pytest.raises(ValueError, match="nobody expects that"):
            await asyncio.to_thread(journal.start)
        await journal.close()

    asyncio.run(main())


SOON = Deadlines(read=0.5, write=1)


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


def test_a_disk_that_hangs_hangs_nobody_and_what_was_refused_is_not_written_later(
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


def test_what_may_take_long_ends_when_the_store_turns_out_not_to_answer(path: Path) -> None:
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


def test_a_store_that_opens_while_the_journal_closes_is_closed(path: Path) -> None:
    opens, may_open = threading.Event(), threading.Event()
    opened: list[SqliteEventStore] = []

    def opening() -> EventStore:
        if not opens.is_set():
            opens.set()
            raise StoreUnavailable("unreachable", "not yet")
        may_open.wait()
        opened.append(SqliteEventStore(path))
        return opened[0]

    async def main() -> None:
        journal = Journal(opening, RULES)
        await asyncio.to_thread(journal.start)
        await asyncio.sleep(1.5)  # the keeper is opening it, or the close comes first: as good
        await journal.close()
        may_open.set()
        await asyncio.to_thread(journal._keeper.join, PATIENCE)

    asyncio.run(main())
    for store in opened:
        with pytest.raises(StoreUnavailable, match="is closed"):
            store.last_sequence()
