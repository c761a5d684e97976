"""The ladder: which rung answers a query, and with what.

``als`` answers for users with a history, from their precomputed list as long as it suffices;
``fold_in`` for users with events since, and for whoever sends listens with the query;
``popularity`` for everybody else. Filters
apply before the top-n, and a rung that runs short is filled from ``popularity``. Evaluation,
export, batch and HTTP all come through here. What looking up can answer is answered at once,
``recommend_quickly``; scoring is worth doing for many together, ``attempt_many``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import neg
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.activity import NO_ACTIVITY, Activity, index_units, with_units
from app.assortment import WHOLE
from app.errors import UnknownUser
from app.events import DEFAULT_RULES, EventRules
from app.listens import Row, read_listens, stack
from app.model import Model
from app.newcomers import Newcomers
from app.scoring import Catalogue, Ranked, rank, top_items

# Look-ups of up to about so many items take less time than handing them to another thread.
_QUICK_LENGTH: Final = 1000
# An artist in a user's direction is drawn some fifty times as often as one at right angles.
_NEARNESS: Final = 4.0
# Of users with events; some ten megabytes.
_KEPT_VECTORS: Final = 20_000


class Strategy(StrEnum):
    """What a request may ask for."""

    AUTO = "auto"
    ALS = "als"
    POPULARITY = "popularity"


class Source(StrEnum):
    """The rung that gave an answer or an item."""

    ALS = "als"
    FOLD_IN = "fold_in"
    POPULARITY = "popularity"
    EXPLORE = "explore"

    # Python's own for enumerations takes four times as long.
    __hash__ = str.__hash__


class PopularityBy(StrEnum):
    """What counts as popular."""

    LISTENERS = "listeners"
    PLAYS = "plays"


# Python 3.11 takes ten times as long to find a member in its enumeration as a name in a module.
_ALS: Final = Source.ALS
_BY_POPULARITY: Final = Strategy.POPULARITY


# Making a frozen one would take three times as long, and one is made for each request.
@dataclass(slots=True)
class Query:
    """One request for a list.

    Attributes:
        user_id: whom it is for; None for somebody unknown.
        n: length of the list, at least 1.
        offset: how many of the best items to pass over.
        strategy: ``auto`` takes the highest rung that can answer; ``als`` refuses popularity.
        exclude: item ids that must not appear; unknown ones are ignored.
        candidates: if given, only these items are ranked; unknown ones are ignored.
        include_seen: whether items of the user's history or of ``listens`` may appear.
        discovery: 0 to 1, how much the scores of popular items are discounted. It moves neither
            the popularity rung nor what is filled in from there.
        listens: item ids with plays above 0; those of one item are summed, unknown items ignored.
            For somebody with a history they count as events of this moment would; for anybody
            else they are the history, and weighted as training weights one.
        activity: what the user's events come to; None for somebody without any.
        explore: 0 to 1, the share of places that go to new artists with too few listeners to be
            ranked; the next place of the list is such a one whenever so many are due.
        seed: of the choice of those, at least 0.

    Raises:
        ValueError: ``discovery`` or ``explore`` is out of range.
    """

    user_id: str | None = None
    n: int = 10
    offset: int = 0
    strategy: Strategy = Strategy.AUTO
    exclude: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    include_seen: bool = False
    discovery: float = 0.0
    listens: Sequence[tuple[str, float]] | None = None
    activity: Activity | None = None
    explore: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.discovery or self.explore:
            for name in ("discovery", "explore"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ValueError(
                        f"{name} has to lie between 0 and 1, not {getattr(self, name)}"
                    )


@dataclass(slots=True)
class Recommendation:
    """The answer to one query.

    Attributes:
        source: the rung that was taken.
        items: item indices, best first.
        scores: one for each item that ``source`` gave (of ``als`` and ``fold_in`` the dot
            product, discounted as the query asks, of ``popularity`` the listeners or plays), NaN
            for an item filled in from the rung below.
        sources: the rung of each item.
        newcomers: whom item indices past those of the model stand for, None if there are none.
    """

    source: Source
    items: list[int]
    scores: Sequence[float]
    sources: list[Source]
    newcomers: Newcomers | None = None


_NO_HISTORY: Final[Row] = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


def _no_vector() -> NDArray[np.float32]:
    return np.zeros(0, dtype=np.float32)


@dataclass(slots=True)
class _Taste:
    """What there is to fold in.

    Attributes:
        history: raw plays.
        units: by item index, what events add.
        disliked: indices of items that say nothing any more.
        recency: float32, what age has left of the weights of the history; None where nothing fades.
    """

    history: Row
    units: Mapping[int, float]
    disliked: NDArray[np.int64]
    recency: NDArray[np.float32] | None = None


@dataclass(slots=True)
class _Resolved:
    """A query in terms of indices.

    Attributes:
        query: the query.
        user_index: the user, if the model knows them.
        to_fold_in: what they like, if there is more to it than training saw.
        hidden: items that must not appear.
        candidates: the only items that may appear, None for all.
        newcomers: the artists beyond the model; indices of all kinds may be theirs.
        explored: whether the list is to explore, and there are artists for that.
        source: the rung that answers.
        vector: float32, what that rung ranks by; unused by popularity.
    """

    query: Query
    user_index: int | None
    to_fold_in: _Taste | None
    hidden: NDArray[np.int64]
    candidates: NDArray[np.int64] | None
    newcomers: Newcomers
    explored: bool = False
    source: Source = Source.POPULARITY
    vector: NDArray[np.float32] = field(default_factory=_no_vector)

    @property
    def end(self) -> int:
        return self.query.offset + self.query.n

    @property
    def start(self) -> int:
        """Where the ranking begins that the answer is made of; a list that explores wants all."""
        return 0 if self.explored else self.query.offset


class Recommender:
    """Answers queries from one model.

    Args:
        model: the model; the recommender keeps it for its whole life.
        popularity_by: order of the popularity rung.
        rules: what listens sent by somebody with a history count for.
    """

    def __init__(
        self,
        model: Model,
        *,
        popularity_by: PopularityBy = PopularityBy.LISTENERS,
        rules: EventRules = DEFAULT_RULES,
    ) -> None:
        self.model = model
        self.popularity_by = popularity_by
        self.rules = rules
        # Exchanged as a whole when the store says something else.
        self.assortment = WHOLE
        self.newcomers = Newcomers.of(model, ())
        self._folded: OrderedDict[str, tuple[Activity, NDArray[np.float32]]] = OrderedDict()
        self._folded_lock = Lock()

    def recommend(self, query: Query) -> Recommendation:
        """Answers one query.

        Raises:
            UnknownUser: strategy ``als`` for somebody without usable history.
            ValueError: plays of a listen are no number above 0.
        """
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Recommendation]:
        """Answers queries, each exactly as ``recommend`` would.

        Raises:
            UnknownUser: one of them has strategy ``als`` without usable history.
            ValueError: plays of a listen are no number above 0.
        """
        answers = []
        for answer in self.attempt_many(queries):
            if isinstance(answer, UnknownUser):
                raise answer
            answers.append(answer)
        return answers

    def attempt_many(self, queries: Sequence[Query]) -> list[Recommendation | UnknownUser]:
        """Answers queries, each exactly as ``recommend`` would, or says why it has no answer.

        Raises:
            ValueError: plays of a listen are no number above 0.
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
        found = self._answer_all([self._resolve(queries[position]) for position in left])
        answers.update(zip(left, found, strict=True))
        return [answers[position] for position in range(len(queries))]

    def recommend_quickly(self, query: Query) -> Recommendation | None:
        """Answers one query if a few look-ups can, in microseconds; else returns None.

        Raises:
            UnknownUser: strategy ``als`` for somebody whom the model does not know.
        """
        reach, activity = query.offset + query.n + len(query.exclude), query.activity
        if activity is not None:
            reach += len(activity.seen) + len(activity.barred)
        if (
            query.listens
            or (activity is not None and not activity.only_hides)
            or query.candidates is not None
            or (query.explore and self.newcomers.directions.size)
            or reach > _QUICK_LENGTH
        ):
            return None
        user_index = None if query.user_id is None else self.model.users.index(query.user_id)
        if user_index is None:
            if query.strategy is Strategy.ALS:
                raise _no_history()
        elif query.strategy is not _BY_POPULARITY:
            return self._from_top_list(query, user_index)
        elif reach + len(self.model.user_items.row(user_index)[0]) > _QUICK_LENGTH:
            return None
        return self._answer_popular(self._resolve(query))

    def tastes(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """Returns the vectors that queries are ranked by, float32, shape (len(queries), factors).

        A zero vector for somebody without usable history.
        """
        vectors = np.zeros((len(queries), self.model.item_factors.shape[1]), dtype=np.float32)
        resolved = [self._resolve(query) for query in queries]
        tastes = {row: one.to_fold_in for row, one in enumerate(resolved) if one.to_fold_in}
        if tastes:
            vectors[list(tastes)] = self._vectors(list(tastes.values()))
        for row, one in enumerate(resolved):
            if row not in tastes and one.user_index is not None:
                vectors[row] = self.model.user_factors[one.user_index]
        return vectors

    def popular(self, n: int, offset: int = 0) -> NDArray[np.int64]:
        """Returns the most popular items, whoever asks."""
        gone = self.assortment.items
        order = self._popularity_order()[: offset + n + len(gone)]
        return order[~np.isin(order, gone)][offset : offset + n].astype(np.int64)

    def popularity_counts(self) -> NDArray[np.float64] | NDArray[np.int64]:
        """Returns the count behind the popularity order, by item index."""
        popularity = self.model.popularity
        by_plays = self.popularity_by is PopularityBy.PLAYS
        return popularity.plays if by_plays else popularity.listeners

    def _answer_all(self, resolved: Sequence[_Resolved]) -> Iterator[Recommendation | UnknownUser]:
        self._take_rungs(resolved)
        live: defaultdict[float, list[int]] = defaultdict(list)
        for position, one in enumerate(resolved):
            if one.source is not Source.POPULARITY:
                live[one.query.discovery].append(position)
        ranked: dict[int, Ranked] = {}
        for discovery, positions in live.items():
            alike = [resolved[position] for position in positions]
            ranked.update(zip(positions, self._rank(alike, discovery), strict=True))
        for position, one in enumerate(resolved):
            if position in ranked:
                answer = self._answer_ranked(one, ranked[position])
            elif one.query.strategy is Strategy.ALS:
                yield _no_history()
                continue
            else:
                answer = self._answer_popular(one)
            yield _explored(one, answer) if one.explored else answer

    def _resolve(self, query: Query) -> _Resolved:
        model, activity, newcomers = self.model, query.activity or NO_ACTIVITY, self.newcomers

        def find(artist_ids: Collection[str]) -> NDArray[np.int64]:
            known = model.items.indices(artist_ids)
            if not newcomers.artists:
                return known
            return np.concatenate([known, newcomers.indices(artist_ids)])

        is_unknown = query.user_id is None or activity.is_erased
        user_index = None if is_unknown else model.users.index(str(query.user_id))
        history = None if user_index is None else model.user_items.row(user_index)
        has_history = history is not None and len(history[0]) > 0
        units = index_units(activity.units, model.items)
        seen = [find(activity.seen)]
        to_fold_in = None
        recency = None if user_index is None else model.user_items.recency_of(user_index)
        listens = read_listens(query.listens, model.items) if query.listens else None
        if listens is not None and has_history:
            seen.append(listens[0].astype(np.int64))
            for item, plays in zip(listens[0].tolist(), listens[1].tolist(), strict=True):
                units[item] = units.get(item, 0.0) + self.rules.units_of_plays(plays)
        elif listens is not None:
            history, recency = listens, None
        if history is not None:
            seen.append(history[0].astype(np.int64))
        disliked = model.items.indices(activity.disliked)
        if units or (not has_history and listens is not None) or _any_of(disliked, history):
            to_fold_in = _Taste(history or _NO_HISTORY, units, disliked, recency)
        hidden = [self.assortment.items, find(query.exclude), find(activity.barred)]
        if newcomers.artists:
            hidden.append(newcomers.indices(self.assortment.artists))
        if not query.include_seen:
            hidden += seen
        all_hidden, candidates = np.concatenate(hidden), None
        if query.candidates is not None:
            candidates = np.setdiff1d(find(query.candidates), all_hidden)
        explored = query.explore > 0 and bool(newcomers.directions.size)
        return _Resolved(query, user_index, to_fold_in, all_hidden, candidates, newcomers, explored)

    def _take_rungs(self, resolved: Sequence[_Resolved]) -> None:
        """Finds each one's vector, and so the rung that answers."""
        personal = [one for one in resolved if one.query.strategy is not Strategy.POPULARITY]
        self._fold_in([one for one in personal if one.to_fold_in is not None])
        for one in personal:
            if one.to_fold_in is None and one.user_index is not None:
                one.source, one.vector = Source.ALS, self.model.user_factors[one.user_index]
            if not one.vector.any():  # it would rank arbitrarily
                one.source = Source.POPULARITY

    def _fold_in(self, resolved: Sequence[_Resolved]) -> None:
        new = []
        for one in resolved:
            vector = self._folded_before(one.query)
            if vector is None:
                new.append(one)
            else:
                one.source, one.vector = Source.FOLD_IN, vector
        tastes = [one.to_fold_in for one in new if one.to_fold_in is not None]
        if tastes:
            for one, vector in zip(new, self._vectors(tastes), strict=True):
                one.source, one.vector = Source.FOLD_IN, vector
                self._keep(one.query, vector)

    def _folded_before(self, query: Query) -> NDArray[np.float32] | None:
        if query.user_id is None or query.listens:
            return None
        with self._folded_lock:
            activity, vector = self._folded.get(query.user_id, (None, None))
        # Each new event makes another object of a user's activity.
        return vector if activity is query.activity else None

    def _keep(self, query: Query, vector: NDArray[np.float32]) -> None:
        if query.user_id is not None and query.activity is not None and not query.listens:
            with self._folded_lock:
                self._folded[query.user_id] = query.activity, vector
                self._folded.move_to_end(query.user_id)
                if len(self._folded) > _KEPT_VECTORS:
                    self._folded.popitem(last=False)

    def _vectors(self, tastes: Sequence[_Taste]) -> NDArray[np.float32]:
        """Solves tastes, float32, shape (len(tastes), factors)."""
        model, n_items = self.model, len(self.model.items)
        histories = stack([taste.history for taste in tastes], n_items)
        weights = model.weighting.weigh(histories)
        rows = []
        for row, taste in enumerate(tastes):
            its = weights[histories.indptr[row] : histories.indptr[row + 1]]
            size = model.event_unit.for_user(its)
            if taste.recency is not None:
                its = its * taste.recency
            items = taste.history[0]
            if taste.units or len(taste.disliked):
                items, its = with_units(items, its, taste.units, taste.disliked.tolist(), size)
            rows.append((items, its))
        weighted = stack(rows, n_items)
        return model.fold_in(weighted, weighted.plays)

    def _from_top_list(self, query: Query, user_index: int) -> Recommendation | None:
        """Takes the answer from the user's precomputed list; None if that does not suffice."""
        lists = self.model.top_lists
        if lists is None or query.include_seen or query.discovery > 0:
            return None
        items, scores = lists.of(user_index)
        answer, newcomers = self._known(query, items, scores, query.offset), self.newcomers
        if (
            answer is None
            or not newcomers.n_ranked
            or newcomers.bound_for(user_index, self.model) <= answer.scores[-1]
        ):
            return answer
        # Newcomers on the pages before push others to this one.
        whole = self._known(query, items, scores, 0) if query.offset else answer
        return whole and self._beside_newcomers(query, user_index, whole, newcomers)

    def _known(
        self, query: Query, items: memoryview, scores: memoryview[float], start: int
    ) -> Recommendation | None:
        """Takes the answer from a list, from a place on; None if too little of it is left."""
        end, gone = query.offset + query.n, self.assortment.gone
        is_filtered = bool(query.exclude) or query.activity is not None
        if is_filtered or (gone and not gone.isdisjoint(items[:end])):
            return self._without_excluded(query, items, scores, start)
        found, their_scores = items[start:end].tolist(), scores[start:end].tolist()
        if len(found) < end - start or found[-1] < 0:
            return None
        return Recommendation(_ALS, found, their_scores, [_ALS] * len(found))

    def _beside_newcomers(
        self,
        query: Query,
        user_index: int,
        known: Recommendation,
        newcomers: Newcomers,
    ) -> Recommendation:
        """Puts newcomers into a list that is known from its first place on."""
        hidden, unavailable = _hidden_ids(query), self.assortment.artists
        items, scores, end = list(known.items), list(known.scores), query.offset + query.n
        for item, score in zip(*newcomers.near(user_index, self.model), strict=True):
            if score <= scores[end - 1]:
                break
            artist_id = newcomers.artist(item).artist_id
            if artist_id not in hidden and artist_id not in unavailable:
                # After those with the same score, whose indices are lower.
                place = bisect_right(scores, -score, key=neg)
                items.insert(place, item)
                scores.insert(place, score)
        items, scores = items[query.offset : end], scores[query.offset : end]
        has_newcomers = max(items) >= newcomers.first
        return Recommendation(
            _ALS,
            items,
            scores,
            [_ALS] * query.n,
            newcomers if has_newcomers else None,
        )

    def _without_excluded(
        self, query: Query, items: memoryview, scores: memoryview[float], start: int
    ) -> Recommendation | None:
        """Takes the answer from a list, less what must not be in it; None if too little is left."""
        # To read the ids of the list, as far as the answer reaches, takes less than to look up all
        # that are excluded.
        excluded = _hidden_ids(query)
        ids, gone = self.model.item_ids, self.assortment.gone
        cached, n_cached = ids.cached, len(ids.cached)
        left = query.offset + query.n
        found: list[int] = []
        their_scores: list[float] = []
        for item, score in zip(items, scores, strict=True):
            if item < 0:
                break
            artist = (item < n_cached and cached[item]) or ids.add(item)
            if artist not in excluded and item not in gone:
                found.append(item)
                their_scores.append(score)
                left -= 1
                if not left:
                    found, their_scores = found[start:], their_scores[start:]
                    return Recommendation(_ALS, found, their_scores, [_ALS] * len(found))
        return None

    def _rank(self, resolved: Sequence[_Resolved], discovery: float) -> list[Ranked]:
        """Ranks live, for queries of one dial."""
        catalogue = self.model.catalogue.dialled(discovery)
        ranked: dict[int, Ranked] = {}
        # Lists of about one length together: a short one ends its scan early.
        scans: defaultdict[int, list[int]] = defaultdict(list)
        for position, one in enumerate(resolved):
            if one.candidates is None:
                scans[one.end.bit_length()].append(position)
            else:
                known = one.candidates[one.candidates < len(self.model.items)]
                known = known[self.model.popularity.listeners[known] > 0]
                ranked[position] = rank(one.vector, catalogue, known, one.end)
        for positions in scans.values():
            found = _scan([resolved[position] for position in positions], catalogue)
            ranked.update(zip(positions, found, strict=True))
        return [ranked[position] for position in range(len(resolved))]

    def _answer_ranked(self, resolved: _Resolved, ranked: Ranked) -> Recommendation:
        start, end, source = resolved.start, resolved.end, resolved.source
        items, scores = _with_newcomers(resolved, ranked)
        items, scores = items[:end], scores[:end].astype(np.float64)
        sources = [source] * len(items)
        missing = end - len(items)
        if missing > 0:
            fill = self._rank_popular(resolved, missing, also_hidden=items)
            items = np.concatenate([items, fill])
            scores = np.concatenate([scores, np.full(len(fill), np.nan)])
            sources += [Source.POPULARITY] * len(fill)
        shown = items[start:end].tolist()
        has_newcomers = max(shown, default=-1) >= resolved.newcomers.first
        return Recommendation(
            source,
            shown,
            scores[start:end].tolist(),
            sources[start:end],
            resolved.newcomers if has_newcomers else None,
        )

    def _answer_popular(self, resolved: _Resolved) -> Recommendation:
        items = self._rank_popular(resolved, resolved.end)[resolved.start :]
        scores = self.popularity_counts()[items].astype(np.float64)
        sources = [Source.POPULARITY] * len(items)
        return Recommendation(Source.POPULARITY, items.tolist(), scores.tolist(), sources)

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
        if len(order) <= _QUICK_LENGTH:  # a set takes less time than numpy's sorting
            behind = set(hidden.tolist())
            visible = [item for item in order.tolist() if item not in behind]
            return np.array(visible[:n], dtype=np.int64)
        return order[~np.isin(order, hidden)][:n].astype(np.int64)

    def _popularity_order(self) -> NDArray[np.int32]:
        popularity = self.model.popularity
        by_plays = self.popularity_by is PopularityBy.PLAYS
        return popularity.by_plays if by_plays else popularity.by_listeners


def _hidden_ids(query: Query) -> set[str]:
    """Returns the artists that must not appear, whatever the model knows of the user."""
    hidden = set(query.exclude)
    if query.activity is not None:
        hidden |= query.activity.barred | query.activity.seen
    return hidden


def _scan(resolved: Sequence[_Resolved], catalogue: Catalogue) -> list[Ranked]:
    return top_items(
        np.stack([one.vector for one in resolved]),
        catalogue,
        n=max(one.end for one in resolved),
        hidden=[one.hidden[one.hidden < len(catalogue.factors)] for one in resolved],
    )


def _with_newcomers(resolved: _Resolved, ranked: Ranked) -> Ranked:
    """Returns a ranking with those newcomers in it that may appear."""
    newcomers = resolved.newcomers
    if not newcomers.n_ranked:
        return ranked
    # What is below the end of the list does not enter it.
    floor = ranked[1][resolved.end - 1] if len(ranked[1]) >= resolved.end else -math.inf
    items, scores = newcomers.above(float(floor), resolved.vector)
    if not len(items):
        return ranked
    may_appear = ~np.isin(items, resolved.hidden)
    if resolved.candidates is not None:
        may_appear &= np.isin(items, resolved.candidates)
    all_items = np.concatenate([ranked[0], items[may_appear]])
    all_scores = np.concatenate([ranked[1], scores[may_appear]])
    # Those that are ranked already keep their order, which scores rounded to float32 may not tell;
    # newcomers come after them, as their indices do.
    order = np.argsort(-all_scores, kind="stable")
    return all_items[order], all_scores[order]


def _explored(resolved: _Resolved, answer: Recommendation) -> Recommendation:
    """Puts artists with too few listeners into every so-manieth place of a list.

    Args:
        resolved: the query.
        answer: the list without them, from its first place on.
    """
    query = resolved.query
    ordinary = iter(zip(answer.items, answer.scores, answer.sources, strict=True))
    chosen = iter(_chosen(resolved, _due(resolved.end, query.explore)))
    places: list[tuple[int, float, Source]] = []
    for place in range(1, resolved.end + 1):
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
        resolved.newcomers,
    )


