"""What every event store does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import cast
from zlib import crc32

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event, StoredEvent, user_hash
from app.events.event_types import EventType
from app.store.address import open_store
from app.store.interface import EventStore, Outcome, PlayedArtist, Status
from app.store.migrations import MIGRATIONS
from app.store.sql.connection import Connection
from app.store.sql.store import SqlEventStore
from tests.contracts.conftest import OpenStore
from tests.leftovers import assert_nothing_is_left

EVENTS = [
    Event("u", "a"),
    Event("", "", EventType.SKIP),
    Event("nul\0byte", 'it\'s "quoted"; --', EventType.LIKE, 1.0, 0),
    Event("é" * 128, "🎸", EventType.DISLIKE, 1.0, 1_760_000_000_123_456),
    Event("%s ? $1", "a", EventType.PLAY, 0.25, event_id="e\0", artist_name="Ünï\n"),
    Event("u", "a", plays=1_000_000.0, event_id="x" * 256, artist_name="n" * 500),
]


def stored(outcomes: list[Outcome]) -> list[int]:
    assert {outcome.status for outcome in outcomes} == {Status.STORED}
    return [outcome.sequence for outcome in outcomes]


def all_of(store: EventStore, *users: str) -> list[StoredEvent]:
    found = [event for user in users for event in store.events_of(user, limit=10**6)]
    return sorted(found, key=lambda event: event.sequence)


@contextmanager
def writing(store: EventStore) -> Iterator[Connection]:
    """A transaction that nobody knows how to begin but the store itself."""
    with cast(SqlEventStore, store)._writing() as connection:
        yield connection


def test_events_are_stored_as_they_came_and_numbered_from_one(store: EventStore) -> None:
    assert store.last_sequence() == 0
    assert stored(store.append(EVENTS, received_at=77)) == [1, 2, 3, 4, 5, 6]
    found = all_of(store, *{event.user_id for event in EVENTS})
    assert found == [StoredEvent(number, 77, event) for number, event in enumerate(EVENTS, start=1)]
    assert store.last_sequence() == 6


def test_events_are_there_after_reopening(store: EventStore, open_another: OpenStore) -> None:
    store.append(EVENTS, received_at=77)
    other = open_another()
    assert other.id == store.id
    assert len(other.id) == 32
    assert other.place == store.place
    assert all_of(other, "u") == all_of(store, "u")
    assert stored(other.append([Event("u", "b")], 78)) == [7]


def test_another_store_has_another_id(store: EventStore, tmp_path_factory: object) -> None:
    factory = cast(pytest.TempPathFactory, tmp_path_factory)
    other = open_store(f"sqlite:///{factory.mktemp('other') / 'encore.db'}")
    assert other.id != store.id
    other.close()


def test_a_repeated_id_counts_once(store: EventStore) -> None:
    event = Event("u", "a", event_id="e")
    assert store.append([event, event, Event("u", "b")], 1) == [
        Outcome(Status.STORED, 1),
        Outcome(Status.REPEATED, 1),
        Outcome(Status.STORED, 2),
    ]
    assert store.append([event], 2) == [Outcome(Status.REPEATED, 1)]
    assert store.count_of("u") == 2
    assert stored(store.append([Event("u", "c")], 3)) == [3]


def test_an_id_with_another_content_is_refused(store: EventStore) -> None:
    first, other = Event("u", "a", event_id="e"), Event("u", "b", event_id="e")
    assert store.append([first, other], 1)[1] == Outcome(Status.CONFLICT, 1)
    assert store.append([other, Event("u", "c", event_id="f")], 2) == [
        Outcome(Status.CONFLICT, 1),
        Outcome(Status.STORED, 2),
    ]
    assert [one.event.artist_id for one in all_of(store, "u")] == ["a", "c"]


def test_without_an_id_the_content_counts_once_if_it_has_a_time(store: EventStore) -> None:
    timed, untimed = Event("u", "a", timestamp=5), Event("u", "a")
    statuses = [one.status for one in store.append([timed, untimed, timed, untimed], 1)]
    assert statuses == [Status.STORED, Status.STORED, Status.REPEATED, Status.STORED]
    assert store.count_of("u") == 3


@pytest.mark.slow
def test_a_batch_may_be_long(store: EventStore) -> None:
    batch = [Event(f"u{number % 7}", "a", event_id=str(number)) for number in range(1200)]
    assert stored(store.append(batch, 1)) == list(range(1, 1201))
    assert {one.status for one in store.append(batch, 2)} == {Status.REPEATED}
    assert store.last_sequence() == 1200


def test_no_events_are_nothing(store: EventStore) -> None:
    assert store.append([], 1) == []
    assert store.last_sequence() == 0


def test_a_users_events_come_latest_first_and_in_pages(store: EventStore) -> None:
    store.append([Event("u" if number % 2 else "v", str(number)) for number in range(10)], 1)
    assert [one.sequence for one in store.events_of("u", limit=3)] == [10, 8, 6]
    assert [one.sequence for one in store.events_of("u", limit=3, before=6)] == [4, 2]
    assert store.events_of("nobody", limit=3) == []
    assert (store.count_of("u"), store.count_of("nobody")) == (5, 0)


def test_whoever_has_new_events_is_named_with_the_latest(store: EventStore) -> None:
    assert store.latest_of_users(0) == []
    store.append([Event(user, "a") for user in ["u", "nul\0", "u", "w"]], 1)
    assert dict(store.latest_of_users(0)) == {"u": 3, "nul\0": 2, "w": 4}
    assert dict(store.latest_of_users(2)) == {"u": 3, "w": 4}
    assert store.latest_of_users(4) == []


def test_plays_of_late_are_counted(store: EventStore) -> None:
    store.append(
        [
            Event("u", "a", plays=9.0, timestamp=100, artist_name="old name"),
            Event("u", "a", plays=2.0, timestamp=200),
            Event("v", "b", timestamp=200),
            Event("w", "b", timestamp=300),
            Event("w", "b", timestamp=301),
            Event("w", "c", EventType.LIKE, timestamp=300),
            Event("x", "a", EventType.SKIP, timestamp=300, artist_name="new name"),
            Event("x", "d"),
        ],
        received_at=250,
    )
    a = PlayedArtist("a", "new name", 1, 2.0)
    b, d = PlayedArtist("b", None, 2, 3.0), PlayedArtist("d", None, 1, 1.0)
    assert store.played_since(200, by_plays=False, limit=9) == [b, a, d]
    assert store.played_since(200, by_plays=True, limit=2) == [b, a]
    assert store.played_since(100, by_plays=True, limit=1) == [PlayedArtist("a", "new name", 1, 11)]
    assert store.played_since(302, by_plays=True, limit=9) == []


def test_ties_are_ranked_the_same_everywhere(store: EventStore) -> None:
    store.append([Event("u", artist) for artist in ["b", "é", "Z", "a"]], 1)
    ranked = store.played_since(0, by_plays=False, limit=9)
    assert [one.artist_id for one in ranked] == ["Z", "a", "b", "é"]


@pytest.mark.slow
def test_writers_at_once_get_numbers_without_gaps(
    store: EventStore, open_another: OpenStore
) -> None:
    stores = [store, store, open_another(), open_another()]

    def write(writer: int) -> list[int]:
        return [
            number
            for batch in range(15)
            for number in stored(
                stores[writer].append([Event("u", f"{writer} {batch} {one}") for one in "ab"], 1)
            )
        ]

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(write, range(4)))
    assert sorted(chain.from_iterable(numbers)) == list(range(1, 121))
    assert all(one == sorted(one) for one in numbers)
    assert [one.sequence for one in all_of(store, "u")] == list(range(1, 121))


def test_the_same_event_sent_to_all_at_once_is_stored_once(
    store: EventStore, open_another: OpenStore
) -> None:
    stores = [store, open_another(), open_another()]
    with ThreadPoolExecutor(3) as threads:
        for number in range(10):
            event = Event("u", "a", event_id=str(number))
            outcomes = list(threads.map(lambda one: one.append([event], 1)[0], stores))  # noqa: B023
            assert sorted(one.status for one in outcomes) == [
                Status.REPEATED,
                Status.REPEATED,
                Status.STORED,
            ]
    assert store.last_sequence() == 10


def test_a_reader_that_follows_never_misses_a_late_commit(
    store: EventStore, open_another: OpenStore
) -> None:
    """Who has taken a number and is slow to commit holds up the next number, and no reader."""
    store.append([Event("first", "a")], 1)
    late, other = cast(SqlEventStore, open_another()), open_another()
    seen: list[tuple[str, int]] = other.latest_of_users(0)
    began = threading.Event()

    def hurry() -> list[Outcome]:
        began.set()
        return other.append([Event("hurry", "a")], 1)

    with ThreadPoolExecutor(1) as threads:
        with late._writing() as connection:
            number = late._lock_sequence(connection) + 1
            late._execute(connection, "UPDATE event_store SET last_sequence = ?", number)
            hurried = threads.submit(hurry)
            began.wait()
            for _ in range(20):
                assert store.latest_of_users(1) == []
            late._execute(
                connection,
                "INSERT INTO events (sequence, key, digest, received_at, happened_at, user_id, "
                "artist_id, type, plays, is_timed) VALUES (?, ?, ?, 1, 1, ?, ?, ?, 1, 0)",
                number,
                *(b"k", b"d", b"late", b"a", b"play"),
            )
            assert not hurried.done()
        assert stored(hurried.result()) == [3]
    seen += store.latest_of_users(seen[-1][1])
    assert sorted(seen, key=lambda one: one[1]) == [("first", 1), ("late", 2), ("hurry", 3)]


def test_readers_do_not_wait_for_a_writer(store: EventStore, open_another: OpenStore) -> None:
    store.append([Event("u", "a")], 1)
    with writing(open_another()) as connection:
        connection.execute("UPDATE event_store SET last_sequence = 99")
        assert store.last_sequence() == 1
        assert store.count_of("u") == 1


def test_what_fails_leaves_nothing_and_no_gap(store: EventStore) -> None:

    def fail() -> None:
        with writing(store) as connection:
            connection.execute("UPDATE event_store SET last_sequence = 99")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    # The driver cannot store this one, which comes after one that it can.
    unstorable = Event("u", "b", plays=cast(float, object()), event_id="e")
    with pytest.raises(Exception, match=r"\w"):
        store.append([Event("u", "a"), unstorable], 1)
    assert store.count_of("u") == 0
    assert stored(store.append([Event("u", "c")], 2)) == [1]


def test_events_of_everybody_are_read_by_number(store: EventStore, open_another: OpenStore) -> None:
    store.append(EVENTS, received_at=77)
    store.erase(EVENTS[2].user_id, 78)
    left = [
        StoredEvent(number, 77, event)
        for number, event in enumerate(EVENTS, start=1)
        if number != 3
    ]
    assert open_another().events_between(0, 99, limit=99) == left
    assert store.events_between(0, 99, limit=3) == left[:3]
    assert store.events_between(2, 5, limit=99) == left[2:4]
    assert store.events_between(7, 99, limit=99) == []
    assert store.tombstones(7) == [(user_hash(EVENTS[2].user_id), 7)]
    assert store.tombstones(6) == []


def test_a_store_has_its_numbers_in_common_with_itself_only(
    store: EventStore, open_another: OpenStore
) -> None:
    store.append(EVENTS, received_at=77)
    assert open_another().shared_up_to(store.id) > 10**18
    assert store.shared_up_to("another") == 0


def test_an_erased_user_leaves_a_tombstone_with_a_number(
    store: EventStore, open_another: OpenStore
) -> None:
    store.append([Event("u", "a", event_id="e"), Event("v", "a"), Event("u", "b")], 1)
    assert store.tombstone_of("u") == 0
    assert store.erase("u", erased_at=2) == 2
    other = open_another()
    assert other.tombstone_of("u") == store.last_sequence()
    assert other.tombstone_of("v") == 0
    assert (other.count_of("u"), other.count_of("v"), other.last_sequence()) == (0, 1, 4)
    assert other.erased_after(0) == [(crc32(b"u"), 4)]
    assert other.erased_after(4) == []
    assert other.played_since(0, by_plays=False, limit=9) == [PlayedArtist("a", None, 1, 1.0)]
    # Somebody new of the same name, whose number comes after.
    assert stored(other.append([Event("u", "c", event_id="e")], 3)) == [5]
    assert store.erase("u", erased_at=4) == 1
    assert store.erased_after(0) == [(crc32(b"u"), 6)]
    assert store.erase("never seen", erased_at=5) == 0
    assert store.tombstone_of("never seen") == store.last_sequence()


def test_artists_of_events_are_found_with_listeners_and_names(store: EventStore) -> None:
    store.append(
        [
            Event("u", "a", artist_name="old"),
            Event("v", "a"),
            Event("w", "a", EventType.LIKE, artist_name="new"),
            Event("x", "a", EventType.SKIP),
            Event("y", "a", EventType.DISLIKE),
            Event("u", "a"),
            Event("u", "b\0"),
        ],
        1,
    )
    assert dict(store.latest_of_artists(0)) == {"a": 6, "b\0": 7}
    assert store.latest_of_artists(6) == [("b\0", 7)]
    assert store.listeners_of("a", limit=9) == ["u", "w", "v"]
    assert store.listeners_of("a", limit=1) == ["u"]
    assert store.listeners_of("nobody's", limit=1) == []
    assert store.names_of(["a", "b\0", "c"]) == {"a": "new"}


def test_artists_become_unavailable_and_come_back(
    store: EventStore, open_another: OpenStore
) -> None:
    assert store.unavailable_artists() == (0, [])
    assert store.set_available("b\0", is_available=False) == 1
    assert store.set_available("a", is_available=False) == 2
    assert store.set_available("a", is_available=False) == 3
    assert store.set_available("never gone", is_available=True) == 4
    other = open_another()
    assert other.unavailable_artists() == (4, ["a", "b\0"])
    assert other.set_available("b\0", is_available=True) == 5
    assert (store.availability_version(), store.unavailable_artists()) == (5, (5, ["a"]))
    assert store.last_sequence() == 0


def test_whether_it_can_be_written_is_found_out_without_leaving_a_trace(store: EventStore) -> None:
    store.append([Event("u", "a")], 1)
    store.check_writable()
    assert store.last_sequence() == 1
    assert store.latest_of_users(1) == []


def test_waiting_for_news_ends(store: EventStore) -> None:
    store.wait_for_news(0.01)
    store.wait_for_news(0.01)


@pytest.mark.slow
def test_closing_ends_the_wait_for_news(store: EventStore) -> None:
    store.wait_for_news(0.0)  # PostgreSQL listens from here on
    waiting = threading.Thread(target=store.wait_for_news, args=(60.0,), daemon=True)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    closing = threading.Thread(target=store.close, daemon=True)
    closing.start()
    closing.join(20)
    waiting.join(20)
    assert (closing.is_alive(), waiting.is_alive()) == (False, False)


def test_a_closed_store_says_so(store: EventStore) -> None:
    store.append([Event("u", "a")], 1)
    store.close()
    store.close()
    for use in (
        store.last_sequence,
        store.check_writable,
        lambda: store.append([Event("u", "b")], 1),
        lambda: store.events_of("u", limit=1),
        lambda: store.latest_of_users(0),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert caught.value.reason == "closed"


def test_tables_of_a_later_encore_are_refused(
    url: str, store: EventStore, open_another: OpenStore
) -> None:
    with writing(store) as connection:
        later = f"INSERT INTO event_store_migrations VALUES ({len(MIGRATIONS) + 1})"  # noqa: S608
        connection.execute(later)
    with pytest.raises(StoreUnavailable, match="a later Encore") as caught:
        open_another()
    assert caught.value.reason == "newer"
    assert url not in str(caught.value)


def test_opening_at_once_makes_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: open_store(url), range(4)))
    assert len({store.id for store in stores}) == 1
    for store in stores:
        store.close()


@pytest.mark.slow
def test_opening_using_and_closing_leaves_nothing_open(url: str) -> None:
    def use() -> None:
        with closing(open_store(url)) as store, ThreadPoolExecutor(4) as threads:
            for written in threads.map(lambda user: store.append([Event(user, "a")], 1), "uvwx"):
                stored(written)
            for found in threads.map(lambda user: store.events_of(user, limit=1), "uvwx"):
                assert len(found) == 1
            store.wait_for_news(0.0)

    assert_nothing_is_left(use)


@pytest.mark.slow
def test_closing_while_it_is_used_leaves_nothing_open(url: str) -> None:
    def use() -> None:
        store = open_store(url)
        began = threading.Barrier(5)

        def use_until_it_is_closed(user: str) -> None:
            began.wait()
            while True:
                store.append([Event(user, "a")], 1)
                store.events_of(user, limit=1)

        with ThreadPoolExecutor(4) as threads:
            using = [threads.submit(use_until_it_is_closed, user) for user in "uvwx"]
            began.wait()
            store.close()
        reasons = {cast(StoreUnavailable, one.exception()).reason for one in using}
        assert reasons == {"closed"}
        lending = open_store(url)
        with cast(SqlEventStore, lending)._reading():
            lending.close()

    assert_nothing_is_left(use)


@pytest.mark.slow
def test_a_call_that_fails_leaves_nothing_open(url: str) -> None:
    broken = Event("u", "a", plays=object())  # type: ignore[arg-type]

    def use() -> None:
        with closing(open_store(url)) as store:
            with pytest.raises(Exception, match=r"\w"):
                store.append([broken], 1)
            with pytest.raises(StoreUnavailable), cast(SqlEventStore, store)._reading() as lent:
                lent.execute("SELECT nothing FROM nowhere")
            with pytest.raises(ZeroDivisionError), cast(SqlEventStore, store)._reading():
                _ = 1 / 0
        with pytest.raises(StoreUnavailable, match="closed"):
            store.last_sequence()

    assert_nothing_is_left(use)


@pytest.mark.slow
def test_a_store_that_is_refused_is_not_left_open(url: str, store: EventStore) -> None:
    with writing(store) as connection:
        later = f"INSERT INTO event_store_migrations VALUES ({len(MIGRATIONS) + 1})"  # noqa: S608
        connection.execute(later)

    def use() -> None:
        with pytest.raises(StoreUnavailable, match="a later Encore"):
            open_store(url)

    assert_nothing_is_left(use)
