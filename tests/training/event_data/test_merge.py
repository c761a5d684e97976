from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events.event import MICROSECONDS, Event
from app.events.event_types import EventType
from app.model.watermark import Watermark
from app.model.weighting import USED_UP, Weighting, WeightingName
from app.store.interface import EventStore
from app.store.sqlite import SqliteEventStore
from training.data.filters import Filters, preprocess
from training.data.items import ItemTable
from training.data.records import REASON_ERASED, Records, RowCounts
from training.event_data import merge as merge_module
from training.event_data.merge import EventLog, Merged, merge, read_event_log
from training.event_data.overlap import Timed, not_held
from training.fitting.fit import fit_model
from training.presets import DEFAULT

DAY = 24 * 3600
NOW = 1_795_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(SqliteEventStore(tmp_path / "encore.db")) as store:
        yield store


def records(*rows: tuple[Any, ...], timed: bool = False) -> Records:
    """Records of (user, artist, plays[, seconds]); an artist None has no id."""
    users = sorted({row[0] for row in rows})
    items = sorted({row[1] for row in rows if row[1] is not None})
    return Records(
        user_codes=np.array([users.index(row[0]) for row in rows], dtype=np.int32),
        item_codes=np.array(
            [-1 if row[1] is None else items.index(row[1]) for row in rows], dtype=np.int32
        ),
        plays=np.array([row[2] for row in rows], dtype=np.float32),
        user_ids=pl.Series(users, dtype=pl.String),
        items=ItemTable.of(
            pl.Series(items, dtype=pl.String),
            pl.Series([f"the {item}" for item in items], dtype=pl.String),
        ),
        rows=RowCounts(len(rows)),
        dataset="test",
        sources={},
        timestamps=np.array([row[3] for row in rows], dtype=np.int64) if timed else None,
    )


def log_of(store: EventStore, *events: Event, at: int = NOW) -> EventLog:
    store.append(events, at * MICROSECONDS)
    return read_event_log(store)


def summed(merged: Merged) -> dict[tuple[str, str], float]:
    """Plays by user and artist."""
    interactions, _ = preprocess(merged.records, Filters())
    user_items = interactions.user_items
    users = interactions.user_ids.gather(user_items.row_of_each_pair())
    items = interactions.item_ids.gather(user_items.indices)
    return dict(zip(zip(users, items, strict=True), user_items.plays.tolist(), strict=True))


def test_plays_of_events_are_plays_of_their_pairs(store: EventStore) -> None:
    data = records(("u", "b", 3.0), ("v", "a", 1.0), ("v", "c", 2.0))
    merged = merge(
        log_of(
            store,
            Event("u", "b", plays=2.0),
            Event("u", "b"),
            Event("é", "a", plays=4.0),
            Event("", "aa", plays=5.0),
            Event("v", "zz", plays=0.5),
        ),
        data,
    )
    assert summed(merged) == {
        ("u", "b"): 6.0,
        ("v", "a"): 1.0,
        ("v", "c"): 2.0,
        ("v", "zz"): 0.5,
        ("é", "a"): 4.0,
        ("", "aa"): 5.0,
    }
    joined = merged.records
    assert joined.user_ids.to_list() == ["", "u", "v", "é"]
    assert joined.item_ids.to_list() == ["a", "aa", "b", "c", "zz"]
    assert joined.items.names.to_list() == ["the a", "aa", "the b", "the c", "zz"]
    assert (joined.timestamps, joined.dataset, joined.rows) == (None, "test", data.rows)
    assert merged.watermark == Watermark(store.id, 5)


def test_events_alone_are_data_as_well(store: EventStore) -> None:
    merged = merge(log_of(store, Event("u", "a", plays=3), Event("v", "b", EventType.LIKE)))
    assert summed(merged) == {("u", "a"): 3.0, ("v", "b"): 3.0}
    assert merged.records.dataset == "events"
    assert merged.records.timestamps is not None
    assert merged.records.timestamps.tolist() == [NOW, NOW]


def heard(artist: str, seconds: int, plays: float = 1.0) -> Event:
    return Event("u", artist, plays=plays, timestamp=seconds * MICROSECONDS)


