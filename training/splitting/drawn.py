"""Random splits: the seed decides the parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError
from training.numbers import plural
from training.splitting.split import (
    VALIDATION_MIN_ITEMS,
    VALIDATION_SEED,
    Fold,
    Named,
    OneFold,
    check_fraction,
    check_min_items,
    floored,
    refuse_short_histories,
)


@dataclass(frozen=True, slots=True)
class RandomPerUser(OneFold):
    """A random part of every user's items goes to the test part.

    A user with at least ``min_items`` items gives max(1, floor(test_fraction * items)) of them;
    all items of the other users stay in training.

    Attributes:
        test_fraction: above 0, below 1.
        min_items: at least 2, so that every user has training items left.
        seed: of the draw.
    """

    option: ClassVar[str] = "random"
    name: ClassVar[str] = "random per user"
    options: ClassVar[Mapping[str, str]] = {"--test-fraction": "test_fraction"}

    test_fraction: float = 0.2
    min_items: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_fraction("test_fraction", self.test_fraction)
        check_min_items(self.min_items)

    def split(self, interactions: Interactions) -> tuple[Interactions, Interactions]:
        """Splits the pairs.

        Returns:
            Training and test part over the same users and items.

        Raises:
            NothingToMeasure: no user has enough items.
        """
        lengths = interactions.user_items.row_lengths()
        refuse_short_histories(lengths, self.min_items)
        rng = np.random.default_rng(self.seed)
        is_test = draw(interactions.user_items, self.wanted(lengths), rng)
        return interactions.with_pairs(~is_test), interactions.without_times().with_pairs(is_test)

    def wanted(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns how many items each user gives, for the number of their items."""
        wanted = np.maximum(1, floored(self.test_fraction * lengths))
        wanted[lengths < self.min_items] = 0
        return wanted

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``."""
        yield Fold(*self.split(interactions))

    def validation(self) -> RandomPerUser:
        """Returns the same split with another seed, in which short histories take part."""
        return replace(self, min_items=VALIDATION_MIN_ITEMS, seed=self.seed + VALIDATION_SEED)


@dataclass(frozen=True, slots=True)
class KFold(Named):
    """All pairs are dealt at random to folds of equal size; each fold is the test part once.

    All pairs of a user may be in the test part. Such a user has no history and is answered by
    popularity, as any new user is. An item that only the test part has counts as a test item,
    although no list can have it.

    Attributes:
        n_folds: at least 2.
        seed: of the deal.
    """

    option: ClassVar[str] = "k-fold"
    name: ClassVar[str] = "k-fold"
    options: ClassVar[Mapping[str, str]] = {"--folds": "n_folds"}

    n_folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise TrainingError(f"n_folds has to be 2 or more, not {self.n_folds}")

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the folds; see ``Split``.

        Raises:
            TrainingError: there are more folds than pairs.
        """
        n_pairs = interactions.user_items.nnz
        if self.n_folds > n_pairs:
            raise TrainingError(
                f"{plural(self.n_folds, 'fold')} cannot be made of {plural(n_pairs, 'pair')} of "
                "user and artist; ask for fewer"
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
        """Returns a random split by user, since one validation part is enough."""
        return RandomPerUser(min_items=VALIDATION_MIN_ITEMS, seed=self.seed + VALIDATION_SEED)


@dataclass(frozen=True, slots=True)
class HeldOutUsers(OneFold):
    """Some users are held out of training and are folded in from part of their history.

    Of the users with at least ``min_items`` artists, max(1, floor(user_fraction * users)) are held
    out. Of the artists of each, max(1, floor((1 - given_fraction) * artists)), drawn at random, are
    the test part; the others are given. Training has all artists of all other users.

    Attributes:
        user_fraction: above 0, below 1.
        given_fraction: above 0, below 1.
        min_items: at least 2.
        seed: of both draws.
    """

    option: ClassVar[str] = "held-out-users"
    name: ClassVar[str] = "held-out users"
    options: ClassVar[Mapping[str, str]] = {"--test-fraction": "user_fraction"}

    user_fraction: float = 0.2
    given_fraction: float = 0.8
    min_items: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_fraction("user_fraction", self.user_fraction)
        check_fraction("given_fraction", self.given_fraction)
        check_min_items(self.min_items)

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the one fold; see ``Split``.

        Raises:
            NothingToMeasure: no user has enough artists, or no user is left to train on.
        """
        user_items = interactions.user_items
        lengths = user_items.row_lengths()
        refuse_short_histories(lengths, self.min_items)
        rng = np.random.default_rng(self.seed)
        held_out = self._choose_users(lengths, rng)
        wanted = np.clip(floored((1 - self.given_fraction) * lengths), 1, lengths - 1)
        is_test = draw(user_items, np.where(held_out, wanted, 0), rng)
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
        count = max(1, int(floored(self.user_fraction * len(able))))
        held_out = np.zeros(len(lengths), dtype=bool)
        held_out[rng.choice(able, count, replace=False)] = True
        return held_out

    def validation(self) -> RandomPerUser:
        """Returns a random split by user, for the users who are in training."""
        return RandomPerUser(min_items=VALIDATION_MIN_ITEMS, seed=self.seed + VALIDATION_SEED)


Drawn: TypeAlias = RandomPerUser | KFold | HeldOutUsers


def draw(
    user_items: UserItems, wanted: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Marks random pairs of each user; shape (nnz,).

    Args:
        user_items: the pairs.
        wanted: shape (n_users,), how many of each user.
        rng: gives one number for each pair, in the order of the pairs.
    """
    rows = user_items.row_of_each_pair()
    # Each row is shuffled, and its first pairs are drawn.
    shuffled = np.lexsort((rng.random(user_items.nnz), rows))
    place_in_row = np.arange(user_items.nnz) - user_items.indptr[rows]
    drawn = np.zeros(user_items.nnz, dtype=bool)
    drawn[shuffled] = place_in_row < wanted[rows]
    return drawn
