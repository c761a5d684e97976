from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from app.events.activity import Activity, activity_of, with_units
from app.events.event import MICROSECONDS, Event, StoredEvent
from app.events.event_types import EventRules, EventType
from app.model.event_unit import EventUnit

DAY = 24 * 3600 * MICROSECONDS
NOW = 100 * DAY
RULES = EventRules(play=1.0, like=2.0, skip=0.5, skip_days=30)


def stored(
    sequence: int,
    kind: EventType = EventType.PLAY,
    artist: str = "a",
    *,
    plays: float = 1.0,
    at: int | None = None,
    received_at: int = NOW,
) -> StoredEvent:
    return StoredEvent(sequence, received_at, Event("u", artist, kind, plays, at))


def plain(activity: Activity) -> tuple[object, ...]:
    return (
        dict(activity.units),
        set(activity.seen),
        set(activity.barred),
        set(activity.disliked),
        activity.valid_until,
    )


def test_plays_count_the_same_in_one_event_and_in_many() -> None:
    once = activity_of([stored(1, plays=7)], RULES, NOW)
    often = activity_of([stored(number) for number in range(1, 8)], RULES, NOW)
    assert plain(once) == plain(often) == ({"a": 3.0}, {"a"}, set(), set(), None)


def test_types_add_up_for_each_artist() -> None:
    events = [
        stored(1),
        stored(2, EventType.LIKE),
        stored(3, EventType.LIKE),
        stored(4, EventType.SKIP, "b"),
        stored(5, EventType.SKIP, "b"),
        stored(6, EventType.DISLIKE, "c"),
    ]
    until = NOW + 30 * DAY
    for order in permutations(events):
        assert plain(activity_of(order, RULES, NOW)) == (
            {"a": 3.0, "b": -1.0},
            {"a"},
            {"b", "c"},
            {"c"},
            until,
        )


def test_a_dislike_lasts_until_a_later_like() -> None:
    disliked = [stored(1), stored(2, EventType.DISLIKE)]
    assert plain(activity_of(disliked, RULES, NOW)) == ({}, {"a"}, {"a"}, {"a"}, None)
    liked = [*disliked, stored(3, EventType.LIKE)]
    assert plain(activity_of(liked, RULES, NOW)) == ({"a": 3.0}, {"a"}, set(), set(), None)
    again = [*liked, stored(4, EventType.DISLIKE)]
    assert activity_of(again, RULES, NOW).barred == {"a"}


def test_events_are_ordered_by_their_times() -> None:
    like_came_last = [stored(1, EventType.DISLIKE, at=NOW), stored(2, EventType.LIKE, at=NOW - 1)]
    assert activity_of(like_came_last, RULES, NOW).barred == {"a"}
    same_time = [stored(1, EventType.DISLIKE, at=NOW), stored(2, EventType.LIKE, at=NOW)]
    assert activity_of(same_time, RULES, NOW).barred == set()


def test_a_skip_hides_for_some_days_and_says_until_when() -> None:
    skip = [stored(1, EventType.SKIP, at=NOW - 29 * DAY)]
    activity = activity_of(skip, RULES, NOW)
    assert activity.barred == {"a"}
    assert activity.valid_until == NOW + DAY
    assert activity_of(skip, RULES, NOW + DAY - 1).barred == {"a"}
    later = activity_of(skip, RULES, NOW + DAY)
    assert plain(later) == ({"a": -0.5}, set(), set(), set(), None)


def test_the_latest_skip_counts_and_the_first_to_end_is_told() -> None:
    events = [
        stored(1, EventType.SKIP, at=NOW - 9 * DAY),
        stored(2, EventType.SKIP, at=NOW - 20 * DAY),
        stored(3, EventType.SKIP, "b", at=NOW - 25 * DAY),
    ]
    activity = activity_of(events, RULES, NOW)
    assert activity.valid_until == NOW + 5 * DAY
    assert activity_of(events, RULES, NOW + 5 * DAY).valid_until == NOW + 21 * DAY


