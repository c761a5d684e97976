"""Events: what a user did with an artist, as sent and as stored.

An event has a key and a digest of its content. An event with the same key and digest is a repeated
one; the same key with another digest is a conflict.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from app.events.event_types import EventType

_DIGEST_BYTES: Final = 16
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """What a user did with an artist, as it was sent.

    Attributes:
        user_id: the user.
        artist_id: the artist.
        type: what the user did.
        plays: how often the user played the artist, above 0; 1 for other types.
        timestamp: when, in microseconds since 1970 (UTC); None if the sender gave no time.
        event_id: the sender's id for the event; None for none.
        artist_name: the artist's name; None if the sender gave none.
    """

    user_id: str
    artist_id: str
    type: EventType = EventType.PLAY
    plays: float = 1.0
    timestamp: int | None = None
    event_id: str | None = None
    artist_name: str | None = None

    @property
    def is_idempotent(self) -> bool:
        """Whether it counts once however often it is sent."""
        return self.event_id is not None or self.timestamp is not None

    def key(self) -> bytes:
        """Returns the key that identifies the event, 16 bytes.

        It is a hash of the event's id. Without an id it is a hash of the content, if that has a
        timestamp; else it is random, since two different plays may have equal content.
        """
        if self.event_id is not None:
            return _hash(b"id", self.event_id.encode())
        if self.timestamp is not None:
            return self.digest()
        return secrets.token_bytes(_DIGEST_BYTES)

    def digest(self) -> bytes:
        """Returns a hash of everything but the id, 16 bytes."""
        return _hash(
            b"content",
            self.user_id.encode(),
            self.artist_id.encode(),
            self.type.encode(),
            struct.pack("<d", self.plays),
            b"" if self.timestamp is None else struct.pack("<q", self.timestamp),
            b"" if self.artist_name is None else b"=" + self.artist_name.encode(),
        )


def user_hash(user_id: str) -> bytes:
    """Returns the hash of a user's id, 16 bytes; only this is stored of an erased user."""
    return _hash(b"user", user_id.encode())


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with the number and the time that the store adds.

    Attributes:
        sequence: its number, from 1 on, in the order of commits.
        received_at: when it was stored, in microseconds since 1970 (UTC).
        event: as it was sent.
    """

    sequence: int
    received_at: int
    event: Event

    @property
    def at(self) -> int:
        """When it happened, else when it was received, in microseconds since 1970 (UTC)."""
        return self.received_at if self.event.timestamp is None else self.event.timestamp


def _hash(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        # With its length, so that different parts cannot join to the same bytes.
        digest.update(struct.pack("<q", len(part)))
        digest.update(part)
    return digest.digest()
