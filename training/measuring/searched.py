"""Contenders whose options are chosen by a small search of their own, on a validation part.

So they are compared with ALS at their best, as ALS is after a search. The search is a walk on a
small grid, so it needs no seed and has a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.model import Model, Popularity
from training.errors import NothingToMeasure
from training.measuring import measures
from training.measuring.convergence import Validation
from training.measuring.evaluation import GivesLists
from training.measuring.fitted import Fits, fitted_lists
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold

# Options are walked one after the other, this many times.
_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Tried:
    """One set of options.

    Attributes:
        options: name to value.
        ndcg: of its lists on the validation part.
    """

    options: Mapping[str, Any]
    ndcg: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """A contender with the options that a search chose; a ``GivesLists``.

    Attributes:
        contender: with the best options.
        k: cut-off of the objective, NDCG@k.
        users: number of validation users, over whom the objective is a mean; 0 where there was no
            validation part, and the options are those of the start.
        tried: in their order.
    """

    contender: Fits
    k: int
    users: int
    tried: Sequence[Tried]

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Makes a list for each user; see ``GivesLists``."""
        return self.contender.lists(model, fold, users, k, done)

    def to_manifest(self) -> dict[str, Any]:
        """Returns the options of the lists, and what was tried."""
        search = {
            "objective": f"NDCG@{self.k}",
            "users": self.users,
            "ndcg": max((one.ndcg for one in self.tried), default=None),
            "tried": [{**one.options, "ndcg": one.ndcg} for one in self.tried],
        }
        return self.contender.to_manifest() | {"search": search}


@dataclass(frozen=True, slots=True)
class Searched:
    """A contender that chooses its options on a validation part; a ``GivesLists``.

    Options that are numbers are walked up and down from the best so far, as long as NDCG rises; of
    others all values are tried.

    Attributes:
        start: the contender with the options of the start.
        space: option to its values in order, the start's among them.
    """

    start: Fits
    space: Mapping[str, Sequence[Any]]

    @property
    def most(self) -> int:
        """The largest number of sets of options that are tried."""
        return 1 + _ROUNDS * sum(len(values) - 1 for values in self.space.values())

    def to_manifest(self) -> dict[str, Any]:
        """Returns the space, since nothing is chosen yet."""
        return self.start.to_manifest() | {name: list(one) for name, one in self.space.items()}

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Searches on a random validation part, then makes a list for each user.

        An experiment searches before, on the validation part of its split; see ``choose``.
        """
        inner = next(iter(RandomPerUser().validation().folds(fold.train)))
        chosen = self.choose(fold.train.user_items, lambda: Validation(inner, k=k), k=k)
        return chosen.lists(model, fold, users, k, done)

    def choose(
        self,
        user_items: UserItems,
        validation: Callable[[], Validation],
        *,
        k: int,
        done: Callable[[int], None] = lambda _done: None,
    ) -> Chosen:
        """Searches.

        Args:
            user_items: the whole training part, for which the options are meant.
            validation: returns the validation part, cut from the training part; where it raises
                ``NothingToMeasure``, the options of the start are chosen.
            k: cut-off of the objective.
            done: called with the number of sets of options tried since the last call.

        Raises:
            TrainingError: the data are too large for the contender.
        """
        self.start.check(user_items)
        try:
            part = validation()
        except NothingToMeasure:
            return Chosen(self.start, k, 0, ())
        walk = _Walk(self, part, done)
        best = walk.run()
        tried = [Tried(dict(options), ndcg) for options, ndcg in walk.tried.items()]
        return Chosen(replace(self.start, **best), k, len(part.users), tried)  # type: ignore[type-var]


class _Walk:
    """One search; ``tried`` has NDCG by the options, as pairs of name and value."""

    def __init__(
        self, searched: Searched, validation: Validation, done: Callable[[int], None]
    ) -> None:
        self.searched, self.validation, self.done = searched, validation, done
        self.popularity = Popularity.count(validation.train.user_items)
        self.tried: dict[tuple[tuple[str, Any], ...], float] = {}

    def run(self) -> dict[str, Any]:
        """Returns the best options."""
        space = self.searched.space
        best = {name: getattr(self.searched.start, name) for name in space}
        self.ndcg(best)
        for _ in range(_ROUNDS):
            before = best
            for name, values in space.items():
                if isinstance(values[0], str):
                    best = max(({**best, name: one} for one in values), key=self.ndcg)
                else:
                    best = self._along(best, name, values)
            if best == before:
                break
        return best

    def _along(self, best: dict[str, Any], name: str, values: Sequence[Any]) -> dict[str, Any]:
        start = values.index(best[name])
        for step in (1, -1):
            for place in count(start + step, step):
                if not 0 <= place < len(values):
                    break
                tried = {**best, name: values[place]}
                if self.ndcg(tried) <= self.ndcg(best):
                    break
                best = tried
            if best[name] != values[start]:
                break
        return best

    def ndcg(self, options: dict[str, Any]) -> float:
        """Returns NDCG@k on the validation part."""
        key = tuple(options.items())
        if key not in self.tried:
            contender = replace(self.searched.start, **options)  # type: ignore[type-var]
            self.tried[key] = ndcg_of(contender, self.validation, self.popularity)
            self.done(1)
        return self.tried[key]


def ndcg_of(contender: Fits, validation: Validation, popularity: Popularity) -> float:
    """Returns NDCG@k of a contender on a validation part.

    Args:
        contender: the contender.
        validation: the parts.
        popularity: of the items in its training part.
    """
    fold = Fold(validation.train, validation.train)
    lists = fitted_lists(
        contender, fold, popularity, validation.users, validation.k, done=lambda _done: None
    )
    hits = np.zeros(lists.shape, dtype=bool)
    for row, listed in enumerate(lists):
        hits[row] = np.isin(listed, validation.test.row(row)[0])
    return float(measures.ndcg(hits, validation.test.row_lengths()).mean())


def choose_options(
    contenders: Mapping[str, GivesLists],
    user_items: UserItems,
    validation: Callable[[], Validation],
    *,
    k: int,
    step: Callable[[str, int], Callable[[int], None]],
) -> dict[str, GivesLists]:
    """Returns contenders of which none has to search any more.

    Args:
        contenders: by name.
        user_items: the training part.
        validation: returns the validation part; called where it is needed.
        k: cut-off of the objective.
        step: starts a step of the progress, by name and largest number.

    Raises:
        TrainingError: the data are too large for a contender.
    """
    return {
        name: one.choose(user_items, validation, k=k, done=step(f"search of {name}", one.most))
        if isinstance(one, Searched)
        else one
        for name, one in contenders.items()
    }
