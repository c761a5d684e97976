"""The tables, by numbered steps; a step is never changed once it was released.

Ids and names are bytes: PostgreSQL's text cannot hold every id, and none is compared by a locale.
``{bytes}`` and ``{float}`` stand for the types' names in the database at hand.
"""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE event_store (
            id {bytes} NOT NULL,
            last_sequence BIGINT NOT NULL,
            checked_at BIGINT NOT NULL
        )
        """,
        """
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
