"""Live ranking: all artists that may appear, by their exact scores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from app.ranking.scoring import Catalogue, Ranked, rank, top_items
from app.recommend.rungs import Case


def rank_exactly(cases: Sequence[Case]) -> list[Ranked]:
    """Ranks the model's artists and the newcomers for each case by its vector.

    Args:
        cases: of one situation, each with a vector that is not zero.

    Returns:
        For each case item indices (int64) and scores (float32), best first, up to the end of the
        answer, or fewer if fewer may appear.
    """
    by_dial: defaultdict[float, list[int]] = defaultdict(list)
    for position, case in enumerate(cases):
        by_dial[case.query.discovery].append(position)
    ranked: dict[int, Ranked] = {}
    for discovery, positions in by_dial.items():
        alike = [cases[position] for position in positions]
        ranked.update(zip(positions, _rank_with_dial(alike, discovery), strict=True))
    return [_with_newcomers(case, ranked[position]) for position, case in enumerate(cases)]


def _rank_with_dial(cases: Sequence[Case], discovery: float) -> list[Ranked]:
    model = cases[0].situation.model
    catalogue = model.catalogue.dialled(discovery)
    ranked: dict[int, Ranked] = {}
    # Lists of similar length are scanned together: the scan of a short list ends early.
    scans: defaultdict[int, list[int]] = defaultdict(list)
    for position, case in enumerate(cases):
        candidates = case.eligible.candidates
        if candidates is None:
            scans[case.end.bit_length()].append(position)
        else:
            known = candidates[candidates < len(model.items)]
            known = known[model.popularity.listeners[known] > 0]
            ranked[position] = rank(case.vector, catalogue, known, case.end)
    for positions in scans.values():
        found = _scan([cases[position] for position in positions], catalogue)
        ranked.update(zip(positions, found, strict=True))
    return [ranked[position] for position in range(len(cases))]


def _scan(cases: Sequence[Case], catalogue: Catalogue) -> list[Ranked]:
    all_hidden = [case.eligible.hidden for case in cases]
    return top_items(
        np.stack([case.vector for case in cases]),
        catalogue,
        n=max(case.end for case in cases),
        hidden=[hidden[hidden < len(catalogue.factors)] for hidden in all_hidden],
    )


def _with_newcomers(case: Case, ranked: Ranked) -> Ranked:
    """Returns a ranking with the newcomers that may appear merged in."""
    newcomers = case.situation.newcomers
    if not newcomers.n_ranked:
        return ranked
    # A newcomer with a score below the last one of a full list does not enter it.
    floor = ranked[1][case.end - 1] if len(ranked[1]) >= case.end else -math.inf
    items, scores = newcomers.above(float(floor), case.vector)
    if not len(items):
        return ranked
    may_appear = case.eligible.allows(items)
    all_items = np.concatenate([ranked[0], items[may_appear]])
    all_scores = np.concatenate([ranked[1], scores[may_appear]])
    # A stable sort keeps the exact order of items whose scores are equal after rounding to float32;
    # newcomers come after items of the same score, since their indices are higher.
    order = np.argsort(-all_scores, kind="stable")
    return all_items[order], all_scores[order]
