from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.events.event import Event
from app.events.event_types import EventRules
from app.store.activity_reading import read_activity
from app.store.sqlite import SqliteEventStore

RULES = EventRules()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    store = SqliteEventStore(tmp_path / "encore.db")
    yield store
    store.close()


def test_a_user_without_events_has_no_activity(store: SqliteEventStore) -> None:
    store.append([Event("v", "a")], 1)
    assert read_activity(store, "u", RULES, 9) is None


def test_events_up_to_the_learned_one_are_seen_and_count_no_more(store: SqliteEventStore) -> None:
    store.append([Event("u", "a"), Event("u", "b")], 1)
    activity = read_activity(store, "u", RULES, 9, learned=1)
    assert activity is not None
    assert activity.units == {"b": 1.0}
    assert activity.seen == {"a", "b"}


def test_an_erased_user_is_erased_until_a_training_has_learned_the_tombstone(
    store: SqliteEventStore,
) -> None:
    store.append([Event("u", "a")], 1)
    store.erase("u", 2)
    for learned in (0, 1):
        activity = read_activity(store, "u", RULES, 9, learned)
        assert activity is not None
        assert activity.is_erased
        assert not activity.seen
    assert read_activity(store, "u", RULES, 9, learned=2) is None


def test_the_latest_events_of_many_count(
    store: SqliteEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.activity_reading.EVENTS_PER_USER", 2)
    store.append([Event("u", artist) for artist in "abc"], 1)
    activity = read_activity(store, "u", RULES, 9)
    assert activity is not None
    assert activity.seen == {"b", "c"}
