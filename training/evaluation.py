"""Evaluation: asks the recommender of ``app`` for everyone's list and measures it.

The whole catalogue is ranked, training items are excluded, and figures are means over the users
with at least one test item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model import Model
from app.recommender import PopularityBy, Query, Recommender, Strategy
from training import metrics
from training.errors import NothingToMeasure
from training.fit import NoProgress, Progress, in_threads
from training.interactions import Interactions

_BLOCK: Final = 256

_PER_USER: Final[Mapping[str, Callable[[metrics.Hits, metrics.Counts], metrics.PerUser]]] = {
    "precision": metrics.precision,
    "recall": metrics.recall,
    "ndcg": metrics.ndcg,
    "map": metrics.average_precision,
    "mrr": metrics.reciprocal_rank,
    "hit_rate": metrics.hit,
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A way of answering that is measured.

    Attributes:
        strategy: what the recommender is asked for.
        popularity_by: order of its popularity rung.
        include_seen: whether training items stay in the lists (the study's popularity only).
    """

    strategy: Strategy
    popularity_by: PopularityBy = PopularityBy.LISTENERS
    include_seen: bool = False

    def to_manifest(self) -> dict[str, Any]:
        """Returns how the lists were asked for."""
        return {
            "strategy": str(self.strategy),
            "popularity_by": str(self.popularity_by),
            "include_seen": self.include_seen,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of the contenders on one test part.

    Attributes:
        k: cut-off.
        users: how many users the figures are means over.
        models: for each contender its figures by name.
        contenders: how each one's lists were asked for.
    """

    k: int
    users: int
    models: Mapping[str, Mapping[str, float]]
    contenders: Mapping[str, Contender]


def evaluate(
    model: Model,
    test: Interactions,
    contenders: Mapping[str, Contender],
    *,
    k: int = 10,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures contenders.

    Args:
        model: trained on the training part; its items are the catalogue.
        test: the test part, over the model's own users and items.
        contenders: what to measure, by name.
        k: cut-off, 1 to the number of training items.
        progress: told of lists made.

    Raises:
        NothingToMeasure: k is out of range, or nobody has a test item.
    """
    n_items = len(model.items) - len(model.unlistened)
    if not 1 <= k <= n_items:
        raise NothingToMeasure(
            f"k has to lie between 1 and the {n_items} artists of the training part, not {k}"
        )
    users = np.flatnonzero(test.user_items.row_lengths() > 0)
    if len(users) == 0:
        raise NothingToMeasure("no user has a test item, so there is nothing to measure")
    done = (progress or NoProgress()).step("evaluation", len(users) * len(contenders))
    figures = {
        name: _measure(model, test, users, recommend_lists(model, contender, users, k, done))
        for name, contender in contenders.items()
    }
    return Evaluation(k, len(users), figures, contenders)


def _measure(
    model: Model, test: Interactions, users: NDArray[np.int64], lists: NDArray[np.int64]
) -> dict[str, float]:
    # A list as long as the catalogue ends with items that only the test part has. A model that is
    # served holds nothing that it was not trained on, so they must not be hits either.
    lists = np.where(np.isin(lists, model.unlistened), -1, lists)
    n_test = test.user_items.row_lengths()[users]
    hits = _hits(lists, test, users)
    figures = {name: float(measure(hits, n_test).mean()) for name, measure in _PER_USER.items()}
    listeners = np.asarray(model.popularity.listeners)
    recommended = lists[lists >= 0]
    trained = int((listeners > 0).sum())
    counts = np.bincount(recommended, minlength=len(model.items))
    distinct = int((counts > 0).sum())
    n_users = int((model.user_items.row_lengths() > 0).sum())
    return figures | {
        "coverage": distinct / trained,
        "coverage_items": distinct,
        "novelty": metrics.novelty(recommended, listeners, n_users),
        "gini": metrics.gini(counts[listeners > 0]),
    }


def recommend_lists(
    model: Model,
    contender: Contender,
    users: NDArray[np.int64],
    k: int,
    done: Callable[[int], None],
) -> NDArray[np.int64]:
    """Asks for everyone's list.

    Returns:
        int64, shape (len(users), k), item indices, -1 past the end of a short list.
    """
    recommender = Recommender(model, popularity_by=contender.popularity_by)
    wanted = Query(n=k, strategy=contender.strategy, include_seen=contender.include_seen)
    lists = np.full((len(users), k), -1, dtype=np.int64)

    def fill(start: int) -> None:
        part = users[start : start + _BLOCK]
        queries = [replace(wanted, user_id=model.users.id(user)) for user in part]
        for row, answer in enumerate(recommender.recommend_many(queries), start=start):
            lists[row, : len(answer.items)] = answer.items
        done(len(part))

    in_threads(fill, range(0, len(users), _BLOCK))
    return lists


def _hits(
    lists: NDArray[np.int64], test: Interactions, users: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Marks which listed items are test items, shape of ``lists``."""
    n_items = test.user_items.n_items
    test_keys = test.user_items.row_of_each_pair() * n_items + test.user_items.indices
    keys = users[:, None] * n_items + lists
    return (lists >= 0) & np.isin(keys, test_keys)
