from __future__ import annotations

from pathlib import Path

import pytest

from app.events import personal_data
from app.events.personal_data import Goes, Place


def test_a_place_that_does_not_say_what_it_holds_fails_at_import() -> None:
    text = Path(personal_data.__file__).read_text()
    names = {"__name__": "app.events.personal_data"}
    with pytest.raises(TypeError, match="the place 'attic' does not say what it holds"):
        exec(text.replace("    EVENTS = (", '    ATTIC = "attic"\n    EVENTS = ('), names)  # noqa: S102
    assert Place("store_log") is Place.STORE_LOG


def test_every_way_to_go_is_taken() -> None:
    assert {place.holding.goes for place in Place} == set(Goes)
