"""Precomputed lists: the answer by a few look-ups, as long as a user's list suffices."""

from __future__ import annotations

from bisect import bisect_right
from operator import neg
from typing import Final

from app.recommend.eligible import hidden_ids
from app.recommend.query import Query, Recommendation, Source
from app.recommend.situation import Situation

# Python 3.11 takes ten times as long to find a member in its enumeration as a name in a module.
_ALS: Final = Source.ALS


def from_top_list(query: Query, user_index: int, situation: Situation) -> Recommendation | None:
    """Takes the answer from the user's precomputed list; None if that does not suffice.

    Args:
        query: a query without options that need a new ranking.
        user_index: a user without events that change their taste.
        situation: the model with the lists, availability and newcomers.
    """
    model, newcomers = situation.model, situation.newcomers
    lists = model.top_lists
    if lists is None:
        return None
    items, scores = lists.of(user_index)
    answer = _known(query, items, scores, query.offset, situation)
    if (
        answer is None
        or not newcomers.n_ranked
        or newcomers.bound_for(user_index, model) <= answer.scores[-1]
    ):
        return answer
    # Newcomers on earlier pages move artists of the list to this page.
    whole = _known(query, items, scores, 0, situation) if query.offset else answer
    return whole and _beside_newcomers(query, user_index, whole, situation)


def _known(
    query: Query, items: memoryview, scores: memoryview[float], start: int, situation: Situation
) -> Recommendation | None:
    """Takes the answer from a list, from a place on; None if it has too few items."""
    end, gone = query.offset + query.n, situation.availability.gone
    if query.exclude or query.activity is not None or (gone and not gone.isdisjoint(items[:end])):
        return _without_hidden(query, items, scores, start, situation)
    found, their_scores = items[start:end].tolist(), scores[start:end].tolist()
    if len(found) < end - start or found[-1] < 0:
        return None
    return Recommendation(_ALS, found, their_scores, [_ALS] * len(found))


def _without_hidden(
    query: Query, items: memoryview, scores: memoryview[float], start: int, situation: Situation
) -> Recommendation | None:
    """Takes the answer from a list without hidden items; None if too few are left."""
    # Reading the ids of the list, up to the end of the answer, is faster than looking up the index
    # of every hidden id.
    hidden, gone = hidden_ids(query), situation.availability.gone
    ids = situation.model.item_ids
    cached, n_cached = ids.cached, len(ids.cached)
    left = query.offset + query.n
    found: list[int] = []
    their_scores: list[float] = []
    for item, score in zip(items, scores, strict=True):
        if item < 0:
            break
        artist = (item < n_cached and cached[item]) or ids.add(item)
        if artist not in hidden and item not in gone:
            found.append(item)
            their_scores.append(score)
            left -= 1
            if not left:
                found, their_scores = found[start:], their_scores[start:]
                return Recommendation(_ALS, found, their_scores, [_ALS] * len(found))
    return None


def _beside_newcomers(
    query: Query, user_index: int, known: Recommendation, situation: Situation
) -> Recommendation:
    """Puts newcomers into a list that begins with its first place."""
    newcomers, unavailable = situation.newcomers, situation.availability.artists
    hidden, end = hidden_ids(query), query.offset + query.n
    items, scores = list(known.items), list(known.scores)
    for item, score in zip(*newcomers.near(user_index, situation.model), strict=True):
        if score <= scores[end - 1]:
            break
        artist_id = newcomers.artist(item).artist_id
        if artist_id not in hidden and artist_id not in unavailable:
            # After items of the same score, since their indices are lower.
            place = bisect_right(scores, -score, key=neg)
            items.insert(place, item)
            scores.insert(place, score)
    items, scores = items[query.offset : end], scores[query.offset : end]
    has_newcomers = max(items) >= newcomers.first
    return Recommendation(
        _ALS, items, scores, [_ALS] * query.n, newcomers if has_newcomers else None
    )
