"""Small models, and the expected answers of the recommender, computed naively."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.events.activity import Activity, activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting
from app.ranking.discovery import discount
from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Recommendation, Strategy
from tests.builders import (
    dense_of,
    interactions_of,
    random_plays,
    small_model,
    user_items_of,
    with_linear,
)

#        i0 i1 i2 i3 i4 i5   i5 has no listeners, u3 no items
PLAYS = [
    [9, 0, 1, 0, 0, 0],
    [0, 5, 1, 0, 2, 0],
    [0, 5, 1, 3, 0, 0],
    [0, 0, 0, 0, 0, 0],
]
# Listeners 1 2 3 1 1 0, plays 9 10 3 3 2 0.
BY_LISTENERS = [2, 1, 0, 3, 4, 5]
BY_PLAYS = [1, 0, 2, 3, 4, 5]


@cache
def large_model() -> Model:
    """A larger model with lists, two users without history and three items without listeners."""
    plays = random_plays(np.random.default_rng(5), n_users=40, n_items=60)
    plays[[4, 17]] = 0
    plays[:, [3, 30, 59]] = 0
    return small_model(interactions_of(plays), list_length=12)


@cache
def large_model_of_blocks() -> Model:
    """The same with a linear block beside that of ALS."""
    return with_linear(large_model(), list_length=12)


def plain_answer(answer: Recommendation) -> tuple[Any, ...]:
    """Everything in an answer, comparable; NaN as None."""
    scores = [None if np.isnan(score) else float(score) for score in answer.scores]
    assert len(answer.items) == len(scores) == len(answer.sources)
    assert {type(item) for item in answer.items} <= {int}
    assert {type(score) for score in answer.scores} <= {float}
    return answer.source, answer.items, scores, list(answer.sources)


def exact_scores(
    model: Model, user: int | NDArray[np.float32], discovery: float = 0.0
) -> dict[int, float]:
    """The item scores of a user index or a vector in float64, rounded as served."""
    vector = (model.user_factors[user] if isinstance(user, int) else user).astype(np.float64)
    factors = discount(model.catalogue.log_discount, discovery).astype(np.float64)
    scores = [float((item.astype(np.float64) * vector).sum()) for item in model.item_factors]
    return {
        index: float(np.float32(score * factors[index] if score > 0 else score))
        for index, score in enumerate(scores)
    }


def best(
    model: Model, user: int | NDArray[np.float32], allowed: set[int], discovery: float = 0.0
) -> list[int]:
    """Allowed items with listeners by exact score."""
    scores = exact_scores(model, user, discovery)
    known = allowed - set(model.unlistened.tolist())
    return sorted(known, key=lambda index: (-scores[index], index))


def history(model: Model, user_index: int) -> list[tuple[str, float]]:
    """What a user plays, as it could be sent with a query."""
    items, plays = model.user_items.row(user_index)
    return [(model.items.id(int(item)), float(one)) for item, one in zip(items, plays, strict=True)]


def folded_in(model: Model, query: Query) -> NDArray[np.float32] | None:
    """The vector of a query with known listens, solved from dense rows; None without any."""
    told = np.zeros(len(model.items))
    for item_id, plays in query.listens or ():
        if (index := model.items.index(item_id)) is not None:
            told[index] += plays
    if not told.any():
        return None
    user_index = model.users.index(query.user_id or "nobody")
    history = np.zeros(0) if user_index is None else dense_of(model.user_items)[user_index]
    if not history.any():
        vector: NDArray[np.float32] = model.fold_in(user_items_of(told[None]))[0]
        return vector
    row = user_items_of(history[None])

    def weigh(weighting: Weighting) -> NDArray[np.float64]:
        weights = weighed(row, weighting)
        unit = model.event_units[0].multiple * float(np.median(weighting.weigh(row)))
        return weights + unit * np.log2(1 + told)

    return solved(model, weigh)


def weighed(row: UserItems, weighting: Weighting) -> NDArray[np.float64]:
    """The weights of one row by item index."""
    weights = dense_of(replace(row, plays=weighting.weigh(row)))[0]
    return np.asarray(weights, dtype=np.float64)


def solved(model: Model, weigh: Callable[[Weighting], NDArray[np.float64]]) -> NDArray[np.float32]:
    """The vector of a user, float32, as the service has it.

    Args:
        model: the model.
        weigh: returns the weights by item index that the user has by a weighting.
    """
    rows = [user_items_of(weigh(block.weighting)[None]) for block in model.blocks]
    vector: NDArray[np.float32] = model.fold_in_weights(rows)[0]
    return vector


def random_query(rng: np.random.Generator, model: Model) -> Query:
    def some_items(most: int) -> list[str]:
        chosen = rng.integers(-3, len(model.items), size=rng.integers(0, most))
        return [f"i{index}" for index in chosen]

    user = int(rng.integers(-2, len(model.users)))
    return Query(
        user_id=None if user < -1 else f"u{user}",
        n=int(rng.choice([1, 2, 5, 12, 13, 30, 100])),
        offset=int(rng.choice([0, 0, 0, 4, 20, 90])),
        strategy=Strategy.POPULARITY if rng.random() < 0.2 else Strategy.AUTO,
        exclude=some_items(15) if rng.random() < 0.4 else (),
        candidates=some_items(40) if rng.random() < 0.3 else None,
        include_seen=bool(rng.random() < 0.2),
        discovery=float(rng.choice([0.0, 0.0, 0.25, 1.0])),
        listens=[(item, float(rng.integers(1, 50))) for item in some_items(9)]
        if rng.random() < 0.3
        else None,
    )


def acted(*events: Event) -> Activity:
    """The activity of events of one moment."""
    stored = [StoredEvent(number, 0, event) for number, event in enumerate(events, start=1)]
    return activity_of(stored, EventRules(), now=0)


def without(model: Model, *items: int) -> Recommender:
    """A recommender for which some items are unavailable."""
    gone = Availability.of(1, map(model.items.id, items), model.items)
    return Recommender(model, availability=gone)
