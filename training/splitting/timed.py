"""Splits by time: later records are the test part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.data.interactions import Interactions, TimedPlays
from training.errors import NothingToMeasure, TimesMissing, TrainingError
from training.splitting.split import (
    VALIDATION_MIN_ITEMS,
    Fold,
    OneFold,
    check_fraction,
    check_min_items,
    floored,
    refuse_short_histories,
)

_MINUTE: Final = 60
_DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class GlobalTime(OneFold):
    """Training ends at one point in time; artists that users discover later are the test part.

    Training sums the records before that time. The test part holds the pairs whose first record
    lies at or after it. A user without a record before it has no history, and is answered by
    popularity.

    Attributes:
        test_fraction: above 0, below 1. The time is chosen so that this share of the records lies
            at or after it; more where many records have that very time.
        at: the time itself, in seconds since 1970; None to choose it by ``test_fraction``.
    """

    option: ClassVar[str] = "global-time"
    name: ClassVar[str] = "global time"
    options: ClassVar[Mapping[str, str]] = {"--test-fraction": "test_fraction", "--at": "at"}

    test_fraction: float = 0.2
    at: int | None = None

    def __post_init__(self) -> None:
        check_fraction("test_fraction", self.test_fraction)
        _check_time(self.at)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``.

        Raises:
            NothingToMeasure: one side of the time has no record, or nothing is discovered after it.
            TimesMissing: the times of the records are unknown.
        """
        timed = _times_of(interactions, self.name)
        at = self._time_for(timed.timestamps) if self.at is None else self.at
        before = timed.timestamps < at
        if not before.any() or before.all():
            raise NothingToMeasure(_one_sided(timed.timestamps, at))
        discovered = timed.first_times() >= at
        if not discovered.any():
            raise NothingToMeasure(
                f"from {_iso(at)} on no user plays an artist for the first time, so there is "
                "nothing to find; choose an earlier time"
            )
        train = interactions.with_records(timed.take(before))
        yield Fold(train, interactions.with_pairs(discovered))

    def _time_for(self, timestamps: NDArray[np.int64]) -> int:
        wanted = max(1, int(floored(self.test_fraction * len(timestamps))))
        return int(np.partition(timestamps, -wanted)[-wanted])

    def validation(self) -> GlobalTime:
        """Returns the split at an earlier time, by ``test_fraction`` of the training records."""
        return replace(self, at=None)