def _due(places: int, explore: float) -> int:
    """Returns how many of the first places explore."""
    return int(places * explore + 1e-9)  # 0.29 * 100 is less than 29


def _chosen(resolved: _Resolved, count: int) -> list[int]:
    """Draws artists that have too few listeners to be ranked, nearer ones rather than others."""
    newcomers, rng = resolved.newcomers, np.random.default_rng(resolved.query.seed or 0)
    items = np.arange(
        newcomers.first + newcomers.n_ranked, newcomers.first + len(newcomers.artists)
    )
    # Each gets its number before any is left out: what one user hides moves nobody else.
    luck = rng.gumbel(size=len(items))
    vector = resolved.vector.astype(np.float64)
    if vector.any():
        luck += _NEARNESS * (newcomers.directions @ (vector / np.linalg.norm(vector)))
    may_appear = ~np.isin(items, resolved.hidden)
    if resolved.candidates is not None:
        may_appear &= np.isin(items, resolved.candidates)
    order = np.argsort(-luck[may_appear], kind="stable")
    drawn: list[int] = items[may_appear][order][:count].tolist()
    return drawn


def _any_of(items: NDArray[np.int64], history: Row | None) -> bool:
    return history is not None and bool(np.isin(items, history[0]).any())


def _no_history() -> UnknownUser:
    return UnknownUser(
        "this user has no listening history in the model; "
        "strategy=auto answers with popular artists instead"
    )