def test_plays_of_the_same_second_in_data_and_events_count_once(store: EventStore) -> None:
    data = records(
        ("u", "a", 1.0, 100),
        ("u", "a", 1.0, 100),  # twice in the data: both stay
        ("u", "b", 3.0, 100),
        ("u", None, 1.0, 100),
        ("v", "a", 1.0, 200),
        timed=True,
    )
    events = [heard("a", 100), heard("a", 101), heard("b", 100, 5.0), heard("c", 100)]
    # Within the second, and another artist's twice in the events: both stay.
    events += [replace(heard("a", 200), user_id="v", timestamp=200_400_000)]
    events += [replace(heard("d", 300), event_id=name) for name in "xy"]
    merged = merge(log_of(store, *events), data)
    assert summed(merged) == {
        ("u", "a"): 3.0,
        ("u", "b"): 5.0,
        ("u", "c"): 1.0,
        ("u", "d"): 2.0,
        ("v", "a"): 1.0,
    }
    assert (merged.counts["plays"], merged.counts["plays_in_both"]) == (5, 3)
    assert merged.records.timestamps is not None
    times = sorted(merged.records.timestamps.tolist())
    assert times == [100, 100, 100, 100, 100, 100, 101, 200, 300, 300]


def test_the_same_second_is_no_sign_in_data_without_times(store: EventStore) -> None:
    merged = merge(log_of(store, heard("a", 100)), records(("u", "a", 1.0)), data_until=100)
    assert merged.counts["plays_in_both"] == 0


def test_records_of_an_erased_user_hold_none_of_the_later_events(store: EventStore) -> None:
    store.erase("u", NOW * MICROSECONDS)
    data = records(("u", "a", 1.0, 100), timed=True)
    merged = merge(log_of(store, heard("a", 100)), data)
    assert summed(merged) == {("u", "a"): 1.0}
    assert merged.counts["plays_in_both"] == 0


@settings(max_examples=100)
@given(
    data=st.lists(st.tuples(*([st.integers(0, 2)] * 3), st.integers(1, 4)), max_size=12),
    events=st.lists(st.tuples(*([st.integers(0, 2)] * 3), st.integers(1, 4)), max_size=12),
)
def test_of_each_second_as_many_plays_count_as_one_of_both_has(
    data: list[tuple[int, int, int, int]], events: list[tuple[int, int, int, int]]
) -> None:
    def timed(rows: list[tuple[int, int, int, int]]) -> Timed:
        columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
        users, items = columns[:2].astype(np.int32)
        return Timed(users, items, columns[3].astype(np.float32), columns[2])

    def by_second(rows: list[tuple[int, int, int, int]]) -> Counter[tuple[int, ...]]:
        return sum((Counter({row[:3]: row[3]}) for row in rows), Counter())

    left = not_held(timed(events), timed(data)).tolist()
    added = [(*row[:3], plays) for row, plays in zip(events, left, strict=True)]
    assert by_second(data) + by_second(added) == by_second(data) | by_second(events)


def test_a_new_artist_has_the_name_that_it_was_given_last(store: EventStore) -> None:
    data = records(("u", "a", 1.0))
    log = log_of(
        store,
        Event("u", "b", artist_name="Old"),
        Event("v", "b", EventType.SKIP, artist_name="New"),
        Event("w", "b"),
        Event("w", "a", artist_name="another name"),
    )
    assert merge(log, data).records.items.names.to_list() == ["the a", "New"]


def test_opinions_move_the_plays_as_they_move_units(store: EventStore) -> None:
    data = records(
        ("u", "liked", 7.0),
        ("u", "skipped", 7.0),
        ("u", "disliked", 7.0),
        ("u", "liked", 8.0),
        ("u", "forgiven", 1.0),
        ("v", "disliked", 2.0),
        ("v", "skipped away", 1.0),
        ("v", None, 1.0),
    )
    like, dislike, skip = EventType.LIKE, EventType.DISLIKE, EventType.SKIP
    merged = merge(
        log_of(
            store,
            Event("u", "liked", like),
            Event("u", "liked", like),
            Event("u", "skipped", skip),
            Event("u", "skipped", plays=8.0),
            Event("u", "skipped", skip),
            Event("u", "disliked", like),
            Event("u", "disliked", dislike),
            Event("u", "disliked", plays=9.0),
            Event("u", "forgiven", dislike),
            Event("u", "forgiven", like),
            Event("v", "skipped away", skip),
            Event("v", "skipped away", skip),
            Event("v", "only liked", like),
            Event("v", "only skipped", skip),
        ),
        data,
    )
    assert summed(merged) == pytest.approx(
        {
            ("u", "liked"): 16 * 4 - 1,
            ("u", "skipped"): 16 / 2 - 1,
            ("u", "forgiven"): 2 * 4 - 1,
            ("v", "disliked"): 2,
            ("v", "skipped away"): USED_UP,  # seen, and no more
            ("v", "only liked"): 3,
        }
    )
    assert merged.counts == {kind.plural: 0 for kind in EventType} | {
        "events": 14,
        "plays": 2,
        "plays_in_data": 0,
        "plays_in_both": 0,
        "likes": 3,
        "dislikes": 1,
        "skips": 5,
        "users_erased": 0,
    }
    # A row without an artist is still one of its user.
    assert (merged.records.item_codes == -1).sum() == 1


