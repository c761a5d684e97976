from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import ValidationError

from app.events.event import Event
from app.events.event_types import EventType
from app.schemas.events import EventIn, EventShown

SENT = {
    "user_id": "u",
    "artist_id": "a",
    "type": "play",
    "plays": 2.5,
    "timestamp": "1970-01-01T00:00:01Z",
    "event_id": "e",
    "artist_name": "the a",
}


def test_an_event_holds_all_that_was_sent() -> None:
    event = EventIn.model_validate(SENT).to_event()
    assert event == Event("u", "a", EventType.PLAY, 2.5, 1_000_000, "e", "the a")
    # No field is left as it is by default.
    assert all(getattr(event, field.name) != field.default for field in fields(Event)[3:])


@pytest.mark.parametrize("kind", EventType)
def test_each_type_is_read_and_plays_are_those_of_one(kind: EventType) -> None:
    assert EventIn(user_id="u", artist_id="a", type=kind.value).to_event().type is kind
    if kind is not EventType.PLAY:
        with pytest.raises(ValidationError, match=f"a {kind} has no plays; leave them out"):
            EventIn.model_validate({**SENT, "type": kind.value})


def test_all_fields_of_a_stored_event_are_shown_with_the_user() -> None:
    shown = {"name" if name == "artist_name" else name for name in SENT} - {"user_id"}
    assert shown | {"sequence", "received_at"} == EventShown.model_fields.keys()
