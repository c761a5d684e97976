"""Erasure: published models that still hold users who were erased later."""

from __future__ import annotations

from app.events.event import user_hash
from app.model.model import Model
from app.store.interface import EventStore, learned_up_to


def erased_since(model: Model, store: EventStore) -> frozenset[bytes]:
    """Returns the hashes of users who were erased after the training of a model.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    end = store.last_sequence()
    learned = learned_up_to(store, model.watermark, end)
    return frozenset(hashed for hashed, number in store.tombstones(end) if number > learned)


def count_erased(model: Model, store: EventStore) -> int:
    """Returns the number of users of a model who were erased after its training.

    Args:
        model: the model with its watermark.
        store: the store with the tombstones.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    erased = erased_since(model, store)
    if not erased:
        return 0
    ids = map(model.users.id, range(len(model.users)))
    return sum(user_hash(user_id) in erased for user_id in ids)
