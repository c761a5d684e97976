"""The columns of an event, and its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from app.events import Event, EventType, StoredEvent

COLUMNS: Final = (
    "sequence, received_at, happened_at, user_id, artist_id, type, plays, is_timed, event_id, "
    "artist_name"
)
# Under which an event is found again, and by which another content is told.
INSERTED_COLUMNS: Final = "key, digest, " + COLUMNS


def row_of(
    sequence: int, key: bytes, digest: bytes, received_at: int, event: Event
) -> tuple[Any, ...]:
    """Returns the row of ``INSERTED_COLUMNS`` for an event.

    Args:
        sequence: its number.
        key: as of ``Event.key``, or as another store has it.
        digest: as of ``Event.digest``.
        received_at: in microseconds since 1970 (UTC).
        event: as it was sent.
    """
    return (
        key,
        digest,
        sequence,
        received_at,
        received_at if event.timestamp is None else event.timestamp,
        event.user_id.encode(),
        event.artist_id.encode(),
        event.type.encode(),
        event.plays,
        int(event.timestamp is not None),
        None if event.event_id is None else event.event_id.encode(),
        None if event.artist_name is None else event.artist_name.encode(),
    )


def stored(row: Sequence[Any]) -> StoredEvent:
    """Returns the event of a row of ``COLUMNS``."""
    sequence, received_at, happened_at, user, artist, kind, plays, is_timed, event_id, name = row
    return StoredEvent(
        int(sequence),
        int(received_at),
        Event(
            user_id=bytes(user).decode(),
            artist_id=bytes(artist).decode(),
            type=EventType(bytes(kind).decode()),
            plays=float(plays),
            timestamp=int(happened_at) if is_timed else None,
            event_id=None if event_id is None else bytes(event_id).decode(),
            artist_name=None if name is None else bytes(name).decode(),
        ),
    )
