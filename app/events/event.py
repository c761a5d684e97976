"""Events: what somebody did with an artist, as stored and as it counts.

An event has a key, by which a repeated one is told, and a digest of its content, by which the same
key with another content is.
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
    """What somebody did with an artist, as it was sent.

    Attributes:
        user_id: who.
        artist_id: the artist.
        type: what they did.
        plays: how often they played the artist, above 0; 1 for other types.
        timestamp: when, in microseconds since 1970 (UTC); None where nobody said.
        event_id: the sender's name for it; None for none.
        artist_name: what the artist is called; None where nobody said.
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
        """Returns what the event is known by, 16 bytes.

        That is a hash of its id; without one, of its content, if that has a timestamp; else it is
        random, since two plays may well be equal.
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
    """Returns what is left of a user who was erased, 16 bytes."""
    return _hash(b"user", user_id.encode())


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what the store adds.

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
        """When it happened, as far as is known: in microseconds since 1970 (UTC)."""
        return self.received_at if self.event.timestamp is None else self.event.timestamp


def _hash(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        # With its length, so that parts cannot be cut another way.
        digest.update(struct.pack("<q", len(part)))
        digest.update(part)
    return digest.digest()
