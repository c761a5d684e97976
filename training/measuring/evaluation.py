"""Evaluation: every contender makes a list for each user, in which hits are marked.

The whole catalogue is ranked, training items are excluded, and measures are means over the users
with at least one test item. Lists are made once, at the largest cut-off: a shorter list is the
beginning of a longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Protocol, assert_never, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import PopularityBy, Query, Strategy
from training.errors import NothingToMeasure
from training.measuring.measures import (
    MEASURES,
    Measure,
    Measures,
    OfExposure,
    OverPlaces,
    OverUsers,
    PerUser,
)
from training.progress import NoProgress, Progress
from training.splitting.split import Fold
from training.threads import in_threads

CUTOFFS: Final = (1, 5, 10, 15, 20)

_BLOCK: Final = 256
# The manifest has other options only if they differ from their defaults.
_ALWAYS_IN_MANIFEST: Final = frozenset({"strategy", "include_seen", "discovery"})


@runtime_checkable
class GivesLists(Protocol):
    """A way of making lists that can be measured."""

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Makes a list for each user.

        Args:
            model: trained on the fold's training part.
            fold: the parts; the history of a user in ``fold.given`` is only that row.
            users: user indices.
            k: length of the lists.
            done: called with the number of lists made since the last call.

        Returns:
            int64, shape (len(users), k), item indices, best first, -1 after the end of a short
            list. The list for a smaller k is the beginning of that for a larger one.
        """
        ...

    def to_manifest(self) -> dict[str, Any]:
        """Returns how the lists were made."""
        ...


@dataclass(frozen=True, slots=True, init=False)
class Contender:
    """The recommender of the service with one set of options.

    Args:
        strategy: of the query.
        popularity_by: order of the popularity rung.
        options: other options of ``Query``.

    Attributes:
        query: the query for every user, without user and length.
        popularity_by: order of the popularity rung.
    """

    query: Query
    popularity_by: PopularityBy

    def __init__(
        self,
        strategy: Strategy,
        popularity_by: PopularityBy = PopularityBy.LISTENERS,
        **options: Any,
    ) -> None:
        """Makes a contender; any option of ``Query`` may be given by name."""
        object.__setattr__(self, "query", Query(strategy=strategy, **options))
        object.__setattr__(self, "popularity_by", popularity_by)

    def to_manifest(self) -> dict[str, Any]:
        """Returns the options of the lists."""
        query = self.query
        return {
            "strategy": str(query.strategy),
            "popularity_by": str(self.popularity_by),
            "include_seen": query.include_seen,
            "discovery": query.discovery,
            **{
                option.name: getattr(query, option.name)
                for option in fields(query)
                if option.name not in _ALWAYS_IN_MANIFEST
                and getattr(query, option.name) != option.default
            },
        }

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Asks the recommender for each user's list; see ``GivesLists``."""
        given = None if fold.given is None else fold.given.user_items
        return recommend_lists(model, self, users, k, done, given=given)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The lists of users on one fold, with their hits.

    Attributes:
        k: the main cut-off.
        cutoffs: all cut-offs, ascending.
        users: int64, shape (n_users,), indices of the measured users, ascending.
        users_with_test: int64, indices of all users with a test item.
        n_test: int64, shape (n_users,), number of test items of each user.
        n_history: int64, shape (n_users,), number of items in the history of each user.
        test_counts: int64, shape (n_items,), number of measured users with this test item.
        listeners: int64, shape (n_items,), number of training users of each item.
        n_training_users: number of users with training items.
        lists: contender to its lists: int32, shape (n_users, cutoffs[-1]), item indices, -1 after
            the end.
        hits: contender to marks of the same shape, bool: whether the item is a test item of the
            user.
        asked: contender to the options of its lists, for the manifest.
        measures: the measures to compute.
    """

    k: int
    cutoffs: Sequence[int]
    users: NDArray[np.int64]
    users_with_test: NDArray[np.int64]
    n_test: NDArray[np.int64]
    n_history: NDArray[np.int64]
    test_counts: NDArray[np.int64]
    listeners: NDArray[np.int64]
    n_training_users: int
    lists: Mapping[str, NDArray[np.int32]]
    hits: Mapping[str, NDArray[np.bool_]]
    asked: Mapping[str, Mapping[str, Any]]
    measures: Measures = field(default_factory=lambda: MEASURES)

    def per_user(self, contender: str, measure: OverUsers, cutoff: int | None = None) -> PerUser:
        """Returns each user's value of a measure, shape (n_users,), by default at k."""
        hits = self.hits[contender][:, : self.k if cutoff is None else cutoff]
        return measure.of(hits, self.n_test)

    def over_places(
        self, contender: str, measure: OverPlaces, cutoff: int | None = None
    ) -> tuple[PerUser, PerUser]:
        """Returns the sum of a measure over each user's list, and the lengths of the lists.

        Both have the shape (n_users,).
        """
        lists = self.lists[contender][:, : self.k if cutoff is None else cutoff]
        values = measure.of(self.listeners, self.n_training_users)
        filled = lists >= 0
        return (values[lists] * filled).sum(axis=1), filled.sum(axis=1, dtype=np.float64)

    def exposure(self, contender: str, cutoff: int | None = None) -> NDArray[np.int64]:
        """Returns the number of lists that each item is in, shape (n_items,)."""
        lists = self.lists[contender][:, : self.k if cutoff is None else cutoff]
        return np.bincount(lists[lists >= 0], minlength=len(self.listeners))

    def value(self, contender: str, measure: Measure, cutoff: int | None = None) -> float:
        """Returns a measure of a contender, by default at k."""
        match measure:
            case OverUsers():
                return float(self.per_user(contender, measure, cutoff).mean())
            case OverPlaces():
                totals, places = self.over_places(contender, measure, cutoff)
                return float(totals.sum() / max(1.0, places.sum()))
            case OfExposure():
                return measure.of(self.exposure(contender, cutoff)[self.listeners > 0])
            case _:
                assert_never(measure)

    def values(self, contender: str, cutoff: int | None = None) -> dict[str, float]:
        """Returns all measures of a contender by name, by default at k."""
        return {name: self.value(contender, one, cutoff) for name, one in self.measures.items()}


