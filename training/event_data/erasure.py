"""Erasure: what data and published models still hold of users who were erased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.events.event import user_hash
from app.model.model import Model
from app.store.interface import EventStore, learned_up_to
from training.data.records import REASON_ERASED, Records, RowCounts


def erased_rows(records: Records, erased: frozenset[bytes]) -> NDArray[np.bool_]:
    """Marks the records of erased users, shape (n_records,).

    Args:
        records: the records.
        erased: hashes of the users who were erased.
    """
    if not erased:
        return np.zeros(len(records), dtype=bool)
    is_erased = np.array([user_hash(user_id) in erased for user_id in records.user_ids], dtype=bool)
    return is_erased[records.user_codes]


def without_erased_rows(rows: RowCounts, is_erased: NDArray[np.bool_]) -> RowCounts:
    """Returns the counts with the records of erased users as dropped.

    Args:
        rows: the counts.
        is_erased: from ``erased_rows``.
    """
    if not is_erased.any():
        return rows
    return replace(rows, dropped={**rows.dropped, REASON_ERASED: int(is_erased.sum())})


def without_erased(records: Records, erased: frozenset[bytes]) -> Records:
    """Returns the records without those of erased users, which are counted as dropped."""
    is_erased = erased_rows(records, erased)
    if not is_erased.any():
        return records
    times = records.timestamps
    return replace(
        records,
        user_codes=records.user_codes[~is_erased],
        item_codes=records.item_codes[~is_erased],
        plays=records.plays[~is_erased],
        timestamps=None if times is None else times[~is_erased],
        rows=without_erased_rows(records.rows, is_erased),
    )


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