def test_a_later_time_decides_and_not_a_later_number(store: EventStore) -> None:
    like = Event("u", "a", EventType.LIKE, timestamp=9 * MICROSECONDS)
    dislike = Event("u", "a", EventType.DISLIKE, timestamp=8 * MICROSECONDS)
    assert summed(merge(log_of(store, like, dislike))) == {("u", "a"): 3.0}


def test_plays_that_the_data_hold_already_are_not_added_again(store: EventStore) -> None:
    events = [
        Event("u", "a", timestamp=(NOW + offset) * MICROSECONDS + micro)
        for offset, micro in ((-1, 0), (0, 999_999), (1, 0))
    ]
    like = Event("u", "b", EventType.LIKE, timestamp=1)
    log = log_of(store, *events, like)
    merged = merge(log, records(("u", "a", 10.0), ("u", "b", 1.0)), data_until=NOW)
    assert summed(merged) == {("u", "a"): 11.0, ("u", "b"): 7.0}
    assert (merged.counts["plays"], merged.counts["plays_in_data"]) == (1, 2)
    # Rows without times are of then, so that all have one.
    assert merged.records.timestamps is not None
    assert sorted(merged.records.timestamps.tolist()) == [NOW, NOW, NOW + 1]


def test_times_of_data_and_events_are_in_seconds(store: EventStore) -> None:
    data = records(("u", "a", 1.0, NOW - DAY), ("u", "b", 1.0, NOW - DAY), timed=True)
    moment = (NOW - 7) * MICROSECONDS + 5
    log = log_of(store, Event("u", "a", timestamp=moment), Event("u", "c", EventType.LIKE))
    joined = merge(log, data).records
    assert joined.timestamps is not None
    assert sorted(joined.timestamps.tolist()) == [NOW - DAY, NOW - DAY, NOW - 7, NOW]


def test_rows_of_erased_users_fall_out_and_what_they_did_since_does_not(store: EventStore) -> None:
    data = records(("u", "a", 1.0), ("u", "b", 1.0), ("v", "a", 1.0), ("w", "a", 1.0))
    store.append([Event("u", "c"), Event("w", "b")], 1)
    store.erase("u", 2)
    store.erase("w", 2)
    merged = merge(log_of(store, Event("u", "d")), data)
    assert summed(merged) == {("u", "d"): 1.0, ("v", "a"): 1.0}
    assert merged.records.rows.dropped == {REASON_ERASED: 3}
    assert (merged.counts["users_erased"], merged.watermark.sequence) == (2, 5)
    # A training that began before obeys what it saw.
    assert read_event_log(store).watermark.sequence == 5


def test_what_somebody_new_of_an_erased_name_played_is_in_no_data(store: EventStore) -> None:
    data = records(("u", "a", 1.0), ("v", "a", 1.0))
    store.erase("u", 1)
    events = [Event(user, "c", timestamp=(NOW - 9) * MICROSECONDS) for user in ("u", "v")]
    merged = merge(log_of(store, *events), data, data_until=NOW)
    assert summed(merged) == {("u", "c"): 1.0, ("v", "a"): 1.0}
    assert (merged.counts["plays"], merged.counts["plays_in_data"]) == (1, 1)


def test_plays_next_to_nothing_are_still_plays(store: EventStore) -> None:
    """As the service took them once."""
    assert summed(merge(log_of(store, Event("u", "a", plays=1e-300)))) == pytest.approx(
        {("u", "a"): 0.001}
    )


def test_artists_without_a_name_get_the_one_that_events_give(store: EventStore) -> None:
    data = records(("u", "a", 1.0), ("u", "b", 1.0), ("u", "c", 1.0))
    data = replace(data, items=ItemTable.of(data.items.ids, pl.Series(["a", "the b", "c"])))
    events = [Event("u", artist, artist_name=f"{artist}!") for artist in ("a", "b")]
    merged = merge(log_of(store, *events), data)
    assert merged.records.items.names.to_list() == ["a!", "the b", "c"]


