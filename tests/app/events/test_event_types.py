from __future__ import annotations

import pytest

from app.events.event_types import DEFAULT_RULES, Counting, Effect, EventType


def test_types_are_found_by_their_names() -> None:
    assert [EventType(name) for name in ("play", "skip", "like", "dislike")] == list(EventType)
    with pytest.raises(ValueError, match="'share' is not a valid EventType"):
        EventType("share")


def test_units_are_those_of_the_rules() -> None:
    units = {kind.value: kind.effect.units(DEFAULT_RULES) for kind in EventType}
    assert units == {"play": 1.0, "skip": -0.5, "like": 2.0, "dislike": 0.0}
    assert DEFAULT_RULES.units_of_plays(1.0) == units["play"]


def test_a_type_that_rejects_has_to_end_some_time() -> None:
    with pytest.raises(TypeError, match="has to count as an opinion"):
        Effect(
            past="blocked",
            words="hides it for good",
            counting=Counting.EACH,
            units=lambda _: 0.0,
            is_seen=False,
            rejects=True,
        )
