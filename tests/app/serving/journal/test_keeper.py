from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.events.event_types import EventType
from app.serving.journal.journal import Journal
from app.store.address import open_store
from app.store.clock import now
from app.store.course import StoreState
from app.store.interface import EventStore
from app.store.sqlite import SqliteEventStore
from tests.app.serving.journal.harness import (
    PATIENCE,
    RULES,
    eventually,
    run,
    run_beside_a_server,
    units,
)
from tests.postgres import PostgresServer


@pytest.mark.slow
def test_events_that_others_store_are_found_within_a_moment(path: Path) -> None:
    """As after a process that was killed after its commit and before it raised the stamps."""

    async def use(journal: Journal) -> None:
        other = SqliteEventStore(path)
        other.append([Event("u", "a")], now())
        other.close()
        await eventually(lambda: journal.stamps.is_touched("u"))
        assert units(await journal.activity_of("u", None)) == {"a": 1.0}

    run(path, use)


@pytest.mark.slow
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


@pytest.mark.slow
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


class Unreadable(SqliteEventStore):
    """A store that a defect keeps from being followed."""

    defect: ClassVar[Exception]

    def look(self, numbers: Sequence[int] = ()) -> StoreState:
        raise self.defect


@pytest.mark.parametrize("defect", [StoreUnavailable("failed", "no answer"), OSError("defect")])
def test_a_store_that_cannot_be_followed_is_not_left_open(
    path: Path, monkeypatch: pytest.MonkeyPatch, defect: Exception
) -> None:
    # Was wrong: after anything but StoreUnavailable it was, once a second.
    monkeypatch.setattr("app.serving.journal.keeper._REOPEN_SECONDS", 0.01)
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


@pytest.mark.slow
def test_a_store_that_opens_after_the_journal_was_closed_is_closed_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.serving.journal.keeper._REOPEN_SECONDS", 0.01)
    monkeypatch.setattr("app.serving.journal.journal._CLOSE_SECONDS", 0.01)
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
        await eventually(lambda: not journal._keeper._thread.is_alive())
        with pytest.raises(StoreUnavailable, match="the event store is closed"):
            late[0].last_sequence()

    asyncio.run(main())


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_another_program_has_deleted_is_removed_from_the_log_when_its_readers_end(
    path: Path,
) -> None:
    # Was wrong: it was tried once, so a reader left an erased user in the log for good.
    log = path.with_name("encore.db-wal")

    async def use(journal: Journal) -> None:
        await journal.append([Event("who is erased", "a"), Event("who is pruned", "a")])
        with closing(sqlite3.connect(path)) as reader, closing(SqliteEventStore(path)) as other:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            other.erase("who is erased", 1)
            await eventually(lambda: journal.is_wiped is False)
            assert b"who is erased" in log.read_bytes()
            reader.execute("COMMIT")
            await eventually(lambda: journal.is_wiped is True)
            assert b"who is" not in log.read_bytes()
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            assert other.prune(now() + 1, [EventType.PLAY], limit=9) == 1
            await eventually(lambda: journal.is_wiped is False)
            assert b"who is pruned" in path.read_bytes()
        await eventually(lambda: journal.is_wiped is True)
        assert b"who is" not in path.read_bytes() + log.read_bytes()

    run(path, use)