def test_a_clock_that_is_ahead_hides_no_longer() -> None:
    skip = [stored(1, EventType.SKIP, at=NOW + DAY)]
    assert activity_of(skip, RULES, NOW).valid_until == NOW + 30 * DAY


def test_a_like_lifts_a_skip() -> None:
    events = [stored(1, EventType.SKIP), stored(2, EventType.LIKE)]
    assert plain(activity_of(events, RULES, NOW)) == ({"a": 1.5}, {"a"}, set(), set(), None)


def test_types_without_units_leave_no_trace_in_a_taste() -> None:
    rules = EventRules(play=0, like=0, skip=0)
    events = [stored(1), stored(2, EventType.LIKE, "b"), stored(3, EventType.SKIP, "c")]
    assert dict(activity_of(events, rules, NOW).units) == {}


def units(*pairs: tuple[int, float], dropped: tuple[int, ...] = ()) -> list[tuple[int, float]]:
    items = np.array([1, 4, 6], dtype=np.int32)
    weights = np.array([1.0, 2.0, 8.0], dtype=np.float32)
    got = with_units(items, weights, dict(pairs), dropped, EventUnit(3.0, 5.0).for_user(weights))
    assert got[0].dtype == np.int32
    assert got[1].dtype == np.float32
    return list(zip(got[0].tolist(), got[1].tolist(), strict=True))


def test_units_are_multiples_of_the_users_own_median() -> None:
    assert units((4, 1.0), (2, 0.5)) == [(1, 1.0), (2, 3.0), (4, 8.0), (6, 8.0)]


def test_used_up_and_disliked_items_are_left_out() -> None:
    assert units((1, -0.1), (6, -9.0), (0, -1.0)) == [(1, pytest.approx(0.4)), (4, 2.0)]
    assert units((4, 1.0), dropped=(4, 9)) == [(1, 1.0), (6, 8.0)]


def test_the_unit_of_a_user_without_history_is_the_overall_median() -> None:
    nothing = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
    items, weights = with_units(*nothing, {3: 1.0}, (), 15.0)
    assert (items.tolist(), weights.tolist()) == ([3], [15.0])


def test_learned_events_add_no_units_but_still_hide() -> None:
    events = [
        stored(1, plays=7),
        stored(2, EventType.LIKE, "b"),
        stored(3, EventType.SKIP, "c"),
        stored(4, EventType.DISLIKE, "d"),
        stored(5, plays=3),
        stored(6, EventType.SKIP, "c"),
    ]
    until = NOW + 30 * DAY

    def learned(number: int) -> tuple[object, ...]:
        return plain(activity_of(events, RULES, NOW, learned=number))

    rest = {"a", "b"}, {"c", "d"}, {"d"}, until
    assert learned(0) == ({"a": np.log2(11), "b": 2.0, "c": -1.0}, *rest)
    assert learned(3) == ({"a": 2.0, "c": -0.5}, *rest)
    assert learned(6) == ({}, *rest)
    assert activity_of(events[:3], RULES, NOW, learned=3).only_hides
    for one in (events[3], events[4]):
        assert not activity_of([one], RULES, NOW, learned=3).only_hides
    assert not activity_of([], RULES, NOW, is_erased=True).only_hides


def test_a_like_that_was_learned_counts_again_only_where_its_end_was_learned() -> None:
    like, dislike = EventType.LIKE, EventType.DISLIKE
    repeated = [stored(1, like), stored(2, like)]
    assert activity_of(repeated, RULES, NOW, learned=1).units == {}
    taken_back = [stored(1, like), stored(2, dislike), stored(3, like)]
    assert activity_of(taken_back, RULES, NOW, learned=0).units == {"a": 2.0}
    # The history holds the first like still.
    assert activity_of(taken_back, RULES, NOW, learned=1).units == {}
    assert activity_of(taken_back, RULES, NOW, learned=2).units == {"a": 2.0}
    assert activity_of(taken_back, RULES, NOW, learned=3).units == {}