@pytest.mark.slow
@pytest.mark.parametrize("weighting", list(WeightingName))
def test_what_was_skipped_away_is_seen_and_weighs_nothing(
    store: EventStore, weighting: WeightingName
) -> None:
    rows = [(f"u{user}", f"a{artist}", 3.0) for user in range(6) for artist in range(user, 8)]
    log = log_of(store, *[Event("u1", "a1", EventType.SKIP)] * 9)
    interactions, _ = preprocess(merge(log, records(*rows)).records, Filters())
    user_items = interactions.user_items
    weights = Weighting.fit(user_items, weighting).weigh(user_items)
    is_skipped = user_items.plays < 1e-20
    assert is_skipped.sum() == 1
    assert weights[is_skipped] < 1e-20
    assert weights[~is_skipped].min() > 0.1
    parameters = replace(DEFAULT.parameters, factors=4, iterations=2, weighting=weighting)
    model = fit_model(interactions, parameters)
    assert np.isfinite(model.user_factors).all()


def test_a_store_is_read_in_parts_up_to_where_it_ended(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_module, "_AT_ONCE", 4)
    store.append([Event(f"u{number}", "a") for number in range(10)], 1)
    store.erase("nobody", 2)
    done: list[int] = []

    def heard(count: int) -> None:
        done.append(count)
        store.append([Event("late", "a")], 1)
        store.erase("u0", 3)

    log = read_event_log(store, heard)
    assert log.watermark.sequence == sum(done) == 11
    assert set(log.events["user"]) <= {f"u{number}" for number in range(10)}
    assert len(log.erased) == 1
    assert read_event_log(store).watermark.sequence == store.last_sequence()


def test_an_empty_store_changes_nothing(store: EventStore) -> None:
    data = records(("u", "a", 1.0), ("v", None, 2.0))
    merged = merge(read_event_log(store), data)
    assert merged.watermark == Watermark(store.id, 0)
    np.testing.assert_array_equal(merged.records.user_codes, data.user_codes)
    np.testing.assert_array_equal(merged.records.item_codes, data.item_codes)
    np.testing.assert_array_equal(merged.records.plays, data.plays)
    assert merged.records.item_ids.to_list() == ["a"]


@pytest.mark.parametrize("seed", range(5))
def test_many_events_come_to_what_one_by_one_they_come_to(store: EventStore, seed: int) -> None:
    rng = random.Random(seed)
    ids = [rng.choice("aåz😀 ") * rng.randint(1, 3) + str(number) for number in range(12)]
    rows = [(rng.choice(ids), rng.choice([*ids, None]), rng.randint(1, 9)) for _ in range(60)]
    events = [
        Event(
            rng.choice(ids),
            rng.choice(ids),
            rng.choice([EventType.PLAY, EventType.SKIP, EventType.LIKE, EventType.DISLIKE]),
            timestamp=rng.choice([None, rng.randint(1, 10**15)]),
        )
        for _ in range(200)
    ]
    events = [replace(event, plays=2.0 if event.type == "play" else 1.0) for event in events]
    plays: dict[tuple[str, str], float] = {}
    moves: dict[tuple[str, str], list[Any]] = {}
    for user, artist, count in rows:
        if artist is not None:
            plays[user, artist] = plays.get((user, artist), 0.0) + count
    log = log_of(store, *events)
    for event in sorted(events, key=lambda one: one.timestamp or NOW * MICROSECONDS):
        pair = event.user_id, event.artist_id
        if event.type is EventType.PLAY:
            plays[pair] = plays.get(pair, 0.0) + 2.0
            continue
        move = moves.setdefault(pair, [None, 0])
        if event.type is EventType.SKIP:
            move[1] += 1
        else:
            move[0] = event.type
    for pair, (verdict, skips) in moves.items():
        liked, played = 2.0 if verdict is EventType.LIKE else 0.0, pair in plays
        moved = (1 + plays.get(pair, 0.0)) * 2 ** (liked - 0.5 * skips) - 1
        plays[pair] = 0.0 if verdict is EventType.DISLIKE else moved
        if verdict is not EventType.DISLIKE and played:
            plays[pair] = max(plays[pair], USED_UP)
    expected = {pair: count for pair, count in plays.items() if count > 0}
    assert summed(merge(log, records(*rows))) == pytest.approx(expected, rel=1e-5, abs=0)
