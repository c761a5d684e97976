"""From queries to answers: runs the recommender and puts its indices into words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from app.http.schemas import (
    BatchRecommendations,
    Item,
    PopularArtists,
    PopularItem,
    Recommendations,
    UserList,
)
from app.model import Model
from app.recommender import PopularityBy, Query, Recommendation, Recommender, Strategy

T = TypeVar("T")

# What a list can answer takes less time than handing it to a thread, up to about this length.
_QUICK_LENGTH: Final = 1000


class ScoringThreads:
    """Keeps work that takes long off the event loop, on a bounded number of threads."""

    def __init__(self, threads: int) -> None:
        self._limiter = CapacityLimiter(threads)

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what ``work`` returns."""
        return await to_thread.run_sync(work, limiter=self._limiter)


def is_quick(recommender: Recommender, query: Query) -> bool:
    """Says whether a query is certainly answered without looking at every artist."""
    if query.candidates is not None:
        return False
    # Each excluded artist may cost the list one place.
    reach = query.offset + query.n + len(query.exclude)
    if query.strategy is Strategy.POPULARITY:
        return reach <= _QUICK_LENGTH
    lists = recommender.model.top_lists
    if lists is None or query.include_seen or query.discovery > 0 or query.listens:
        return False
    return reach <= min(_QUICK_LENGTH, int(lists.items.shape[1]))


def recommend(recommender: Recommender, query: Query) -> Recommendations:
    """Answers one query."""
    answer = recommender.recommend(query)
    return Recommendations(
        user_id=query.user_id,
        source=answer.source,
        model_version=recommender.model.version,
        items=_items(recommender.model, query, answer),
    )


def recommend_batch(recommender: Recommender, queries: Sequence[Query]) -> BatchRecommendations:
    """Answers many queries together, each as it would be answered alone."""
    answers = recommender.recommend_many(queries)
    return BatchRecommendations(
        model_version=recommender.model.version,
        results=[
            UserList(
                user_id=query.user_id,
                source=answer.source,
                items=_items(recommender.model, query, answer),
            )
            for query, answer in zip(queries, answers, strict=True)
        ],
    )


def popular(model: Model, *, n: int, offset: int, by: PopularityBy) -> PopularArtists:
    """Returns a part of the popularity ranking."""
    items = Recommender(model, popularity_by=by).popular(n, offset)
    return PopularArtists(
        model_version=model.version,
        by=by,
        items=[
            PopularItem(
                rank=rank,
                artist_id=model.items.id(item),
                name=model.item_names[item],
                listeners=int(model.popularity.listeners[item]),
                plays=float(model.popularity.plays[item]),
            )
            for rank, item in enumerate(items.tolist(), start=offset + 1)
        ],
    )


def _items(model: Model, query: Query, answer: Recommendation) -> list[Item]:
    return [
        Item(
            rank=rank,
            artist_id=model.items.id(item),
            name=model.item_names[item],
            score=None if math.isnan(score) else round(score, 6),
            source=source,
        )
        for rank, (item, score, source) in enumerate(
            zip(answer.items.tolist(), answer.scores.tolist(), answer.sources, strict=True),
            start=query.offset + 1,
        )
    ]
