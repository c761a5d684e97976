"""Entries that are moved from one event store into another, and a store's statistics."""

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
        key: the key from ``Event.key``; a random one is known only to the store.
        received_at: when it was stored first, in microseconds since 1970 (UTC).
        event: as it was sent.
    """

    sequence: int
    key: bytes
    received_at: int
    event: Event


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The record of a user who was erased.

    Attributes:
        sequence: its number in the store that it comes from.
        user_hash: from ``app.events.event.user_hash``.
        stamp_key: from ``app.store.stamps.stamp_key``.
        erased_at: in microseconds since 1970 (UTC).
    """

    sequence: int
    user_hash: bytes
    stamp_key: int
    erased_at: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """A tombstone of another store, and the user of this store that it erases.

    Attributes:
        tombstone: the tombstone in the other store.
        user_id: the user; None if no user here has that hash.
    """

    tombstone: Tombstone
    user_id: str | None


Entry: TypeAlias = KeyedEvent | Tombstone


@dataclass(frozen=True, slots=True)
class Source:
    """The store that entries come from.

    Attributes:
        store_id: its id.
        origins: by id of another store, the number up to which it holds the events of that store.
    """

    store_id: str
    origins: Mapping[str, int]


@dataclass(slots=True)
class Absorbed:
    """Counts of the entries of another store by outcome.

    Attributes:
        stored: new events, which were stored.
        renumbered: stored events that got a different number than they have in the other store.
        repeated: events that were stored before.
        conflicts: events whose key belongs to an event with different content; not stored.
        of_erased: events from before their user was erased; not stored.
        users_erased: users whose tombstone is new, or newer than the one that was stored.
        events_erased: events of these users, which were deleted.
    """

    stored: int = 0
    renumbered: int = 0
    repeated: int = 0
    conflicts: int = 0
    of_erased: int = 0
    users_erased: int = 0
    events_erased: int = 0

    def add(self, other: Absorbed) -> None:
        """Adds the counts of more entries."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a store.

    Attributes:
        store_id: its id.
        last_sequence: number of the last event or tombstone.
        events: the number of events by type.
        users: how many users have events.
        artists: how many artists have events.
        first: when the first event happened, in microseconds since 1970 (UTC); None without any.
        last: when the last one did.
        erased_users: how many users were erased.
        unavailable_artists: how many artists are unavailable.
        origins: by id of another store, the number up to which it holds the events of that store.
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
