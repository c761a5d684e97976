"""The ladder: which rung answers a query, and with what.

``als`` answers for users with a history, from their precomputed list as long as it suffices;
``popularity`` for everybody else. Filters apply before the top-n, and a rung that runs short is
filled from the next. Evaluation, export, batch and HTTP all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from app.errors import UnknownUser
from app.model import Model
from app.scoring import Ranked, rank, top_items, users_per_block


class Strategy(StrEnum):
    """What a request may ask for."""

    AUTO = "auto"
    ALS = "als"
    POPULARITY = "popularity"


class Source(StrEnum):
    """The rung that gave an answer or an item."""

    ALS = "als"
    POPULARITY = "popularity"


class PopularityBy(StrEnum):
    """What counts as popular."""

    LISTENERS = "listeners"
    PLAYS = "plays"


@dataclass(frozen=True, slots=True)
class Query:
    """One request for a list.

    Attributes:
        user_id: whom it is for; None for somebody unknown.
        n: length of the list, at least 1.
        offset: how many of the best items to pass over.
        strategy: ``auto`` takes the highest rung that can answer.
        exclude: item ids that must not appear; unknown ones are ignored.
        candidates: if given, only these items are ranked; unknown ones are ignored.
        include_seen: whether items of the user's history may appear.
    """

    user_id: str | None = None
    n: int = 10
    offset: int = 0
    strategy: Strategy = Strategy.AUTO
    exclude: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    include_seen: bool = False


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer to one query.

    Attributes:
        source: the rung that was taken.
        items: item indices, best first.
        scores: float64, one for each item that ``source`` gave (of ``als`` the dot product, of
            ``popularity`` the listeners or plays), NaN for an item filled in from the rung below.
        sources: the rung of each item.
    """

    source: Source
    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    sources: Sequence[Source]


@dataclass(slots=True)
class _Resolved:
    """A query in terms of indices."""

    query: Query
    user_index: int | None
    hidden: NDArray[np.int64]
    candidates: NDArray[np.int64] | None

    @property
    def end(self) -> int:
        return self.query.offset + self.query.n


