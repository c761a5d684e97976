"""Newcomers: artists that the model has never seen, with vectors made from their listeners'.

The vector that training would solve for an artist with few listeners is so short that it enters no
list. So only its direction comes from the listeners, and its length from established artists. The
length is limited, so that at most a small share of all users sees the artist. Newcomers with too
few listeners are not ranked; lists that explore draw from them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.model import Model
from app.model.new_items import NewItemDirections
from app.ranking.scoring import OVERFLOW, SLACK, Ranked, item_norms, rounding_error, top_items
from app.recommend.newcomer_rules import NewcomerRules

# At most the share _EXPOSURE of the users may have a newcomer among their _SEEN_AMONG best artists.
_EXPOSURE: Final = 0.1
_SEEN_AMONG: Final = 50
# How many users are sampled to measure exposure.
_SAMPLED_USERS: Final = 2000
# Up to this many multiplications (0.1 to 0.2 s), scores of all users and newcomers are computed to
# find the users who have no newcomer near.
_PRODUCTS_AT_ONCE: Final = 2**29
# Computing the norm of a user's vector takes as long as the products with this many newcomers.
_NORM_TAKES: Final = 16
_USERS_AT_ONCE: Final = 4096
# How many near newcomers are cached over all users; each takes 12 bytes, a user as much as 24.
_MOST_NEAR: Final = 2**20
_USER_TAKES: Final = 24

# Item indices and scores.
Near: TypeAlias = tuple["array[int]", "array[float]"]

_NOBODY: Final[Ranked] = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An artist that only events know.

    Attributes:
        artist_id: the artist.
        name: the name from events, else the id.
        vector: float32, shape (factors,); for an artist that is not ranked, of length 1 or 0.
        is_ranked: whether it has enough listeners to be ranked.
    """

    artist_id: str
    name: str
    vector: NDArray[np.float32]
    is_ranked: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Newcomers:
    """Newcomers by index; their item indices follow those of the model.

    Attributes:
        first: the item index of the first newcomer.
        artists: the newcomers, ranked ones first.
        vectors: float32, shape (n_ranked, factors), of the ranked ones.
        directions: float32, shape (n_artists - n_ranked, factors), of the others.
        n_ranked: how many are ranked.
        max_norm: the length of the longest vector.
    """

    first: int
    artists: Sequence[Newcomer]
    vectors: NDArray[np.float32]
    directions: NDArray[np.float32]
    n_ranked: int
    max_norm: float
    _index: dict[str, int] = field(repr=False)
    # By user index, a score that no ranked newcomer exceeds; NaN where it is not computed yet.
    _bounds: memoryview[float] = field(repr=False)
    _near: dict[int, Near] = field(default_factory=dict, repr=False)
    # One number: how many more near newcomers may be cached.
    _room: array[int] = field(default_factory=lambda: array("q", [_MOST_NEAR]), repr=False)

    @classmethod
    def of(cls, model: Model, artists: Iterable[Newcomer]) -> Self:
        """Numbers newcomers after the items of a model."""
        known = sorted(artists, key=lambda artist: not artist.is_ranked)
        n_ranked = sum(artist.is_ranked for artist in known)
        vectors = np.zeros((len(known), model.item_factors.shape[1]), dtype=np.float32)
        for row, artist in enumerate(known):
            vectors[row] = artist.vector
        ranked, others = vectors[:n_ranked], vectors[n_ranked:]
        max_norm = float(item_norms(ranked).max(initial=0.0))
        bounds = _bounds(model, ranked, max_norm)
        first = len(model.items)
        index = {artist.artist_id: first + row for row, artist in enumerate(known)}
        # Read for every list: a memoryview takes a fraction of the time that numpy needs.
        in_memory: memoryview[float] = bounds.data.cast("B").cast("f")
        return cls(first, known, ranked, others, n_ranked, max_norm, index, in_memory)

    @property
    def has_unranked(self) -> bool:
        """Whether there are any with too few listeners to be ranked."""
        return bool(self.directions.size)

    def indices(self, artist_ids: Iterable[str]) -> NDArray[np.int64]:
        """Returns the item indices of the ids that belong to newcomers."""
        found = (self._index.get(artist_id) for artist_id in artist_ids)
        return np.fromiter((index for index in found if index is not None), dtype=np.int64)

    def artist(self, item: int) -> Newcomer:
        """Returns the newcomer with an item index."""
        return self.artists[item - self.first]

    def above(self, floor: float, vector: NDArray[np.float32]) -> Ranked:
        """Returns the newcomers whose score for a user's vector is above a floor, best first.

        As in ``app.ranking.scoring``, a matrix product proposes, and sums in float64 decide.

        Returns:
            Item indices (int64) and scores (float32), as ``scoring.rank`` returns them.
        """
        products = self.vectors @ vector
        exactly = vector.astype(np.float64)
        norm = SLACK * math.sqrt(exactly @ exactly)
        error = rounding_error(norm, len(vector), self.max_norm)
        lowest = floor - error if error < OVERFLOW else -np.inf
        if products.max(initial=-np.inf) < lowest:
            return _NOBODY
        rows = np.flatnonzero(~(products < lowest))  # overflow may have made a product NaN
        scores = (self.vectors[rows] * exactly).sum(axis=1).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > floor]
        return self.first + rows[order], scores[order]

    def bound_for(self, user_index: int, model: Model) -> float:
        """Returns a score for a user of the model that no newcomer in ``near`` exceeds."""
        bound = self._bounds[user_index]
        if bound != bound:  # NaN  # noqa: PLR0124
            _, scores = self.near(user_index, model)
            bound = scores[0] if scores else -math.inf
            self._bounds[user_index] = bound
        return bound

    def near(self, user_index: int, model: Model) -> Near:
        """Returns the newcomers that score above the end of a user's precomputed list, best first.

        Args:
            user_index: the user.
            model: the model; without precomputed lists all newcomers are near.
        """
        near = self._near.get(user_index)
        if near is None:
            lists = model.top_lists
            floor = -math.inf if lists is None else lists.last_score(user_index)
            items, scores = self.above(floor, model.user_factors[user_index])
            near = array("q", items.tobytes()), array("f", scores.tobytes())
            self._room[0] -= len(items) + _USER_TAKES
            if self._room[0] < 0:
                self._near.clear()
                self._room[0] = _MOST_NEAR
            self._near[user_index] = near
        return near