def evaluate(
    model: Model,
    fold: Fold,
    contenders: Mapping[str, GivesLists],
    *,
    k: int = 10,
    cutoffs: Sequence[int] = CUTOFFS,
    measures: Measures = MEASURES,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures contenders on one fold.

    A user without training items gets the list of the service, which is popularity. A test item
    that is not in training counts, although no list can have it.

    Args:
        model: trained on the fold's training part; its items are the catalogue.
        fold: the parts, over the users and items of the model.
        contenders: the contenders, by name.
        k: the main cut-off, 1 to the number of training items.
        cutoffs: further cut-offs; those above the number of training items are left out.
        measures: the measures to compute.
        sample: number of users to measure, None for all. The seed draws them so that folds of the
            same users get the same sample, as far as these users have test items in the fold.
        seed: of the sample.
        progress: told of finished lists.

    Raises:
        NothingToMeasure: k or the sample is out of range, or no user has a test item.
    """
    listeners = np.asarray(model.popularity.listeners)
    wanted = cutoffs_of(k, cutoffs, int((listeners > 0).sum()))
    users_with_test = np.flatnonzero(fold.test.user_items.row_lengths() > 0)
    users = sample_of(users_with_test, sample, seed, len(model.users))
    tested = fold.test.user_items.take(users)
    history = (fold.given or fold.train).user_items
    done = (progress or NoProgress()).step("evaluation", len(users) * len(contenders))
    lists = {
        name: within_training(listeners, contender.lists(model, fold, users, wanted[-1], done))
        for name, contender in contenders.items()
    }
    return Evaluation(
        k=k,
        cutoffs=wanted,
        users=users,
        users_with_test=users_with_test,
        n_test=tested.row_lengths(),
        n_history=history.row_lengths()[users],
        test_counts=tested.listeners(),
        listeners=listeners,
        n_training_users=int((fold.train.user_items.row_lengths() > 0).sum()),
        lists=lists,
        hits={name: hits_of(made, tested) for name, made in lists.items()},
        asked={name: contender.to_manifest() for name, contender in contenders.items()},
        measures=measures,
    )


def recommend_lists(
    model: Model,
    contender: Contender,
    users: NDArray[np.int64],
    k: int,
    done: Callable[[int], None],
    *,
    given: UserItems | None = None,
) -> NDArray[np.int64]:
    """Asks the recommender for the list of each user.

    Args:
        model: the model.
        contender: the options of the lists.
        users: user indices.
        k: length of the lists.
        done: called with the number of lists made since the last call.
        given: the histories of users who are not in the model, over its indices; None to ask for
            users of the model.

    Returns:
        int64, shape (len(users), k), item indices, -1 after the end of a short list.
    """
    recommender = Recommender(model, popularity_by=contender.popularity_by)
    lists = np.full((len(users), k), -1, dtype=np.int64)

    def fill(start: int) -> None:
        part = users[start : start + _BLOCK]
        queries = list(_queries(model, contender, part, k, given))
        for row, answer in enumerate(recommender.recommend_many(queries), start=start):
            lists[row, : len(answer.items)] = answer.items
        done(len(part))

    in_threads(fill, range(0, len(users), _BLOCK))
    return lists


def _queries(
    model: Model,
    contender: Contender,
    users: NDArray[np.int64],
    k: int,
    given: UserItems | None,
) -> Iterator[Query]:
    for user in users:
        listens = None
        if given is not None:
            items, plays = given.row(user)
            listens = list(zip(map(model.items.id, items), plays.tolist(), strict=True))
        user_id = model.users.id(user) if given is None else None
        yield replace(contender.query, user_id=user_id, n=k, listens=listens)


def check_cutoff(k: int, n_items: int) -> None:
    """Refuses lists longer than the catalogue.

    Args:
        k: the cut-off.
        n_items: number of items with training users.

    Raises:
        NothingToMeasure: ``k`` is out of range.
    """
    if not 1 <= k <= n_items:
        raise NothingToMeasure(
            f"k has to lie between 1 and the {n_items} artists of the training part, not {k}"
        )


def cutoffs_of(k: int, cutoffs: Sequence[int], n_items: int) -> Sequence[int]:
    """Returns the cut-offs that are measured, ascending.

    Raises:
        NothingToMeasure: ``k`` is out of range.
    """
    check_cutoff(k, n_items)
    return sorted({k, *(cutoff for cutoff in cutoffs if 1 <= cutoff <= n_items)})


def sample_of(
    users: NDArray[np.int64], sample: int | None, seed: int, n_users: int
) -> NDArray[np.int64]:
    """Draws the measured users.

    Args:
        users: indices of the users with a test item.
        sample: how many; None for all.
        seed: of the draw.
        n_users: number of all users.

    Raises:
        NothingToMeasure: there is no user, or the sample is out of range.
    """
    if len(users) == 0:
        raise NothingToMeasure("no user has a test item, so there is nothing to measure")
    if sample is None:
        return users
    if sample < 1:
        raise NothingToMeasure(f"a sample has to hold at least 1 user, not {sample}")
    # All users get a random place, so that the sample does not depend on who has test items.
    place = np.random.default_rng(seed).permutation(n_users)[users]
    return np.sort(users[np.argsort(place)[:sample]])


def within_training(listeners: NDArray[np.int64], lists: NDArray[np.int64]) -> NDArray[np.int32]:
    """Returns lists without items that no training user has."""
    # A list as long as the catalogue ends with items that only the test part has. A served model
    # has only items that it was trained on, so these must not be hits.
    return np.where((lists >= 0) & (listeners[lists] > 0), lists, -1).astype(np.int32)


def hits_of(lists: NDArray[np.int32], tested: UserItems) -> NDArray[np.bool_]:
    """Marks the listed items that are test items of their user, in the shape of ``lists``."""
    # Rows, and the indices in each row, are ascending, so the keys are sorted.
    test_keys = tested.row_of_each_pair() * tested.n_items + tested.indices
    keys = np.arange(len(lists))[:, None] * tested.n_items + lists
    nearest = np.minimum(np.searchsorted(test_keys, keys), len(test_keys) - 1)
    return np.asarray((lists >= 0) & (test_keys[nearest] == keys))
