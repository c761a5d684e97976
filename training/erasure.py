"""Erasure: which published models still hold users who were erased since."""

from __future__ import annotations

from pathlib import Path

from app.artifact import open_model
from app.events import user_hash
from app.store.interface import EventStore, learned_up_to


def count_erased(folder: Path, store: EventStore) -> int:
    """Counts the users of a model who were erased after it had read the store.

    Args:
        folder: ``models/<version>``.
        store: has the tombstones.

    Raises:
        InvalidArtifact: the model cannot be read.
        StoreUnavailable: the store cannot be read.
    """
    model, end = open_model(folder), store.last_sequence()
    learned = learned_up_to(store, model.watermark, end)
    erased = {hashed for hashed, number in store.tombstones(end) if number > learned}
    if not erased:
        return 0
    ids = map(model.users.id, range(len(model.users)))
    return sum(user_hash(user_id) in erased for user_id in ids)
