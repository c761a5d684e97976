"""Reading a user's activity from a store, for the service and for lists that are made offline."""

from __future__ import annotations

from typing import Final

from app.events.activity import Activity, activity_of
from app.events.event_types import EventRules
from app.store.interface import EventStore

# Of a user with more events, the latest count.
EVENTS_PER_USER: Final = 10_000


def read_activity(
    store: EventStore, user_id: str, rules: EventRules, at: int, learned: int = 0
) -> Activity | None:
    """Reads a user's activity; None for a user who has no events and was not erased.

    Args:
        store: the event store.
        user_id: the user.
        rules: how many units each type of event counts.
        at: the time now, in microseconds since 1970 (UTC).
        learned: number of the last event that a training has learned. A tombstone up to this number
            was obeyed by the training, so only a later one erases the user's history.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    events = store.events_of(user_id, limit=EVENTS_PER_USER)
    is_erased = store.tombstone_of(user_id) > learned
    if not events and not is_erased:
        return None
    return activity_of(events, rules, at, learned=learned, is_erased=is_erased)
