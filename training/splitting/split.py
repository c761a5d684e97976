"""Splits: which pairs a model may learn from, and which it is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.interactions import UserItems
from training.errors import NothingToMeasure, TrainingError
from training.interactions import Interactions, TimedPlays

_VALIDATION_SEED: Final = 100
# So that short histories take part in the choice of hyperparameters as well.
_VALIDATION_MIN_ITEMS: Final = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """What one model learns from, and what it is measured on.

    Attributes:
        train: the training part.
        test: the test part, over the same users and items.
        given: for a split by users, what is told of users who are not in training, so that they
            can be folded in; over the same users and items; else None.
    """

    train: Interactions
    test: Interactions
    given: Interactions | None = None


class Split(Protocol):
    """A way of cutting a test part."""

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        ...

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the folds.

        Raises:
            NothingToMeasure: a fold has no training or no test pair.
            TrainingError: the data lack what the split needs.
        """
        ...

    def validation(self) -> Split:
        """Returns the split that cuts a validation part from this one's training part."""
        ...

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and the metrics."""
        ...


@dataclass(frozen=True, slots=True)
class _Named:
    """A split with a name."""

    name: ClassVar[str]

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and the metrics."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True, slots=True)
class _OneFold(_Named):
    n_folds: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class RandomPerUser(_OneFold):
    """A random part of every user's items goes to the test part.

    A user with at least ``min_items`` items gives max(1, floor(test_fraction * items)) of them;
    the others stay in training whole.

    Attributes:
        test_fraction: above 0, below 1.
        min_items: at least 2, so that nobody loses everything.
        seed: of the draw.
    """

    name: ClassVar[str] = "random per user"

    test_fraction: float = 0.2
    min_items: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_fraction("test_fraction", self.test_fraction)
        _check_min_items(self.min_items)

    def split(self, interactions: Interactions) -> tuple[Interactions, Interactions]:
        """Splits the pairs.

        Returns:
            Training and test part over the same users and items.

        Raises:
            NothingToMeasure: no user has enough items.
        """
        lengths = interactions.user_items.row_lengths()
        _refuse_short_histories(lengths, self.min_items)
        wanted = np.maximum(1, _floor(self.test_fraction * lengths))
        wanted[lengths < self.min_items] = 0
        is_test = _draw(interactions.user_items, wanted, np.random.default_rng(self.seed))
        return interactions.with_pairs(~is_test), interactions.without_times().with_pairs(is_test)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``."""
        yield Fold(*self.split(interactions))

    def validation(self) -> RandomPerUser:
        """Returns the same split with another seed, in which short histories take part."""
        return replace(self, min_items=_VALIDATION_MIN_ITEMS, seed=self.seed + _VALIDATION_SEED)


