"""What every event store does when it goes back, and before it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.events.event_types import EventType
from app.store.course import Seen, off_course
from app.store.migrations import MIGRATIONS
from app.store.sql.store import SqlEventStore
from app.store.upkeep import MaintainableStore
from tests.contracts.conftest import OpenStore

MINUTE = 60 * 10**6


def change(store: MaintainableStore, *statements: str) -> None:
    with cast(SqlEventStore, store)._writing() as connection:
        for statement in statements:
            connection.execute(statement)


def cut(store: MaintainableStore, last: int) -> None:
    """Takes the last events away, as a failover does."""
    change(
        store,
        f"DELETE FROM events WHERE sequence > {last}",  # noqa: S608
        f"DELETE FROM tombstones WHERE sequence > {last}",  # noqa: S608
        f"UPDATE event_store SET last_sequence = {last}",  # noqa: S608
    )


def fill(store: MaintainableStore, *ids: str, at: int = MINUTE) -> None:
    for one in ids:
        store.append([Event("u", "a", event_id=one)], at)


def seen(store: MaintainableStore, before: Seen | None = None) -> Seen:
    before = before or Seen(store.id)
    return before.followed_by(store.look(before.latest_marks))


def fault(store: MaintainableStore, before: Seen) -> str | None:
    off = off_course(before, store.look(before.latest_marks))
    return off.fault if off else None


def test_a_store_that_goes_on_is_on_course(store: MaintainableStore) -> None:
    last = seen(store)
    for use in (
        lambda: fill(store, "1", "2"),
        lambda: store.erase("u", MINUTE),  # the last entries are gone
        lambda: store.erase("u", MINUTE),  # a tombstone in the place of another
        lambda: fill(store, "3", "4"),
        lambda: store.set_available("a", is_available=False),
        lambda: store.prune(2 * MINUTE, list(EventType), limit=100),
        lambda: fill(store, "5"),
        lambda: None,
    ):
        use()
        assert fault(store, last) is None
        assert store.settle(last) is None
        assert store.id == last.id
        last = seen(store, last)
    assert last.last_sequence == 7


def test_a_store_that_went_back_gets_another_id_and_shares_what_was_there(
    store: MaintainableStore, open_another: OpenStore
) -> None:
    other = open_another()
    fill(store, "1", "2", "3")
    store.set_available("a", is_available=False)
    first = seen(store)
    fill(store, "4", "5", at=9 * MINUTE)
    both = seen(store, first)
    cut(store, 3)
    assert fault(store, both) == "it ends at number 3, and ended at 5"
    # Others may have stored something, long after what was seen, before anybody looks.
    fill(other, "6", at=10 * MINUTE)
    assert store.settle(both) == "it ends at number 4, and ended at 5"
    assert store.id != both.id
    assert (store.shared_up_to(both.id), store.look().availability_version) == (3, 2)
    # Whoever comes second finds that it is done.
    now = store.id
    assert other.settle(both) is not None
    assert (other.id, other.look().availability_version) == (now, 2)
    assert fault(store, seen(store)) is None


@pytest.mark.parametrize("ids", [["6"], ["6", "7", "8"], ["4", "5"]])
def test_a_store_that_has_grown_again_is_not_taken_for_the_former_one(
    store: MaintainableStore, ids: list[str]
) -> None:
    fill(store, "1", "2", "3")
    first = seen(store)
    fill(store, "4", "5", at=9 * MINUTE)
    both = seen(store, first)
    cut(store, 3)
    fill(store, *ids, at=11 * MINUTE)
    assert fault(store, both)
    assert store.settle(both)
    assert store.shared_up_to(both.id) == 3


def test_what_may_be_new_is_not_shared(store: MaintainableStore) -> None:
    """A model that has learned number 2 of the former store must not take another one for it."""
    fill(store, "1", "2", "3", at=9 * MINUTE)
    last = seen(store)
    cut(store, 1)
    fill(store, "4", at=9 * MINUTE + 1)  # by the clock of another host
    assert store.settle(last)
    assert store.shared_up_to(last.id) == 0


def test_a_store_that_lost_a_change_of_availability_is_noticed(store: MaintainableStore) -> None:
    fill(store, "1")
    store.set_available("a", is_available=False)
    last = seen(store)
    change(
        store, "DELETE FROM unavailable_artists", "UPDATE event_store SET assortment_version = 0"
    )
    assert fault(store, last)
    assert store.settle(last)
    # Whoever has seen version 1 reads the artists again.
    assert store.unavailable_artists() == (2, [])


def test_another_store_in_its_place_is_noticed(
    store: MaintainableStore, other_store: MaintainableStore
) -> None:
    fill(store, "1")
    fill(other_store, "1", "2", at=3)
    last, other_id = seen(store), other_store.id
    assert fault(other_store, last)
    assert other_store.settle(last)
    assert other_store.id == other_id


def test_a_store_that_was_renewed_is_the_same_one(store: MaintainableStore) -> None:
    fill(store, "1", "2")
    last = seen(store)
    for shared in (None, 0):
        store.renew(shared)
        off = off_course(last, store.look(last.latest_marks))
        assert off is not None
        assert off.fault is None


def test_a_store_that_lost_its_own_row_says_so(store: MaintainableStore) -> None:
    change(store, "DELETE FROM event_store")
    for use in (
        store.look,
        store.last_sequence,
        store.availability_version,
        store.check_writable,
        lambda: fill(store, "1"),
    ):
        with pytest.raises(StoreUnavailable, match="restore it from a backup"):
            use()


def test_a_probe_writes_nothing_and_stays_in_nobodys_way(
    url: str, store: MaintainableStore, open_another: OpenStore
) -> None:
    fill(store, "1")
    other = open_another()
    path = Path(url.removeprefix("sqlite:///"))
    files = [path, path.with_name(f"{path.name}-wal")] if url.startswith("sqlite") else []
    before = [(file.stat().st_size, file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    row = _row(store)
    for _ in range(50):
        assert store.probe()
    after = [(file.stat().st_size, file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    assert (before, row) == (after, _row(store))
    fill(other, "2")


def _row(store: MaintainableStore) -> Any:
    hidden = "" if store.place.startswith("sqlite") else ", xmin, xmax, ctid"
    with cast(SqlEventStore, store)._reading() as connection:
        return str(connection.execute(f"SELECT *{hidden} FROM event_store").fetchall())  # noqa: S608


@pytest.mark.slow
def test_probes_hinder_no_writer(store: MaintainableStore, open_another: OpenStore) -> None:
    other, ends = open_another(), threading.Event()

    def probe() -> None:
        while not ends.is_set():
            with suppress(StoreUnavailable):  # the lock is taken just now
                other.probe()

    probing = threading.Thread(target=probe)
    probing.start()
    try:
        for number in range(200):
            fill(store, str(number))
    finally:
        ends.set()
        probing.join()


def test_nothing_is_written_into_tables_of_a_later_encore(
    url: str, store: MaintainableStore
) -> None:
    fill(store, "1")
    change(store, f"INSERT INTO event_store_migrations VALUES ({len(MIGRATIONS) + 1})")  # noqa: S608
    before = store.look()
    writes: list[Callable[[], Any]] = [
        store.probe,
        store.check_writable,
        lambda: fill(store, "2"),
        lambda: store.erase("u", 1),
        lambda: store.set_available("a", is_available=False),
        lambda: store.prune(2 * MINUTE, list(EventType), limit=1),
        store.renew,
        lambda: store.settle(Seen(store.id, last_sequence=9)),
    ]
    for write in writes:
        with pytest.raises(StoreUnavailable, match="a later Encore") as caught:
            write()
        assert caught.value.reason == "newer"
    assert store.look() == before
    assert store.count_of("u") == 1
    change(store, f"DELETE FROM event_store_migrations WHERE done > {len(MIGRATIONS)}")  # noqa: S608
    fill(store, "2")
    assert store.probe()
    with closing(store):
        assert store.count_of("u") == 2
