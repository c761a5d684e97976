"""Activity: what a user's events come to, artist by artist.

Events count in a unit that goes with the model, ``EventUnit``: a play would otherwise move the
vector of somebody with a history by next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.events import MICROSECONDS, EventRules, EventType, StoredEvent
from app.id_map import IdMap
from app.interactions import UserItems
from app.weighting import Weighting

DEFAULT_UNIT: Final = 3.0
_DAY: Final = 24 * 3600 * MICROSECONDS
# A median of so many pairs is close enough to that of all.
_SAMPLED_PAIRS: Final = 2**20


@dataclass(frozen=True, slots=True)
class EventUnit:
    """What one event of one play adds to the weight of its artist.

    Attributes:
        multiple: in medians of the weights of the user's history.
        median_weight: median of the weights in the training data, which stands in for somebody
            without a history.
    """

    multiple: float
    median_weight: float

    @classmethod
    def of(
        cls, user_items: UserItems, weighting: Weighting, multiple: float = DEFAULT_UNIT
    ) -> Self:
        """Takes the median of the training data, or of evenly spaced users where there are many."""
        step = max(1, -(-user_items.nnz // _SAMPLED_PAIRS))
        sample = user_items.take(np.arange(0, user_items.n_users, step)) if step > 1 else user_items
        weights = weighting.weigh(sample if sample.nnz else user_items)
        return cls(multiple, float(np.median(weights)) if len(weights) else 1.0)

    def for_user(self, weights: NDArray[np.float32]) -> float:
        """Returns the weight of a unit for somebody with these weights in their history.

        They are those before they fade: an event is of today, as somebody's history once was.
        """
        median = float(np.median(weights)) if len(weights) else self.median_weight
        return self.multiple * median


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """What a user's events come to.

    Attributes:
        units: by artist id, what is added to its weight, in units; negative after skips.
        seen: artist ids that were played or liked.
        barred: artist ids that must not be recommended now.
        disliked: artist ids that say nothing for a taste any more; all of them are barred.
        valid_until: when something ends by itself, in microseconds since 1970; None for never.
        is_erased: whether the user was erased before these events, so that what a model may hold
            of them is not looked at.
    """

    units: Mapping[str, float] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    disliked: frozenset[str] = frozenset()
    valid_until: int | None = None
    is_erased: bool = False

    @property
    def only_hides(self) -> bool:
        """Whether the user is ranked as their history says, and all it does is to hide artists."""
        return not (self.units or self.disliked or self.is_erased)


NO_ACTIVITY: Final = Activity()


@dataclass(slots=True)
class _Tally:
    """The events of one artist."""

    has_plays: bool = False
    new_plays: float = 0.0
    is_liked: bool = False
    # Whether a training has learned that it is liked.
    is_like_learned: bool = False
    is_disliked: bool = False
    new_skips: int = 0
    hidden_until: int = 0


def activity_of(
    events: Iterable[StoredEvent],
    rules: EventRules,
    now: int,
    *,
    learned: int = 0,
    is_erased: bool = False,
) -> Activity:
    """Adds up the events of one user.

    What a training has learned adds no units, since it is in the user's history. It still says what
    they have seen, and what must not be recommended.

    Args:
        events: in any order; they count in that of their times, and of their numbers where times
            are equal.
        rules: what they count for.
        now: in microseconds since 1970 (UTC).
        learned: number of the last event that a training has learned.
        is_erased: whether the user was erased before.
    """
    tallies: dict[str, _Tally] = {}
    for stored in sorted(events, key=lambda stored: (stored.at, stored.sequence)):
        tally = tallies.setdefault(stored.event.artist_id, _Tally())
        _count(tally, stored, rules, is_new=stored.sequence > learned)
    hidden = {
        artist: tally.hidden_until for artist, tally in tallies.items() if tally.hidden_until > now
    }
    disliked = frozenset(artist for artist, tally in tallies.items() if tally.is_disliked)
    return Activity(
        units={
            artist: units
            for artist, tally in tallies.items()
            if not tally.is_disliked and (units := _units(tally, rules))
        },
        seen=frozenset(
            artist for artist, tally in tallies.items() if tally.has_plays or tally.is_liked
        ),
        barred=disliked | hidden.keys(),
        disliked=disliked,
        valid_until=min(hidden.values(), default=None),
        is_erased=is_erased,
    )


def _count(tally: _Tally, stored: StoredEvent, rules: EventRules, *, is_new: bool) -> None:
    kind = stored.event.type
    if kind is EventType.PLAY:
        tally.has_plays = True
        tally.new_plays += stored.event.plays if is_new else 0.0
    elif kind is EventType.LIKE:
        tally.is_liked, tally.is_disliked, tally.hidden_until = True, False, 0
        tally.is_like_learned |= not is_new
    elif kind is EventType.DISLIKE:
        tally.is_liked, tally.is_disliked = False, True
        tally.is_like_learned &= is_new
    else:
        tally.new_skips += is_new
        # A sender's clock may be ahead; a skip hides from when it came, at the latest.
        start = min(stored.at, stored.received_at)
        tally.hidden_until = max(tally.hidden_until, start + round(rules.skip_days * _DAY))


def _units(tally: _Tally, rules: EventRules) -> float:
    liked = rules.like if tally.is_liked and not tally.is_like_learned else 0.0
    return rules.units_of_plays(tally.new_plays) + liked - rules.skip * tally.new_skips


def with_units(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    units: Mapping[int, float],
    dropped: Iterable[int],
    size: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns a history's weights with those of events.

    Args:
        items: item indices of the history, sorted and unique.
        weights: float32, of the history.
        units: by item index, what events add.
        dropped: item indices that say nothing for a taste any more.
        size: weight of one unit.

    Returns:
        Item indices, sorted and unique, and weights above 0: an artist whose weight is used up is
        no preference.
    """
    totals = dict(zip(items.tolist(), weights.tolist(), strict=True))
    for item, amount in units.items():
        totals[item] = totals.get(item, 0.0) + size * amount
    for item in dropped:
        totals.pop(item, None)
    kept = sorted((item, weight) for item, weight in totals.items() if weight > 0)
    return (
        np.array([item for item, _ in kept], dtype=np.int32),
        np.array([weight for _, weight in kept], dtype=np.float32),
    )


def index_units(units: Mapping[str, float], items: IdMap) -> dict[int, float]:
    """Returns units by item index; artists that the model does not know are left out."""
    return {
        index: amount
        for artist, amount in units.items()
        if (index := items.index(artist)) is not None
    }
