"""Filters: from records to interactions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.interactions import Interactions, gather_records
from training.data.records import Records
from training.errors import TrainingError
from training.numbers import plural


@dataclass(frozen=True, slots=True)
class Filters:
    """Which users and items take part; applied in this order, to records before summing.

    Attributes:
        min_user_records: users with fewer records are left out; records without an item count.
        min_item_records: items with fewer records of the remaining users are left out.
        top_users: largest number of users, those with most remaining records; None for all.

    Raises:
        TrainingError: a value is below 1.
    """

    min_user_records: int = 1
    min_item_records: int = 1
    top_users: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise TrainingError(f"{name} has to be at least 1, not {value}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the filters for the manifest."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """What is left after a filter.

    Attributes:
        name: of the filter.
        records, users, items: numbers of them that are left.
    """

    name: str
    records: int
    users: int
    items: int

    def to_manifest(self) -> dict[str, Any]:
        """Returns the step for the manifest."""
        return asdict(self)


def preprocess(records: Records, filters: Filters) -> tuple[Interactions, list[Step]]:
    """Applies the filters and sums repeated pairs.

    Args:
        records: listening records; those with item code -1 have no item and are left out here.
        filters: which users and items stay.

    Returns:
        Interactions of the remaining users and items, and the steps with what each left.

    Raises:
        TrainingError: the filters leave nothing, or the plays of a pair exceed float32.
    """
    users, items = records.user_codes, records.item_codes
    remaining = np.ones(len(records), dtype=bool)
    steps = [_count("records read", records, remaining)]

    per_user = np.bincount(users, minlength=len(records.user_ids))
    remaining &= per_user[users] >= filters.min_user_records
    if filters.min_user_records > 1:
        steps.append(_count(f"users with {filters.min_user_records} or more", records, remaining))

    remaining &= items >= 0
    per_item = np.bincount(items[remaining], minlength=len(records.items))
    remaining[remaining] = per_item[items[remaining]] >= filters.min_item_records
    if filters.min_item_records > 1:
        steps.append(_count(f"artists with {filters.min_item_records} or more", records, remaining))

    if filters.top_users is not None:
        remaining[remaining] = np.isin(users[remaining], _top(users[remaining], filters.top_users))
        steps.append(_count(f"the {filters.top_users} users with most", records, remaining))

    if not remaining.any():
        raise TrainingError(nothing_left(filters, steps))
    interactions = _sum(records, remaining)
    steps.append(
        Step(
            "repeated pairs summed",
            interactions.user_items.nnz,
            len(interactions.user_ids),
            len(interactions.items),
        )
    )
    return interactions, steps


def _top(users: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Returns the users with most records, ties by lower code."""
    per_user = np.bincount(users)
    return np.argsort(-per_user, kind="stable")[:count]


def _count(name: str, records: Records, remaining: NDArray[np.bool_]) -> Step:
    users, items = records.user_codes[remaining], records.item_codes[remaining]
    return Step(
        name,
        int(remaining.sum()),
        _distinct(users, len(records.user_ids)),
        _distinct(items[items >= 0], len(records.items)),
    )


def _distinct(codes: NDArray[np.int32], size: int) -> int:
    present = np.zeros(size, dtype=bool)
    present[codes] = True
    return int(present.sum())


def _sum(records: Records, remaining: NDArray[np.bool_]) -> Interactions:
    users_left, users = _compact(records.user_codes[remaining], len(records.user_ids))
    items_left, items = _compact(records.item_codes[remaining], len(records.items))
    n_users, n_items = len(users_left), len(items_left)
    timestamps = None if records.timestamps is None else records.timestamps[remaining]
    user_items, timed = gather_records(
        users, items, records.plays[remaining], timestamps, n_users=n_users, n_items=n_items
    )
    if not np.isfinite(user_items.plays).all():
        raise TrainingError(
            f"the plays of a pair sum to more than {np.finfo(np.float32).max:.3g}; are they plays?"
        )
    return Interactions(
        records.user_ids.gather(users_left),
        records.items.take(items_left),
        user_items,
        timed,
    )


def _compact(codes: NDArray[np.int32], size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Returns the codes that occur, in order, and each code's position among them."""
    present = np.zeros(size, dtype=bool)
    present[codes] = True
    position = np.cumsum(present, dtype=np.int32) - 1
    return np.flatnonzero(present), position[codes]


def nothing_left(filters: Filters, steps: list[Step]) -> str:
    """Returns the message for filters that leave nothing."""
    options = ", ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in filters.to_manifest().items()
        if value is not None
    )
    history = "; ".join(
        f"{step.name}: {plural(step.records, 'record')} of {plural(step.users, 'user')} and "
        f"{plural(step.items, 'artist')}"
        for step in steps
    )
    return f"the filters {options} leave nothing to train on ({history}); loosen them"