@dataclass(frozen=True, slots=True)
class KFold(_Named):
    """All pairs are dealt at random to folds of equal size; each is the test part once.

    A user may have all pairs in the test part. They stay there, without a history, and so are
    answered by popularity as any new user is. An item that only the test part has counts as a test
    item that no list can hit.

    Attributes:
        n_folds: at least 2.
        seed: of the deal.
    """

    name: ClassVar[str] = "k-fold"

    n_folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise TrainingError(f"n_folds has to be 2 or more, not {self.n_folds}")

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the folds; see ``Split``."""
        n_pairs = interactions.user_items.nnz
        if self.n_folds > n_pairs:
            raise TrainingError(
                f"{self.n_folds} folds cannot be made of {n_pairs} pairs of user and artist; "
                "ask for fewer"
            )
        fold_of = np.empty(n_pairs, dtype=np.int64)
        dealt = np.random.default_rng(self.seed).permutation(n_pairs)
        fold_of[dealt] = np.arange(n_pairs) * self.n_folds // n_pairs
        untimed = interactions.without_times()
        for fold in range(self.n_folds):
            yield Fold(
                interactions.with_pairs(fold_of != fold), untimed.with_pairs(fold_of == fold)
            )

    def validation(self) -> RandomPerUser:
        """Returns a random split by user, for one validation part is enough."""
        return RandomPerUser(min_items=_VALIDATION_MIN_ITEMS, seed=self.seed + _VALIDATION_SEED)


@dataclass(frozen=True, slots=True)
class GlobalTime(_OneFold):
    """Training ends at one point in time; what users discover from then on is the test part.

    Training sums the records before that time. The test part holds the pairs whose first record
    lies at or after it. A user who begins only then has no history, and is answered by popularity.

    Attributes:
        test_fraction: the time is chosen so that this share of the records, above 0, below 1, lies
            at or after it; more where many records share that time.
        at: the time itself, in seconds since 1970; None to go by ``test_fraction``.
    """

    name: ClassVar[str] = "global time"

    test_fraction: float = 0.2
    at: int | None = None

    def __post_init__(self) -> None:
        _check_fraction("test_fraction", self.test_fraction)
        if self.at is not None and self.at.bit_length() > 63:
            raise TrainingError(f"at has to be a time in seconds since 1970, not {self.at}")

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``."""
        timed = _times_of(interactions, self.name)
        at = self._time_for(timed.timestamps) if self.at is None else self.at
        before = timed.timestamps < at
        if not before.any() or before.all():
            raise NothingToMeasure(_one_sided(timed.timestamps, at))
        discovered = timed.first_times() >= at
        if not discovered.any():
            raise NothingToMeasure(
                f"from {_iso(at)} on nobody plays an artist for the first time, so there is "
                "nothing to find; choose an earlier time"
            )
        train = interactions.with_records(timed.take(before))
        yield Fold(train, interactions.with_pairs(discovered))

    def _time_for(self, timestamps: NDArray[np.int64]) -> int:
        wanted = max(1, int(_floor(self.test_fraction * len(timestamps))))
        return int(np.partition(timestamps, -wanted)[-wanted])

    def validation(self) -> GlobalTime:
        """Returns the split at an earlier time, by ``test_fraction`` of what is left."""
        return replace(self, at=None)


