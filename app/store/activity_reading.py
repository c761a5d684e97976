"""What a user's events come to, read from a store: for the service, and for lists made offline."""

from __future__ import annotations

from typing import Final

from app.events.activity import Activity, activity_of
from app.events.event_types import EventRules
from app.store.interface import EventStore

# Of somebody with more, the latest count.
EVENTS_PER_USER: Final = 10_000


def read_activity(
    store: EventStore, user_id: str, rules: EventRules, at: int, learned: int = 0
) -> Activity | None:
    """Reads what a user's events come to, None for somebody without any who was not erased.

    Args:
        store: where they are.
        user_id: whose.
        rules: what they count for.
        at: the time now, in microseconds since 1970 (UTC).
        learned: number of the last event that a training has learned; it obeys tombstones up to
            there, and knows the user again from events since.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    events = store.events_of(user_id, limit=EVENTS_PER_USER)
    is_erased = store.tombstone_of(user_id) > learned
    if not events and not is_erased:
        return None
    return activity_of(events, rules, at, learned=learned, is_erased=is_erased)
