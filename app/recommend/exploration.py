"""Exploration: the places of a list that go to artists with too few listeners to be ranked."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from app.recommend.query import Recommendation, Source
from app.recommend.rungs import Case

# An artist in the direction of a user's vector is drawn about fifty times (e**4) as often as one at
# a right angle to it.
_NEARNESS: Final = 4.0


def explored(case: Case, answer: Recommendation) -> Recommendation:
    """Gives the share of places that the query asks for to artists that are not ranked.

    Args:
        case: the case.
        answer: the list without exploration, from its first place on.
    """
    query = case.query
    ordinary = iter(zip(answer.items, answer.scores, answer.sources, strict=True))
    chosen = iter(_chosen(case, _due(case.end, query.explore)))
    places: list[tuple[int, float, Source]] = []
    for place in range(1, case.end + 1):
        is_due = _due(place, query.explore) > _due(place - 1, query.explore)
        item = next(chosen, None) if is_due else None
        entry = next(ordinary, None) if item is None else (item, math.nan, Source.EXPLORE)
        if entry is None:
            break
        places.append(entry)
    shown = places[query.offset :]
    return Recommendation(
        answer.source,
        [item for item, _, _ in shown],
        [score for _, score, _ in shown],
        [source for _, _, source in shown],
        case.situation.newcomers,
    )


def _due(places: int, explore: float) -> int:
    """Returns how many of the first places explore."""
    return int(places * explore + 1e-9)  # in floating point 0.29 * 100 is less than 29


def _chosen(case: Case, count: int) -> list[int]:
    """Draws artists that have too few listeners to be ranked; near ones are more likely."""
    newcomers, rng = case.situation.newcomers, np.random.default_rng(case.query.seed or 0)
    items = np.arange(
        newcomers.first + newcomers.n_ranked, newcomers.first + len(newcomers.artists)
    )
    # Random numbers are drawn before artists are left out, so that hiding one artist does not
    # change the draw of the others.
    luck = rng.gumbel(size=len(items))
    vector = case.vector.astype(np.float64)
    if vector.any():
        luck += _NEARNESS * (newcomers.directions @ (vector / np.linalg.norm(vector)))
    may_appear = case.eligible.allows(items)
    order = np.argsort(-luck[may_appear], kind="stable")
    drawn: list[int] = items[may_appear][order][:count].tolist()
    return drawn
