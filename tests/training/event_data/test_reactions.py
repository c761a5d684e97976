from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.activity import activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import DEFAULT_RULES, EventRules, EventType
from app.model.weighting import USED_UP
from training.errors import TrainingError
from training.event_data.reactions import check_rules, is_play, moved_plays, reactions_of

units = st.floats(min_value=0, max_value=10)
rules_of_all_kinds = st.builds(
    EventRules, play=st.floats(min_value=0.25, max_value=10), like=units, skip=units
)
events_of_few = st.lists(
    st.builds(
        Event,
        user_id=st.sampled_from("uv"),
        artist_id=st.sampled_from("ab"),
        type=st.sampled_from(EventType),
        plays=st.sampled_from([0.25, 1.0, 1000.0]),
        timestamp=st.none() | st.integers(min_value=0, max_value=9),
    ),
    max_size=12,
)


def frame_of(stored: list[StoredEvent]) -> pl.DataFrame:
    """Events as in ``EventLog``, but without names."""
    schema = {"user": pl.String, "artist": pl.String, "type": pl.String}
    rows = [
        (one.event.user_id, one.event.artist_id, one.event.type.value, one.event.plays, one.at)
        for one in sorted(stored, key=lambda one: (one.at, one.sequence))
    ]
    schema_with_numbers = {**schema, "plays": pl.Float64, "at": pl.Int64}
    return pl.DataFrame(rows, schema=schema_with_numbers, orient="row")


def reaction(kind: EventType, times: int = 1) -> pl.DataFrame:
    return reactions_of(frame_of([StoredEvent(n, n, Event("u", "a", kind)) for n in range(times)]))


@pytest.mark.slow
@given(events=events_of_few, rules=rules_of_all_kinds)
def test_arrays_and_single_events_come_to_the_same(events: list[Event], rules: EventRules) -> None:
    stored = [
        StoredEvent(number, 5, event if event.type is EventType.PLAY else replace(event, plays=1.0))
        for number, event in enumerate(events, start=1)
    ]
    frame = frame_of(stored)
    reactions = reactions_of(frame)
    played = frame.filter(is_play(frame)).group_by("user", "artist").agg(pl.col("plays").sum())
    pairs = reactions.select("user", "artist").join(
        played, on=["user", "artist"], how="left", maintain_order="left"
    )
    plays = pairs["plays"].fill_null(0.0).to_numpy()
    moved = moved_plays(reactions, plays, rules)
    activities = {
        user: activity_of((one for one in stored if one.event.user_id == user), rules, 0)
        for user in "uv"
    }
    for (user, artist, *_), before, after in zip(reactions.rows(), plays, moved, strict=True):
        activity = activities[user]
        if artist in activity.disliked:
            assert after == 0
            continue
        expected = 2.0 ** (activity.units.get(artist, 0.0) / rules.play) - 1
        lowest = USED_UP if before > 0 else 0.0
        assert after == pytest.approx(max(expected, lowest), rel=1e-9, abs=1e-9)
    # What is no reaction is plays alone, and counts as such.
    alone = played.join(reactions, on=["user", "artist"], how="anti")
    for user, artist, count in alone.rows():
        assert activities[user].units[artist] == pytest.approx(rules.units_of_plays(count))


def test_likes_beyond_all_measure_are_still_a_number() -> None:
    rules = EventRules(play=1e-3, like=100)
    moved = moved_plays(reaction(EventType.LIKE), np.array([5.0]), rules)
    assert np.isfinite(np.square(moved, dtype=np.float32)).all()
    assert moved > 1e9


def test_a_play_for_nothing_is_refused_by_name() -> None:
    check_rules(DEFAULT_RULES)
    with pytest.raises(TrainingError, match="ENCORE_PLAY_UNITS is 0"):
        check_rules(EventRules(play=0))