class Recommender:
    """Answers queries from one model.

    Args:
        model: the model; the recommender keeps it for its whole life.
        popularity_by: order of the popularity rung.
    """

    def __init__(
        self, model: Model, *, popularity_by: PopularityBy = PopularityBy.LISTENERS
    ) -> None:
        self.model = model
        self.popularity_by = popularity_by

    def recommend(self, query: Query) -> Recommendation:
        """Answers one query.

        Raises:
            UnknownUser: strategy ``als`` for somebody without usable history.
        """
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Recommendation]:
        """Answers queries, each exactly as ``recommend`` would.

        Raises:
            UnknownUser: one of them has strategy ``als`` without usable history.
        """
        answers: list[Recommendation | None] = [None] * len(queries)
        live: list[tuple[int, _Resolved]] = []
        for position, query in enumerate(queries):
            resolved = self._resolve(query)
            if resolved.user_index is None:
                answers[position] = self._answer_popular(resolved)
            elif ranked := self._rank_without_scan(resolved, resolved.user_index):
                answers[position] = self._answer_als(resolved, ranked)
            else:
                live.append((position, resolved))
        block = users_per_block(len(self.model.items))
        for start in range(0, len(live), block):
            part = live[start : start + block]
            for (position, resolved), ranked in zip(
                part, self._scan([resolved for _, resolved in part]), strict=True
            ):
                answers[position] = self._answer_als(resolved, ranked)
        return [answer for answer in answers if answer is not None]

    def popular(self, n: int, offset: int = 0) -> NDArray[np.int64]:
        """Returns the most popular items, whoever asks."""
        return self._popularity_order()[offset : offset + n].astype(np.int64)

    def popularity_counts(self) -> NDArray[np.float64] | NDArray[np.int64]:
        """Returns the count behind the popularity order, by item index."""
        popularity = self.model.popularity
        by_plays = self.popularity_by is PopularityBy.PLAYS
        return popularity.plays if by_plays else popularity.listeners

    def _resolve(self, query: Query) -> _Resolved:
        model = self.model
        known = None if query.user_id is None else model.users.index(query.user_id)
        user_index = known if known is not None and model.has_history(known) else None
        if query.strategy is Strategy.ALS and user_index is None:
            raise UnknownUser(
                "this user has no listening history in the model; "
                "strategy=auto answers with popular artists instead"
            )
        if query.strategy is Strategy.POPULARITY:
            user_index = None
        hidden = model.items.indices(query.exclude)
        if known is not None and not query.include_seen:
            hidden = np.concatenate([hidden, model.user_items.row(known)[0]])
        candidates = None
        if query.candidates is not None:
            candidates = np.setdiff1d(model.items.indices(query.candidates), hidden)
        return _Resolved(query, user_index, hidden, candidates)

    def _rank_without_scan(self, resolved: _Resolved, user_index: int) -> Ranked | None:
        """Ranks from the precomputed list or the given candidates; None if that cannot do."""
        model, query = self.model, resolved.query
        if resolved.candidates is not None:
            return rank(
                model.user_factors[user_index],
                model.item_factors,
                np.setdiff1d(resolved.candidates, model.unlistened),
                resolved.end,
            )
        if model.top_lists is None or query.include_seen:
            return None
        items = model.top_lists.items[user_index]
        keep = items >= 0
        is_complete = not keep.all()
        if len(query.exclude):
            keep &= ~np.isin(items, resolved.hidden)
        kept = np.flatnonzero(keep)[: resolved.end]
        if len(kept) < resolved.end and not is_complete:
            return None
        return items[kept].astype(np.int64), model.top_lists.scores[user_index, kept]

    def _scan(self, resolved: Sequence[_Resolved]) -> list[Ranked]:
        model = self.model
        users = [one.user_index for one in resolved if one.user_index is not None]
        return top_items(
            model.user_factors[users],
            model.item_factors,
            n=max(one.end for one in resolved),
            hidden=[np.concatenate([one.hidden, model.unlistened]) for one in resolved],
            max_item_norm=model.max_item_norm,
        )

    def _answer_als(self, resolved: _Resolved, ranked: Ranked) -> Recommendation:
        start, end = resolved.query.offset, resolved.end
        items, scores = ranked[0][:end], ranked[1][:end].astype(np.float64)
        sources = [Source.ALS] * len(items)
        missing = end - len(items)
        if missing > 0:
            fill = self._rank_popular(resolved, missing, also_hidden=items)
            items = np.concatenate([items, fill])
            scores = np.concatenate([scores, np.full(len(fill), np.nan)])
            sources += [Source.POPULARITY] * len(fill)
        return Recommendation(Source.ALS, items[start:end], scores[start:end], sources[start:end])

    def _answer_popular(self, resolved: _Resolved) -> Recommendation:
        items = self._rank_popular(resolved, resolved.end)[resolved.query.offset :]
        scores = self.popularity_counts()[items].astype(np.float64)
        return Recommendation(Source.POPULARITY, items, scores, [Source.POPULARITY] * len(items))

    def _rank_popular(
        self, resolved: _Resolved, n: int, also_hidden: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        hidden = resolved.hidden
        if also_hidden is not None:
            hidden = np.concatenate([hidden, also_hidden])
        order = self._popularity_order()
        if resolved.candidates is not None:
            order = order[np.isin(order, resolved.candidates)]
        # So many of the most popular are enough, even if every hidden item is among them.
        order = order[: n + len(hidden)]
        return order[~np.isin(order, hidden)][:n].astype(np.int64)

    def _popularity_order(self) -> NDArray[np.int32]:
        popularity = self.model.popularity
        by_plays = self.popularity_by is PopularityBy.PLAYS
        return popularity.by_plays if by_plays else popularity.by_listeners