@dataclass(frozen=True, slots=True)
class Yambda(OneFold):
    """The last day is the test part, after a gap; the global time split of Yambda.

    Training sums the records that lie before the day by more than the gap. The test part holds the
    records of the day whose pairs training lacks, of users whom training has. All other records are
    in neither part. "Yambda-5B", Ploshkin and others, 2025; there, known pairs are tested as well.

    Attributes:
        at: the beginning of the test part, in seconds since 1970; None for ``test_days`` before the
            last record.
        test_days: length of the test part where ``at`` is None, at least 1.
        gap_minutes: at least 0.
    """

    option: ClassVar[str] = "yambda"
    name: ClassVar[str] = "yambda"
    options: ClassVar[Mapping[str, str]] = {"--at": "at"}

    at: int | None = None
    test_days: int = 1
    gap_minutes: int = 30

    def __post_init__(self) -> None:
        _check_time(self.at)
        if self.test_days < 1 or self.gap_minutes < 0:
            raise TrainingError("test_days has to be at least 1, and gap_minutes at least 0")

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``.

        Raises:
            NothingToMeasure: a side of the gap has no record, or nobody discovers anything.
            TimesMissing: the times of the records are unknown.
        """
        timed = _times_of(interactions, self.name)
        times = timed.timestamps
        at = int(times.max()) - self.test_days * _DAY if self.at is None else self.at
        before, after = times < at - self.gap_minutes * _MINUTE, times >= at
        if not before.any() or not after.any():
            raise NothingToMeasure(
                _one_sided(times, at if before.any() else at - self.gap_minutes * _MINUTE)
            )
        is_known = np.logical_or.reduceat(before, timed.starts())
        has_history = np.zeros(interactions.user_items.n_users, dtype=bool)
        has_history[timed.user_indices[before]] = True
        is_test = after & ~timed.spread(is_known) & has_history[timed.user_indices]
        if not is_test.any():
            raise NothingToMeasure(
                f"from {_iso(at)} on no user of before plays an artist for the first time, so "
                "there is nothing to find; name an earlier time with --at"
            )
        train = interactions.with_records(timed.take(before))
        yield Fold(train, interactions.with_records(timed.take(is_test)))

    def validation(self) -> Yambda:
        """Returns the same split, of the last day of the training part."""
        return replace(self, at=None)


@dataclass(frozen=True, slots=True)
class LeaveLastOut(OneFold):
    """The artist that a user discovered last is the test part.

    That is the artist with the latest first record; of several in the same second, the one with the
    highest index. Training holds the user's records up to that second, without this artist. Later
    records of the user are in neither part: they would leak the future into training.

    Attributes:
        min_items: at least 2; all records of users with fewer artists stay in training.
    """

    option: ClassVar[str] = "leave-last-out"
    name: ClassVar[str] = "leave last out"

    min_items: int = 2

    def __post_init__(self) -> None:
        check_min_items(self.min_items)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``.

        Raises:
            NothingToMeasure: no user has enough artists.
            TimesMissing: the times of the records are unknown.
        """
        timed = _times_of(interactions, self.name)
        user_items = interactions.user_items
        lengths = user_items.row_lengths()
        refuse_short_histories(lengths, self.min_items)
        takes_part = lengths >= self.min_items
        first_times = timed.first_times()
        last = _last_of_each_row(user_items, first_times)[takes_part]
        is_test = np.zeros(user_items.nnz, dtype=bool)
        is_test[last] = True
        until = np.full(user_items.n_users, np.iinfo(np.int64).max)
        until[takes_part] = first_times[last]
        in_training = (timed.timestamps <= until[timed.user_indices]) & ~timed.spread(is_test)
        train = interactions.with_records(timed.take(in_training))
        yield Fold(train, interactions.with_pairs(is_test))

    def validation(self) -> LeaveLastOut:
        """Returns the same split; users with too few artists left are not tested."""
        return replace(self, min_items=min(self.min_items, VALIDATION_MIN_ITEMS))


def _last_of_each_row(user_items: UserItems, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the pair of each row with the latest time, ties by higher item; shape (n_users,)."""
    lengths = user_items.row_lengths()
    filled = lengths > 0
    latest = np.maximum.reduceat(times, user_items.indptr[:-1][filled])
    pairs = np.flatnonzero(times == np.repeat(latest, lengths[filled]))
    last = np.full(user_items.n_users, -1)
    # Where a row has several such pairs, the assignment leaves the last one.
    last[user_items.row_of_each_pair()[pairs]] = pairs
    return last


def _times_of(interactions: Interactions, split: str) -> TimedPlays:
    if interactions.timed is None:
        raise TimesMissing(f"the split '{split}'", " or another split")
    return interactions.timed


def _one_sided(timestamps: NDArray[np.int64], at: int) -> str:
    first, last = int(timestamps.min()), int(timestamps.max())
    if first == last:
        return (
            f"all records are of one time, {_iso(first)}, so no time divides them; take another "
            "split"
        )
    side = "before" if at <= first else "at or after"
    return (
        f"no record lies {side} {_iso(at)}, where training should end; they reach from "
        f"{_iso(first)} to {_iso(last)}: name a time in between"
    )


def _check_time(at: int | None) -> None:
    if at is not None and at.bit_length() > 63:
        raise TrainingError(f"at has to be a time in seconds since 1970, not {at}")


def _iso(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}Z"