def _bounds(model: Model, vectors: NDArray[np.float32], max_norm: float) -> NDArray[np.float32]:
    """Returns a score for each user that no newcomer exceeds; NaN where computing it takes long.

    Args:
        model: the model of the users.
        vectors: float32, shape (n_newcomers, factors).
        max_norm: the length of the longest of them.
    """
    n_users = len(model.users) if len(vectors) else 0
    bounds = np.full(n_users, np.nan, dtype=np.float32)
    if n_users * (vectors.size + _NORM_TAKES * vectors.shape[1]) > _PRODUCTS_AT_ONCE:
        return bounds
    for start in range(0, n_users, _USERS_AT_ONCE):
        users = model.user_factors[start : start + _USERS_AT_ONCE]
        errors = rounding_error(SLACK * item_norms(users), users.shape[1], max_norm)
        # Twice the error: the sum is rounded when it is added, and again when it is stored.
        highest = (users @ vectors.T).max(axis=1) + 2 * errors
        highest[errors >= OVERFLOW] = np.nan
        bounds[start : start + _USERS_AT_ONCE] = highest
    return bounds


class NewcomerSolver:
    """Makes the vectors of newcomers to a model.

    Args:
        model: the model.
        rules: how many listeners they need, and how long their vectors become.
    """

    def __init__(self, model: Model, rules: NewcomerRules) -> None:
        self._model = model
        self._rules = rules
        self._directions = NewItemDirections(model)

    def solve(self, artist_id: str, name: str, listeners: NDArray[np.float32]) -> Newcomer:
        """Returns an artist with its vector, whose direction comes from its listeners.

        Args:
            artist_id: the artist.
            name: the artist's name.
            listeners: float32, shape (n_listeners, factors); zero vectors do not count.
        """
        direction = self._directions.of(listeners)
        n_known = int(listeners.any(axis=1).sum())
        is_ranked = bool(direction.any()) and n_known >= self._rules.min_listeners
        length = self._length_along(direction) if is_ranked else 1.0
        vector = np.asarray(length * direction, dtype=np.float32)
        return Newcomer(artist_id, name, vector, is_ranked)

    def _length_along(self, direction: NDArray[np.float64]) -> float:
        median, wanted = self._lengths
        # At least the median: in a small catalogue everybody sees all artists, and the limit by
        # exposure would hide a newcomer.
        return min(wanted, max(self._longest(direction), median))

    @cached_property
    def _lengths(self) -> tuple[float, float]:
        """The median and the wanted quantile of the lengths of artists with listeners."""
        norms = item_norms(self._model.item_factors)
        norms = norms[norms > 0]
        if not len(norms):
            return 0.0, 0.0
        return float(np.median(norms)), float(np.quantile(norms, self._rules.length_quantile))

    @cached_property
    def _sample(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Vectors of sampled users, and the score that is needed to enter the list of each."""
        model = self._model
        step = max(1, len(model.users) // _SAMPLED_USERS)
        users = np.arange(0, len(model.users), step)
        users = users[model.user_factors[users].any(axis=1)]
        ranked = top_items(
            model.user_factors[users],
            model.catalogue,
            n=_SEEN_AMONG,
            hidden=[model.user_items.row(user)[0] for user in users.tolist()],
        )
        # Any score above zero enters a list that is not full.
        last = [scores[-1] if len(scores) == _SEEN_AMONG else 0.0 for _, scores in ranked]
        return model.user_factors[users].astype(np.float64), np.array(last, dtype=np.float64)

    def _longest(self, direction: NDArray[np.float64]) -> float:
        """Returns the length at which the share _EXPOSURE of the users sees an artist."""
        vectors, last = self._sample
        if not len(vectors):
            return np.inf
        along = vectors @ direction
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(along > 0, np.maximum(last, 0.0) / along, np.inf)
        place = int(_EXPOSURE * len(needed))
        return float(np.partition(needed, place)[place])
