"""What goes from one event store into another, and what a store says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from app.events.event import Event
from app.events.event_types import EventType


@dataclass(frozen=True, slots=True)
class KeyedEvent:
    """An event with the key that it is stored under.

    Attributes:
        sequence: its number in the store that it comes from.
        key: as of ``Event.key``; only the store knows a random one.
        received_at: when it was stored first, in microseconds since 1970 (UTC).
        event: as it was sent.
    """

    sequence: int
    key: bytes
    received_at: int
    event: Event


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a user who was erased.

    Attributes:
        sequence: its number in the store that it comes from.
        user_hash: as of ``app.events.event.user_hash``.
        stamp_key: as of ``app.store.stamps.stamp_key``.
        erased_at: in microseconds since 1970 (UTC).
    """

    sequence: int
    user_hash: bytes
    stamp_key: int
    erased_at: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """A tombstone of another store, and whom it means here.

    Attributes:
        tombstone: as it is there.
        user_id: who that is; None if nobody here has that hash.
    """

    tombstone: Tombstone
    user_id: str | None


Entry: TypeAlias = KeyedEvent | Tombstone


@dataclass(frozen=True, slots=True)
class Source:
    """The store that entries come from.

    Attributes:
        store_id: its id.
        origins: up to which numbers it holds the events of stores with other ids.
    """

    store_id: str
    origins: Mapping[str, int]


@dataclass(slots=True)
class Absorbed:
    """What became of entries of another store.

    Attributes:
        stored: events that are new.
        renumbered: those of them that got another number than they have in the other store.
        repeated: events that were there.
        conflicts: events whose key belongs to one with another content; not stored.
        of_erased: events from before their user was erased; not stored.
        users_erased: users whose tombstone is new, or newer than the one that was there.
        events_erased: how many events they had, which are gone.
    """

    stored: int = 0
    renumbered: int = 0
    repeated: int = 0
    conflicts: int = 0
    of_erased: int = 0
    users_erased: int = 0
    events_erased: int = 0

    def add(self, other: Absorbed) -> None:
        """Adds what became of more entries."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a store holds.

    Attributes:
        store_id: its id.
        last_sequence: number of the last event or tombstone.
        events: how many there are, by type.
        users: how many users have events.
        artists: how many artists have events.
        first: when the first event happened, in microseconds since 1970 (UTC); None without any.
        last: when the last one did.
        erased_users: how many users were erased.
        unavailable_artists: how many artists are unavailable.
        origins: up to which numbers it holds the events of stores with other ids.
    """

    store_id: str
    last_sequence: int
    events: Mapping[EventType, int]
    users: int
    artists: int
    first: int | None
    last: int | None
    erased_users: int
    unavailable_artists: int
    origins: Mapping[str, int]
