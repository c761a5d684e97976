"""The tables, in numbered steps; a step that was released never changes.

Ids and names are bytes: PostgreSQL's text cannot hold every id, and bytes are not compared by a
locale. ``{bytes}`` and ``{float}`` stand for the names of the types in the database. The columns of
events are those of ``app.store.event_columns``; a new column there needs a step here that adds it.
"""

from __future__ import annotations

from typing import Final

from app.store.event_columns import definitions

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE event_store (
            id {bytes} NOT NULL,
            last_sequence BIGINT NOT NULL,
            checked_at BIGINT NOT NULL
        )
        """,
        f"""
        CREATE TABLE events (
            {definitions(1)}
        )
        """,
        "CREATE UNIQUE INDEX events_by_key ON events (key)",
        "CREATE INDEX events_by_user ON events (user_id, sequence)",
        "CREATE INDEX events_by_artist ON events (artist_id, sequence)",
        "CREATE INDEX events_by_time ON events (happened_at)",
    ),
    (
        "ALTER TABLE event_store ADD COLUMN assortment_version BIGINT NOT NULL DEFAULT 0",
        "CREATE TABLE unavailable_artists (artist_id {bytes} NOT NULL PRIMARY KEY)",
    ),
    (
        """
        CREATE TABLE tombstones (
            user_hash {bytes} NOT NULL PRIMARY KEY,
            stamp_key BIGINT NOT NULL,
            sequence BIGINT NOT NULL,
            erased_at BIGINT NOT NULL
        )
        """,
        "CREATE INDEX tombstones_by_sequence ON tombstones (sequence)",
    ),
    ("CREATE TABLE origins (store_id {bytes} NOT NULL PRIMARY KEY, sequence BIGINT NOT NULL)",),
    ("ALTER TABLE event_store ADD COLUMN prunings BIGINT NOT NULL DEFAULT 0",),
)
