"""Which rung of the ladder answers, and by which vector it ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.recommend.eligible import Eligible, find_eligible
from app.recommend.query import Query, Source, Strategy
from app.recommend.resolve import Resolved
from app.recommend.situation import Situation
from app.recommend.tastes import SolvedVectors, solve


def _no_vector() -> NDArray[np.float32]:
    return np.zeros(0, dtype=np.float32)


@dataclass(slots=True, eq=False)
class Case:
    """A query on its way through the steps.

    Attributes:
        resolved: the query with its user and taste.
        eligible: the artists that may appear.
        explores: whether artists that are not ranked get places.
        source: the rung that answers; popularity until another one is found.
        vector: float32, shape (factors,), the vector that the rung ranks by; unused by popularity.
    """

    resolved: Resolved
    eligible: Eligible
    explores: bool
    source: Source = Source.POPULARITY
    vector: NDArray[np.float32] = field(default_factory=_no_vector)

    @classmethod
    def of(cls, resolved: Resolved) -> Case:
        """Finds the artists that may appear."""
        explores = resolved.query.explore > 0 and resolved.situation.newcomers.has_unranked
        return cls(resolved, find_eligible(resolved), explores)

    @property
    def query(self) -> Query:
        """The query."""
        return self.resolved.query

    @property
    def situation(self) -> Situation:
        """The situation that the query is answered in."""
        return self.resolved.situation

    @property
    def end(self) -> int:
        """The end of the part of the ranking that the answer needs."""
        return self.query.offset + self.query.n

    @property
    def start(self) -> int:
        """The beginning of that part; a list that explores needs all places from the first on."""
        return 0 if self.explores else self.query.offset


def take_rungs(cases: Sequence[Case], solved: SolvedVectors) -> None:
    """Sets the vector of each case, and the rung that answers.

    Args:
        cases: of one situation.
        solved: the cached vectors of its model.
    """
    personal = [case for case in cases if case.query.strategy is not Strategy.POPULARITY]
    _fold_in([case for case in personal if case.resolved.taste is not None], solved)
    for case in personal:
        if case.resolved.taste is None and case.resolved.user_index is not None:
            vectors = case.situation.model.user_factors
            case.source, case.vector = Source.ALS, vectors[case.resolved.user_index]
        if not case.vector.any():  # it would rank arbitrarily
            case.source = Source.POPULARITY


def _fold_in(cases: Sequence[Case], solved: SolvedVectors) -> None:
    new = []
    for case in cases:
        vector = solved.of(case.query)
        if vector is None:
            new.append(case)
        else:
            case.source, case.vector = Source.FOLD_IN, vector
    tastes = [case.resolved.taste for case in new if case.resolved.taste is not None]
    if tastes:
        vectors = solve(tastes, new[0].situation.model)
        for case, vector in zip(new, vectors, strict=True):
            case.source, case.vector = Source.FOLD_IN, vector
            solved.add(case.query, vector)
