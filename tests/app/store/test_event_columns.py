from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from app.events.event import Event
from app.events.event_types import EventType
from app.store.event_columns import EVENT_COLUMNS
from app.store.migrations import MIGRATIONS
from app.store.sqlite import SqliteEventStore

# As databases hold it, line breaks included: a step is never changed.
RELEASED = """
        CREATE TABLE events (
            sequence BIGINT NOT NULL PRIMARY KEY,
            key {bytes} NOT NULL,
            digest {bytes} NOT NULL,
            received_at BIGINT NOT NULL,
            happened_at BIGINT NOT NULL,
            user_id {bytes} NOT NULL,
            artist_id {bytes} NOT NULL,
            type {bytes} NOT NULL,
            plays {float} NOT NULL,
            is_timed SMALLINT NOT NULL,
            event_id {bytes},
            artist_name {bytes}
        )
        """


def test_the_table_of_events_is_made_as_it_always_was() -> None:
    assert MIGRATIONS[0][1] == RELEASED


def test_the_migrations_make_each_column(tmp_path: Path) -> None:
    path = tmp_path / "encore.db"
    SqliteEventStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        made = [name for _, name, *_ in connection.execute("PRAGMA table_info(events)")]
    assert made == [column.name for column in EVENT_COLUMNS]
    assert all(1 <= column.since <= len(MIGRATIONS) for column in EVENT_COLUMNS)


def test_each_column_holds_its_own_value(tmp_path: Path) -> None:
    path = tmp_path / "encore.db"
    event = Event("u", "a", EventType.LIKE, 1.0, 17, "e", "n")
    with closing(SqliteEventStore(path)) as store:
        store.append([event, Event("v", "b", plays=0.25)], 99)
        assert store.events_between(0, 1, limit=9)[0].event == event
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        first, second = (dict(row) for row in connection.execute("SELECT * FROM events"))
    assert first == {
        "sequence": 1,
        "key": event.key(),
        "digest": event.digest(),
        "received_at": 99,
        "happened_at": 17,
        "user_id": b"u",
        "artist_id": b"a",
        "type": b"like",
        "plays": 1.0,
        "is_timed": 1,
        "event_id": b"e",
        "artist_name": b"n",
    }
    assert (second["happened_at"], second["is_timed"], second["plays"]) == (99, 0, 0.25)
    assert (second["event_id"], second["artist_name"]) == (None, None)
