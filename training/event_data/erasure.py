"""Erasure: which published models still hold users who were erased since."""

from __future__ import annotations

from app.events.event import user_hash
from app.model.model import Model
from app.store.interface import EventStore, learned_up_to


def erased_since(model: Model, store: EventStore) -> frozenset[bytes]:
    """Returns the hashes of users who were erased after a model had read the store.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    end = store.last_sequence()
    learned = learned_up_to(store, model.watermark, end)
    return frozenset(hashed for hashed, number in store.tombstones(end) if number > learned)


def count_erased(model: Model, store: EventStore) -> int:
    """Counts the users of a model who were erased after it had read the store.

    Args:
        model: whose users.
        store: has the tombstones.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    erased = erased_since(model, store)
    if not erased:
        return 0
    ids = map(model.users.id, range(len(model.users)))
    return sum(user_hash(user_id) in erased for user_id in ids)
