"""Contenders of one's own: they learn from the training part, and are measured like Encore's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.model.model import Model
from training.errors import TrainingError
from training.measuring.evaluation import GivesLists
from training.python.data import pairs_of
from training.splitting.split import Fold

# For each user a list of artist ids, best first: in the order of the users, or by user id.
Lists: TypeAlias = Sequence[Sequence[str]] | Mapping[str, Sequence[str]]
# Takes the training part, user ids and the length of the lists.
ListsFor: TypeAlias = Callable[[pl.DataFrame, list[str], int], Lists]


@runtime_checkable
class TrainsAndLists(Protocol):
    """An object that learns and then makes lists."""

    def fit(self, train: pl.DataFrame) -> object:
        """Learns from the training part, in the form of ``Data.pairs``."""
        ...

    def recommend(self, user_ids: list[str], n: int) -> Lists:
        """Returns for each user at most ``n`` artist ids, best first."""
        ...


# What ``measure`` takes as a contender.
Contender: TypeAlias = ListsFor | TrainsAndLists | GivesLists


@dataclass(frozen=True, slots=True)
class TrainedContender:
    """Measures somebody's own recommender; a ``GivesLists``.

    It gets the training part alone. A list may be short, and artists that are not in the training
    part take places without hitting.

    Attributes:
        name: of the contender, for messages.
        own: the recommender.
    """

    name: str
    own: ListsFor | TrainsAndLists

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Asks for the lists of all users at once; see ``GivesLists``.

        Raises:
            TrainingError: the lists are not what was asked for.
        """
        if fold.given is not None:
            raise TrainingError(
                f"the contender '{self.name}' learns from the training part, which has nothing of "
                "held-out users; choose another split"
            )
        user_ids = fold.train.user_ids.gather(users).to_list()
        told = self._ask(pairs_of(fold.train), user_ids, k)
        ranked = np.full((len(users), k), -1, dtype=np.int64)
        for row, (user, items) in enumerate(self._by_user(told, user_ids)):
            found = self._indices(user, items, model)[:k]
            ranked[row, : len(found)] = found
        done(len(users))
        return ranked

    def to_manifest(self) -> dict[str, Any]:
        """Returns how the lists were made."""
        return {"strategy": "own"}

    def _ask(self, train: pl.DataFrame, user_ids: list[str], k: int) -> Lists:
        if isinstance(self.own, TrainsAndLists):
            self.own.fit(train)
            return self.own.recommend(user_ids, k)
        return self.own(train, user_ids, k)

    def _by_user(self, told: Lists, user_ids: list[str]) -> list[tuple[str, Sequence[str]]]:
        if isinstance(told, Mapping):
            return [(user, told.get(user, ())) for user in user_ids]
        with suppress(TypeError, ValueError):
            if len(told) == len(user_ids):
                return list(zip(user_ids, told, strict=True))
        raise TrainingError(
            f"the contender '{self.name}' has to return a list for each of the {len(user_ids):,} "
            "users, in their order, or a dict from user id to list"
        )

    def _indices(self, user: str, items: Sequence[str], model: Model) -> list[int]:
        """Returns item indices; -1 for an artist that is not in the training part."""
        if isinstance(items, str) or not isinstance(items, Iterable):
            raise TrainingError(f"the list of '{self.name}' for '{user}' is no list: {items!r}")
        ids = list(items)
        for item in ids:
            if not isinstance(item, str):
                raise TrainingError(
                    f"the list of '{self.name}' for '{user}' holds {item!r}; artist ids are text"
                )
        if len(set(ids)) < len(ids):
            twice = next(item for item in ids if ids.count(item) > 1)
            raise TrainingError(f"the list of '{self.name}' for '{user}' has '{twice}' twice")
        return [-1 if (found := model.items.index(item)) is None else found for item in ids]


def own_contenders(
    given: Mapping[str, Contender], others: Mapping[str, GivesLists]
) -> dict[str, GivesLists]:
    """Returns contenders with those of one's own; the last one of the others stays the last.

    Args:
        given: name to a callable, to an object with ``fit`` and ``recommend``, or to a contender
            of Encore.
        others: the contenders of the recipe.

    Raises:
        TrainingError: a name is missing or taken, or something is no contender.
    """
    if not isinstance(given, Mapping):
        raise TrainingError("contenders are named: give a dict from name to contender")
    own: dict[str, GivesLists] = {}
    for name, one in given.items():
        if name in others:
            raise TrainingError(f"the recipe has a contender '{name}' already; take another name")
        if isinstance(one, type):
            raise TrainingError(f"the contender '{name}' is a class; give an object of it")
        if isinstance(one, GivesLists):
            own[name] = one
        elif callable(one) or isinstance(one, TrainsAndLists):
            own[name] = TrainedContender(name, one)
        else:
            raise TrainingError(
                f"the contender '{name}' is neither a function (train, user_ids, n) nor an object "
                "with fit(train) and recommend(user_ids, n)"
            )
    *first, subject = others
    return {**{name: others[name] for name in first}, **own, subject: others[subject]}