@dataclass(frozen=True, slots=True)
class LeaveLastOut(_OneFold):
    """The artist that a user discovered last is the test part.

    That is the artist with the latest first record; of several at the same second the one with the
    highest index. Training holds the user's records up to that second, without this artist. What
    the user played later is in neither part, for it would tell the future.

    Attributes:
        min_items: users with fewer artists, at least 2, stay in training whole.
    """

    name: ClassVar[str] = "leave last out"

    min_items: int = 2

    def __post_init__(self) -> None:
        _check_min_items(self.min_items)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``."""
        timed = _times_of(interactions, self.name)
        user_items = interactions.user_items
        lengths = user_items.row_lengths()
        _refuse_short_histories(lengths, self.min_items)
        takes_part = lengths >= self.min_items
        first_times = timed.first_times()
        last = _last_of_each_row(user_items, first_times)[takes_part]
        is_test = np.zeros(user_items.nnz, dtype=bool)
        is_test[last] = True
        until = np.full(user_items.n_users, np.iinfo(np.int64).max)
        until[takes_part] = first_times[last]
        keep = (timed.timestamps <= until[timed.user_indices]) & ~timed.spread(is_test)
        train = interactions.with_records(timed.take(keep))
        yield Fold(train, interactions.with_pairs(is_test))

    def validation(self) -> LeaveLastOut:
        """Returns the same split; who has too few artists left is not asked about."""
        return replace(self, min_items=min(self.min_items, _VALIDATION_MIN_ITEMS))


@dataclass(frozen=True, slots=True)
class HeldOutUsers(_OneFold):
    """Some users are not in training at all; they are folded in from part of their history.

    Of the users with at least ``min_items`` artists, max(1, floor(user_fraction * users)) are held
    out. Of each one's artists max(1, floor((1 - given_fraction) * artists)), drawn at random, are
    the test part; the others are given. Training has all other users whole.

    Attributes:
        user_fraction: above 0, below 1.
        given_fraction: above 0, below 1.
        min_items: at least 2.
        seed: of both draws.
    """

    name: ClassVar[str] = "held-out users"

    user_fraction: float = 0.2
    given_fraction: float = 0.8
    min_items: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_fraction("user_fraction", self.user_fraction)
        _check_fraction("given_fraction", self.given_fraction)
        _check_min_items(self.min_items)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``."""
        user_items = interactions.user_items
        lengths = user_items.row_lengths()
        _refuse_short_histories(lengths, self.min_items)
        rng = np.random.default_rng(self.seed)
        held_out = self._choose_users(lengths, rng)
        wanted = np.clip(_floor((1 - self.given_fraction) * lengths), 1, lengths - 1)
        is_test = _draw(user_items, np.where(held_out, wanted, 0), rng)
        is_told = held_out[user_items.row_of_each_pair()]
        if is_told.all():
            raise NothingToMeasure(
                "the only user with a history is held out, which leaves nothing to train on; "
                "take another split or more data"
            )
        yield Fold(
            train=interactions.with_pairs(~is_told),
            test=interactions.without_times().with_pairs(is_test),
            given=interactions.with_pairs(is_told & ~is_test),
        )

    def _choose_users(
        self, lengths: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        able = np.flatnonzero(lengths >= self.min_items)
        count = max(1, int(_floor(self.user_fraction * len(able))))
        held_out = np.zeros(len(lengths), dtype=bool)
        held_out[rng.choice(able, count, replace=False)] = True
        return held_out

    def validation(self) -> RandomPerUser:
        """Returns a random split by user, of those who are in training."""
        return RandomPerUser(min_items=_VALIDATION_MIN_ITEMS, seed=self.seed + _VALIDATION_SEED)


MadeHere: TypeAlias = RandomPerUser | KFold | GlobalTime | LeaveLastOut | HeldOutUsers

SPLITS: Final[Mapping[str, type[MadeHere]]] = MappingProxyType(
    {
        "random": RandomPerUser,
        "k-fold": KFold,
        "global-time": GlobalTime,
        "leave-last-out": LeaveLastOut,
        "held-out-users": HeldOutUsers,
    }
)


def _draw(
    user_items: UserItems, wanted: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Marks as many random pairs of each user as are ``wanted`` (n_users,); shape (nnz,)."""
    rows = user_items.row_of_each_pair()
    # Each row in random order: its first pairs are drawn.
    shuffled = np.lexsort((rng.random(user_items.nnz), rows))
    place_in_row = np.arange(user_items.nnz) - user_items.indptr[rows]
    drawn = np.zeros(user_items.nnz, dtype=bool)
    drawn[shuffled] = place_in_row < wanted[rows]
    return drawn


def _last_of_each_row(user_items: UserItems, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the pair of each row with the latest time, ties by higher item; shape (n_users,)."""
    lengths = user_items.row_lengths()
    filled = lengths > 0
    latest = np.maximum.reduceat(times, user_items.indptr[:-1][filled])
    pairs = np.flatnonzero(times == np.repeat(latest, lengths[filled]))
    last = np.full(user_items.n_users, -1)
    # Of pairs of the same row the last one stays.
    last[user_items.row_of_each_pair()[pairs]] = pairs
    return last


def _floor(amounts: ArrayLike) -> NDArray[np.int64]:
    # (1 - 0.8) * 10 comes out just below 2.
    return np.floor(np.asarray(amounts) + 1e-9).astype(np.int64)


def _times_of(interactions: Interactions, split: str) -> TimedPlays:
    if interactions.timed is None:
        raise TrainingError(
            f"the split '{split}' needs to know when each record was played, which these data do "
            "not tell; take a dataset with times (lastfm-1k, or a table whose column of times "
            "--timestamp-column names) or another split"
        )
    return interactions.timed


def _one_sided(timestamps: NDArray[np.int64], at: int) -> str:
    first, last = int(timestamps.min()), int(timestamps.max())
    if first == last:
        return (
            f"all records are of one time, {_iso(first)}, which no time parts; take another split"
        )
    side = "before" if at <= first else "at or after"
    return (
        f"no record lies {side} {_iso(at)}, where training should end; they reach from "
        f"{_iso(first)} to {_iso(last)}: name a time in between"
    )


def _iso(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}Z"


def _refuse_short_histories(lengths: NDArray[np.int64], min_items: int) -> None:
    if not np.any(lengths >= min_items):
        raise NothingToMeasure(
            f"no user has the {min_items} artists that the split asks for; the longest "
            f"history has {int(lengths.max(initial=0))}"
        )


def _check_fraction(name: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise TrainingError(f"{name} has to lie between 0 and 1, not {fraction}")


def _check_min_items(min_items: int) -> None:
    if min_items < 2:
        raise TrainingError(f"min_items has to be 2 or more, not {min_items}")
