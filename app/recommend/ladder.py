"""The ladder: which rung answers a query, and with what.

``als`` answers for users with a history, from their precomputed list as long as it suffices;
``fold_in`` for users with events since the training, and for queries with listens; ``popularity``
for all others. Every rung takes the same steps: resolve, eligible, rank, adjust, place. A list
that is too short is filled from ``popularity``. Evaluation, export, batch and HTTP all use this
module. ``recommend_quickly`` answers what a few look-ups can; ``attempt_many`` scores many queries
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.errors import UnknownUser
from app.events.event_types import DEFAULT_RULES, EventRules
from app.model.model import Model
from app.ranking.scoring import Ranked
from app.recommend.availability import ALL_AVAILABLE, Availability
from app.recommend.exact import rank_exactly
from app.recommend.exploration import explored
from app.recommend.newcomers import Newcomers
from app.recommend.popularity import PopularityRanking
from app.recommend.precomputed import from_top_list
from app.recommend.query import (
    NONE_ASKED,
    PopularityBy,
    Query,
    Recommendation,
    Source,
    Step,
    Strategy,
    needy_options,
    steps_asked,
)
from app.recommend.resolve import resolve
from app.recommend.rungs import Case, take_rungs
from app.recommend.situation import Situation
from app.recommend.tastes import SolvedVectors, solve

# Up to about this many items, look-ups take less time than handing the query to another thread.
_QUICK_LENGTH: Final = 1000
# The popularity ranking does not depend on vectors, so it needs neither of these steps anew.
_NOT_OF_POPULARITY: Final = frozenset({Step.RANK, Step.ADJUST})
_NO_STEPS: Final = frozenset[Step]()

# Python 3.11 takes ten times as long to find a member in its enumeration as a name in a module.
_BY_POPULARITY: Final = Strategy.POPULARITY


class Recommender:
    """Answers queries in one situation, which never changes.

    Args:
        model: the model.
        availability: which artists may appear; all unless told.
        newcomers: the artists beyond the model; none unless told.
        popularity_by: order of the popularity rung.
        rules: how many units the listens of a user with a history count.

    Attributes:
        situation: the model, the availability of artists, and the newcomers.
        model, availability, newcomers: the parts of the situation.
        popularity: the popularity rung.
    """

    def __init__(
        self,
        model: Model,
        *,
        availability: Availability = ALL_AVAILABLE,
        newcomers: Newcomers | None = None,
        popularity_by: PopularityBy = PopularityBy.LISTENERS,
        rules: EventRules = DEFAULT_RULES,
    ) -> None:
        self.situation: Final = Situation.of(model, availability, newcomers)
        self.model: Final = model
        self.availability: Final = availability
        self.newcomers: Final = self.situation.newcomers
        self.popularity: Final = PopularityRanking(self.situation, popularity_by)
        self._popularity_by = popularity_by
        self._rules = rules
        self._solved = SolvedVectors()

    def succeeded_by(self, situation: Situation) -> Recommender:
        """Returns a recommender for another situation with the same model.

        It shares the solved vectors, which depend only on the model and the events.

        Raises:
            ValueError: the situation has another model.
        """
        if situation.model is not self.model:
            raise ValueError("a successor needs the same model, since it shares solved vectors")
        if situation is self.situation:
            return self
        successor = Recommender(
            situation.model,
            availability=situation.availability,
            newcomers=situation.newcomers,
            popularity_by=self._popularity_by,
            rules=self._rules,
        )
        successor._solved = self._solved
        return successor

    def recommend(self, query: Query) -> Recommendation:
        """Answers one query.

        Raises:
            UnknownUser: strategy ``als`` for a user without usable history.
            ValueError: plays of a listen are not a number above 0.
        """
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Recommendation]:
        """Answers queries, each exactly as ``recommend`` would.

        Raises:
            UnknownUser: one of them has strategy ``als`` for a user without usable history.
            ValueError: plays of a listen are not a number above 0.
        """
        answers = []
        for answer in self.attempt_many(queries):
            if isinstance(answer, UnknownUser):
                raise answer
            answers.append(answer)
        return answers

    def attempt_many(self, queries: Sequence[Query]) -> list[Recommendation | UnknownUser]:
        """Answers queries, each exactly as ``recommend`` would, with the error in place of a raise.

        Raises:
            ValueError: plays of a listen are not a number above 0.
        """
        answers: dict[int, Recommendation | UnknownUser] = {}
        for position, query in enumerate(queries):
            try:
                answer = self.recommend_quickly(query)
            except UnknownUser as refusal:
                answers[position] = refusal
            else:
                if answer is not None:
                    answers[position] = answer
        left = [position for position in range(len(queries)) if position not in answers]
        found = self._answer_all([self._case_of(queries[position]) for position in left])
        answers.update(zip(left, found, strict=True))
        return [answers[position] for position in range(len(queries))]

    def recommend_quickly(self, query: Query) -> Recommendation | None:
        """Answers one query if a few look-ups suffice, in microseconds; else returns None.

        Raises:
            UnknownUser: strategy ``als`` for a user whom the model does not know.
        """
        reach, activity = query.offset + query.n + len(query.exclude), query.activity
        if activity is not None:
            if not activity.only_hides:
                return None
            reach += len(activity.seen) + len(activity.barred)
        steps = _NO_STEPS if needy_options(query) == NONE_ASKED else self._steps_anew(query)
        if reach > _QUICK_LENGTH or (steps and not steps <= _NOT_OF_POPULARITY):
            return None
        user_index = None if query.user_id is None else self.model.users.index(query.user_id)
        if user_index is None:
            if query.strategy is Strategy.ALS:
                raise _no_history()
        elif query.strategy is not _BY_POPULARITY:
            return None if steps else from_top_list(query, user_index, self.situation)
        elif reach + len(self.model.user_items.row(user_index)[0]) > _QUICK_LENGTH:
            return None
        return self.popularity.answer(self._case_of(query))

    def tastes(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """Returns the vectors that queries are ranked by, float32, shape (len(queries), factors).

        Users without usable history have zero vectors.
        """
        vectors = np.zeros((len(queries), self.model.item_factors.shape[1]), dtype=np.float32)
        resolved = [resolve(query, self.situation, self._rules) for query in queries]
        tastes = {row: one.taste for row, one in enumerate(resolved) if one.taste}
        if tastes:
            vectors[list(tastes)] = solve(list(tastes.values()), self.model)
        for row, one in enumerate(resolved):
            if row not in tastes and one.user_index is not None:
                vectors[row] = self.model.user_factors[one.user_index]
        return vectors

    def _steps_anew(self, query: Query) -> Set[Step]:
        """Returns the steps that have to be taken anew for a query, by its options."""
        # Without unranked newcomers no artist can be explored.
        return steps_asked(query, without=() if self.newcomers.has_unranked else ("explore",))

    def _case_of(self, query: Query) -> Case:
        return Case.of(resolve(query, self.situation, self._rules))

    def _answer_all(self, cases: Sequence[Case]) -> Iterator[Recommendation | UnknownUser]:
        take_rungs(cases, self._solved)
        ranked = iter(rank_exactly([one for one in cases if one.source is not Source.POPULARITY]))
        for case in cases:
            if case.source is not Source.POPULARITY:
                answer = self._answer_ranked(case, next(ranked))
            elif case.query.strategy is Strategy.ALS:
                yield _no_history()
                continue
            else:
                answer = self.popularity.answer(case)
            yield explored(case, answer) if case.explores else answer

    def _answer_ranked(self, case: Case, ranked: Ranked) -> Recommendation:
        """Answers from a ranking, filled from popularity where it runs short."""
        start, end, newcomers = case.start, case.end, self.newcomers
        items, scores = ranked[0][:end], ranked[1][:end].astype(np.float64)
        sources = [case.source] * len(items)
        missing = end - len(items)
        if missing > 0:
            fill = self.popularity.best(case.eligible, missing, also_hidden=items)
            items = np.concatenate([items, fill])
            scores = np.concatenate([scores, np.full(len(fill), np.nan)])
            sources += [Source.POPULARITY] * len(fill)
        shown = items[start:end].tolist()
        has_newcomers = max(shown, default=-1) >= newcomers.first
        return Recommendation(
            case.source,
            shown,
            scores[start:end].tolist(),
            sources[start:end],
            newcomers if has_newcomers else None,
        )


def _no_history() -> UnknownUser:
    return UnknownUser(
        "this user has no listening history in the model; "
        "strategy=auto answers with popular artists instead"
    )
