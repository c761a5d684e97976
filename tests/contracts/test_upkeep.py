"""What every event store does for its upkeep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event, StoredEvent, user_hash
from app.events.event_types import EventType
from app.model.watermark import Watermark
from app.store.entries import Absorbed, Entry, Erasure, KeyedEvent, Source, Tombstone
from app.store.interface import Outcome, Status, learned_up_to
from app.store.upkeep import MaintainableStore
from tests.contracts.conftest import OpenStore

FILLED = [
    Event("u", "a", timestamp=10),
    Event("nul\0byte", "🎸", EventType.LIKE, event_id="e\0", artist_name="Ünï\n"),
    Event("gone", "a"),
    Event("", "", EventType.SKIP),
    Event("u", "a"),
]


@pytest.fixture
def filled(store: MaintainableStore) -> MaintainableStore:
    """A store with events 1, 2, 4, 5 and 7, and a tombstone 6."""
    store.append(FILLED, received_at=100)
    store.erase("gone", erased_at=200)
    store.append([Event("gone", "b", plays=2.5)], received_at=300)
    return store


def entries_of(store: MaintainableStore) -> list[Entry]:
    return store.entries_between(0, store.last_sequence(), limit=10**6)


def source_of(store: MaintainableStore) -> Source:
    return Source(store.id, store.statistics().origins)


def absorb_all(target: MaintainableStore, source: MaintainableStore) -> Absorbed:
    entries = entries_of(source)
    tombstones = {entry.user_hash: entry for entry in entries if isinstance(entry, Tombstone)}
    users = target.users_by_hash(tombstones)
    erasures = {
        hashed: Erasure(tombstone, users.get(hashed)) for hashed, tombstone in tombstones.items()
    }
    return target.absorb(entries, erasures, source_of(source), source.last_sequence())


def test_entries_are_read_by_number(filled: MaintainableStore) -> None:
    entries = entries_of(filled)
    assert [entry.sequence for entry in entries] == [1, 2, 4, 5, 6, 7]
    first, tombstone = entries[0], entries[4]
    assert first == KeyedEvent(1, FILLED[0].key(), 100, FILLED[0])
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.user_hash, tombstone.erased_at) == (user_hash("gone"), 200)
    assert filled.entries_between(1, 6, limit=3) == entries[1:4]
    assert filled.entries_between(4, 6, limit=9) == entries[3:5]
    assert filled.entries_between(7, 99, limit=9) == []


def test_users_are_found_by_their_hash(
    filled: MaintainableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even some at a time.
    monkeypatch.setattr("app.store.upkeep._USERS_AT_ONCE", 2)
    hashes = {user_hash(user): user for user in ("u", "nul\0byte", "", "gone", "nobody")}
    assert filled.users_by_hash([]) == {}
    expected = {hashed: user for hashed, user in hashes.items() if user != "nobody"}
    assert filled.users_by_hash(hashes) == expected


@pytest.mark.slow
def test_another_database_gets_it_all_with_the_same_numbers(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    absorbed = absorb_all(other_store, filled)
    assert absorbed == Absorbed(stored=5, users_erased=1)
    assert entries_of(other_store) == entries_of(filled)
    assert other_store.last_sequence() == 7
    assert other_store.tombstone_of("gone") == 6
    assert other_store.erased_after(0) == filled.erased_after(0)
    # A model that has learned the one knows the events of the other.
    assert other_store.shared_up_to(filled.id) == 7
    assert learned_up_to(other_store, Watermark(filled.id, 5), end=7) == 5
    # Once more, nothing happens.
    assert absorb_all(other_store, filled) == Absorbed(repeated=5)
    assert other_store.last_sequence() == 7
    # And what the first one has heard since goes on.
    filled.append([Event("v", "c")], received_at=400)
    assert absorb_all(other_store, filled) == Absorbed(stored=1, repeated=5)
    assert other_store.last_sequence() == other_store.shared_up_to(filled.id) == 8
    assert entries_of(other_store) == entries_of(filled)


@pytest.mark.slow
def test_numbers_end_where_the_other_store_does(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    filled.erase("gone", erased_at=500)
    filled.append([Event("v", "c", timestamp=1)], received_at=600)
    filled.prune(2, [EventType.PLAY], limit=10)
    assert absorb_all(other_store, filled).stored == 4
    assert other_store.last_sequence() == filled.last_sequence() == 9
    assert other_store.append([Event("w", "d")], 700) == [Outcome(Status.STORED, 10)]


@pytest.mark.slow
def test_a_store_that_has_events_of_its_own_numbers_anew(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    other_store.append([Event("own", "a")], received_at=50)
    assert absorb_all(other_store, filled) == Absorbed(stored=5, renumbered=5, users_erased=1)
    assert other_store.last_sequence() == 7
    assert [entry.sequence for entry in entries_of(other_store)] == [1, 2, 3, 4, 5, 6, 7]
    assert other_store.shared_up_to(filled.id) == 0
    assert learned_up_to(other_store, Watermark(filled.id, 5), end=7) == 0


@pytest.mark.slow
def test_what_was_heard_in_between_ends_what_two_stores_have_in_common(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    absorb_all(other_store, filled)
    other_store.append([Event("own", "a")], received_at=400)
    filled.append([Event("v", "c")], received_at=400)
    assert absorb_all(other_store, filled) == Absorbed(stored=1, renumbered=1, repeated=5)
    assert other_store.shared_up_to(filled.id) == 7
    assert [one.sequence for one in other_store.events_of("v", limit=1)] == [9]


@pytest.mark.slow
def test_what_was_pruned_comes_back_with_another_number(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    absorb_all(other_store, filled)
    assert other_store.prune(11, [EventType.PLAY], limit=10) == 1
    filled.append([Event("v", "c")], received_at=400)
    assert absorb_all(other_store, filled) == Absorbed(stored=2, renumbered=2, repeated=4)
    assert other_store.shared_up_to(filled.id) == 7
    assert other_store.last_sequence() == 9


@pytest.mark.slow
def test_an_id_that_belongs_to_another_event_is_not_stored(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    other_store.append([Event("somebody", "else", event_id="e\0")], received_at=1)
    absorbed = absorb_all(other_store, filled)
    assert (absorbed.stored, absorbed.conflicts) == (4, 1)
    assert other_store.count_of("nul\0byte") == 0


@pytest.mark.slow
def test_a_tombstone_takes_away_what_came_before_it(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    other_store.append([Event("gone", "old")], received_at=150)
    other_store.append([Event("gone", "new")], received_at=250)
    absorbed = absorb_all(other_store, filled)
    assert (absorbed.users_erased, absorbed.events_erased) == (1, 1)
    assert [one.event.artist_id for one in other_store.events_of("gone", limit=9)] == ["b", "new"]
    assert other_store.tombstone_of("gone") > 0


def test_nobody_comes_back_from_a_copy_that_is_older_than_their_erasure(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    other_store.erase("gone", erased_at=350)
    number = other_store.tombstone_of("gone")
    absorbed = absorb_all(other_store, filled)
    assert (absorbed.stored, absorbed.of_erased, absorbed.users_erased) == (4, 1, 0)
    assert other_store.count_of("gone") == 0
    assert other_store.tombstone_of("gone") == number


def test_whoever_was_erased_is_so_whatever_the_clocks_said(
    store: MaintainableStore, other_store: MaintainableStore
) -> None:
    # The host that stored the event is ahead of the one that erased the user.
    store.append([Event("gone", "a")], received_at=250)
    absorb_all(other_store, store)
    store.erase("gone", erased_at=200)
    # And this is somebody new, by a clock that is behind.
    store.append([Event("gone", "b")], received_at=150)
    assert absorb_all(other_store, store) == Absorbed(stored=1, users_erased=1, events_erased=1)
    assert entries_of(other_store) == entries_of(store)
    # In parts, too.
    assert absorb_all(other_store, store) == Absorbed(repeated=1)


@pytest.mark.slow
def test_an_event_from_before_its_own_tombstone_is_left_out(
    store: MaintainableStore, other_store: MaintainableStore
) -> None:
    """As of a dump during which somebody was erased."""
    store.append([Event("gone", "a"), Event("u", "a")], received_at=250)
    early = store.entries_between(0, 2, limit=9)
    store.erase("gone", erased_at=200)
    tombstone = store.entries_between(2, 3, limit=9)[0]
    assert isinstance(tombstone, Tombstone)
    erasures = {tombstone.user_hash: Erasure(tombstone, None)}
    first = other_store.absorb(early, erasures, source_of(store), 2)
    assert first == Absorbed(stored=1, of_erased=1)
    other_store.absorb([tombstone], erasures, source_of(store), 3)
    assert entries_of(other_store) == entries_of(store)


@pytest.mark.slow
def test_what_was_pruned_and_sent_again_is_the_same_event(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    absorb_all(other_store, filled)
    filled.prune(11, [EventType.PLAY], limit=10)
    filled.append([FILLED[0], Event("v", "c")], received_at=400)
    assert absorb_all(other_store, filled) == Absorbed(stored=1, repeated=5)
    assert other_store.last_sequence() == other_store.shared_up_to(filled.id) == 9
    assert [one.sequence for one in other_store.events_of("v", limit=1)] == [9]


def test_a_store_that_absorbs_itself_stays_as_it_is(filled: MaintainableStore) -> None:
    before = entries_of(filled)
    assert absorb_all(filled, filled) == Absorbed(repeated=5)
    assert entries_of(filled) == before
    assert filled.statistics().origins == {}


@pytest.mark.slow
def test_what_fails_leaves_nothing(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    entries = entries_of(filled)
    broken = KeyedEvent(8, b"k" * 16, 1, Event("u", "b", plays=object()))  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"\w"):
        other_store.absorb([*entries, broken], {}, source_of(filled), 8)
    assert (other_store.last_sequence(), entries_of(other_store)) == (0, [])
    assert other_store.shared_up_to(filled.id) == 0


def test_old_events_are_pruned_by_type_and_some_at_a_time(store: MaintainableStore) -> None:
    store.append([Event("u", f"a{number}", timestamp=number) for number in range(10)], 1000)
    store.append([Event("u", "x", kind, timestamp=3) for kind in EventType], 1000)
    store.append([Event("u", "received now")], 1000)
    types = [EventType.PLAY, EventType.SKIP]
    assert store.count_before(5, types) == 7
    assert store.prune(5, types, limit=4) == 4
    assert store.count_before(5, types) == 3
    assert store.prune(5, types, limit=4) == 3
    assert store.prune(5, types, limit=4) == 0
    left = store.events_of("u", limit=99)
    kinds = [one.event.type for one in left if one.event.artist_id == "x"]
    assert kinds == [kind for kind in reversed(EventType) if kind not in types]
    assert len(left) == 6 + len(kinds)
    # Numbers are not given again, and what was pruned may come again.
    last = 11 + len(EventType)
    assert store.last_sequence() == last
    again = store.append([Event("u", "a0", timestamp=0)], 2000)
    assert again == [Outcome(Status.STORED, last + 1)]
    assert store.prune(10**6, list(EventType), limit=99) == len(left) + 1


def test_writers_do_not_wait_for_a_reader(
    store: MaintainableStore, open_another: OpenStore
) -> None:
    store.append([Event("u", "a", timestamp=1), Event("v", "a")], 100)
    writer, count = open_another(), "SELECT count(*) FROM events"
    with store._surveying() as reader:  # type: ignore[attr-defined]
        assert reader.execute(count).fetchone() == (2,)
        assert writer.append([Event("u", "b")], 100) == [Outcome(Status.STORED, 3)]
        assert writer.erase("v", 200) == 1
        assert writer.prune(2, [EventType.PLAY], limit=9) == 1
        assert reader.execute(count).fetchone() == (2,)
    assert [one.event.artist_id for one in store.events_of("u", limit=9)] == ["b"]


@pytest.mark.slow
def test_pruning_and_erasing_at_once_both_succeed(
    store: MaintainableStore, open_another: OpenStore
) -> None:
    # Was wrong: PostgreSQL found them waiting for each other, and ended one.
    users = [f"u{number}" for number in range(60)]
    store.append([Event(user, "a", timestamp=time) for time in range(50) for user in users], 100)
    pruner = open_another()

    def prune() -> int:
        pruned = 0
        while part := pruner.prune(10**6, [EventType.PLAY], limit=150):
            pruned += part
        return pruned

    with ThreadPoolExecutor() as pool:
        pruning = pool.submit(prune)
        # From the other end than what is pruned.
        erased = sum(store.erase(user, 200) for user in reversed(users))
        assert pruning.result() + erased == 3000


def test_others_learn_that_events_were_pruned(
    filled: MaintainableStore, open_another: OpenStore
) -> None:
    other = open_another()
    before = other.prunings
    assert filled.prune(11, list(EventType), limit=99) == 1
    other.last_sequence()
    assert other.prunings > before
    again = other.prunings
    assert filled.prune(11, list(EventType), limit=99) == 0
    other.last_sequence()
    assert other.prunings == again


def test_a_renewed_store_is_another_one_from_then_on(
    filled: MaintainableStore, open_another: OpenStore
) -> None:
    other, old = open_another(), filled.id
    new = filled.renew()
    assert new == filled.id != old
    assert len(new) == 32
    assert filled.shared_up_to(old) == 7
    # Whoever had it open learns of it.
    assert other.id == old
    assert other.last_sequence() == 7
    assert (other.id, other.shared_up_to(old)) == (new, 7)
    filled.append([Event("u", "c")], received_at=400)
    # A model that had read on where the store was put back to number 7.
    assert learned_up_to(filled, Watermark(old, 900), end=8) == 7
    assert learned_up_to(filled, Watermark(old, 3), end=8) == 3
    assert learned_up_to(filled, Watermark(new, 8), end=8) == 8
    third = filled.renew()
    assert filled.shared_up_to(old) == 7
    assert filled.shared_up_to(new) == 8
    assert open_another().id == third
    assert filled.statistics().origins == {old: 7, new: 8}


def test_a_store_that_was_renewed_late_shares_no_more_than_is_said(
    filled: MaintainableStore,
) -> None:
    # It was put back to number 5, and has stored 6 and 7 since.
    old = filled.id
    filled.renew()
    first = filled.id
    filled.renew(shared_up_to=5)
    assert filled.statistics().origins == {old: 5, first: 5}
    assert learned_up_to(filled, Watermark(old, 900), end=7) == 5
    filled.renew(shared_up_to=0)
    assert filled.statistics().origins == {}
    assert learned_up_to(filled, Watermark(old, 900), end=7) == 0
    filled.renew(shared_up_to=900)
    assert set(filled.statistics().origins.values()) == {7}


def test_an_empty_store_shares_nothing(
    store: MaintainableStore, other_store: MaintainableStore
) -> None:
    assert absorb_all(other_store, store) == Absorbed()
    store.renew()
    assert store.statistics().origins == other_store.statistics().origins == {}


def test_without_a_new_id_a_store_that_was_put_back_counts_as_another(
    filled: MaintainableStore,
) -> None:
    assert learned_up_to(filled, Watermark(filled.id, 900), end=7) == 0
    assert learned_up_to(filled, Watermark(filled.id, 7), end=7) == 7


def test_what_a_store_was_before_goes_along(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    old = filled.id
    filled.renew()
    filled.append([Event("u", "c")], received_at=400)
    absorb_all(other_store, filled)
    assert other_store.statistics().origins == {old: 7, filled.id: 8}
    assert learned_up_to(other_store, Watermark(old, 5), end=8) == 5


def test_statistics_count_what_there_is(filled: MaintainableStore) -> None:
    filled.set_available("a", is_available=False)
    statistics = filled.statistics()
    assert statistics.store_id == filled.id
    assert statistics.last_sequence == 7
    assert statistics.events == {EventType.PLAY: 3, EventType.LIKE: 1, EventType.SKIP: 1}
    assert (statistics.users, statistics.artists) == (4, 4)
    assert (statistics.first, statistics.last) == (10, 300)
    assert (statistics.erased_users, statistics.unavailable_artists) == (1, 1)
    assert statistics.origins == {}


def test_an_empty_store_has_statistics(store: MaintainableStore) -> None:
    statistics = store.statistics()
    assert (statistics.events, statistics.first, statistics.last) == ({}, None, None)
    assert entries_of(store) == []


def test_a_backup_is_a_store_of_its_own(
    filled: MaintainableStore, url: str, tmp_path: Path, open_another: OpenStore
) -> None:
    path = tmp_path / "backup.db"
    if url.startswith("postgresql"):
        with pytest.raises(StoreUnavailable, match="pg_dump"):
            filled.backup(path)
        assert not path.exists()
        return
    filled.backup(path)
    copy = type(filled)(path)  # type: ignore[call-arg]
    assert entries_of(copy) == entries_of(filled)
    assert copy.id != filled.id
    assert copy.shared_up_to(filled.id) == 7
    assert copy.append([Event("u", "c")], 400) == [Outcome(Status.STORED, 8)]
    copy.close()
    assert open_another().last_sequence() == 7


@pytest.mark.slow
def test_an_event_is_read_as_it_was_absorbed(
    filled: MaintainableStore, other_store: MaintainableStore
) -> None:
    absorb_all(other_store, filled)
    assert other_store.events_of("gone", limit=1) == [
        StoredEvent(7, 300, Event("gone", "b", plays=2.5))
    ]
    assert other_store.names_of(["🎸"]) == {"🎸": "Ünï\n"}


def test_compacting_changes_nothing_that_is_stored(
    filled: MaintainableStore, open_another: OpenStore
) -> None:
    other = open_another()
    before, identity = entries_of(other), other.id
    filled.compact()
    assert entries_of(other) == entries_of(filled) == before
    assert [outcome.sequence for outcome in other.append([Event("u", "z")], 400)] == [8]
    assert (filled.last_sequence(), filled.id) == (8, identity)
    assert filled.is_wiped is not False
