from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.event import Event
from app.events.event_types import EventRules, EventType

EVENT = Event("u", "a", timestamp=1_000, event_id="e", artist_name="the a")


def test_an_event_is_identified_by_its_id() -> None:
    assert EVENT.key() == replace(EVENT, plays=2.0).key()
    assert EVENT.key() != replace(EVENT, event_id="f").key()


def test_without_an_id_the_content_is_if_it_has_a_time() -> None:
    one = replace(EVENT, event_id=None)
    assert one.key() == replace(one).key() == one.digest()
    assert one.is_idempotent
    untimed = replace(one, timestamp=None)
    assert untimed.key() != untimed.key()
    assert not untimed.is_idempotent


def test_an_id_cannot_pass_for_the_content_of_another_event() -> None:
    digest = replace(EVENT, event_id=None).key()
    assert Event("u", "a", event_id=digest.hex()).key() != digest


CHANGES: list[dict[str, Any]] = [
    {"user_id": "v"},
    {"artist_id": "b"},
    {"type": EventType.LIKE},
    {"plays": 2.0},
    {"timestamp": 1_001},
    {"timestamp": None},
    {"artist_name": None},
    {"artist_name": "a"},
    {"user_id": "ua", "artist_id": ""},
]


@pytest.mark.parametrize("change", CHANGES)
def test_any_other_content_has_another_digest(change: dict[str, Any]) -> None:
    assert replace(EVENT, **change).digest() != EVENT.digest()


def test_the_content_is_everything_but_the_id() -> None:
    changed = {name for change in CHANGES for name in change}
    assert changed | {"event_id"} == {field.name for field in fields(Event)}


def test_the_id_is_not_part_of_the_content() -> None:
    assert replace(EVENT, event_id=None).digest() == EVENT.digest()


@given(plays=st.floats(min_value=0.001, max_value=1e6))
def test_plays_saturate(plays: float) -> None:
    rules = EventRules(play=2.0)
    assert rules.units_of_plays(1.0) == 2.0
    assert rules.units_of_plays(3.0) == 4.0
    assert 0 < rules.units_of_plays(plays) < rules.units_of_plays(2 * plays)
    assert rules.units_of_plays(2 * plays) <= rules.units_of_plays(plays) + rules.play
