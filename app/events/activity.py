"""Activity: the sum of a user's events, artist by artist.

Events count in a unit that depends on the model, ``EventUnit``. Without it a play would hardly
change the vector of a user with a history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from app.events.event import MICROSECONDS, StoredEvent
from app.events.event_types import EACH_TYPES, Counting, EventRules, EventType
from app.model.id_map import IdMap

_DAY: Final = 24 * 3600 * MICROSECONDS
# Looked up once: a member of an enumeration takes time to find, and each event needs one.
_PLAYS: Final = Counting.PLAYS
_EACH: Final = Counting.EACH
_OPINION: Final = Counting.OPINION


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Activity:
    """The sum of a user's events.

    Attributes:
        units: by artist id, the units to add to its weight; negative after skips.
        seen: artist ids that were played or liked.
        barred: artist ids that must not be recommended now.
        disliked: artist ids that no longer count for the taste; all of them are barred.
        valid_until: when the next skip stops hiding its artist, in microseconds since 1970 (UTC);
            None for never.
        is_erased: whether the user was erased before these events, so that their history in a model
            is ignored.
    """

    units: Mapping[str, float] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    disliked: frozenset[str] = frozenset()
    valid_until: int | None = None
    is_erased: bool = False

    @property
    def only_hides(self) -> bool:
        """Whether the events only hide artists, and the user is ranked by their history alone."""
        return not (self.units or self.disliked or self.is_erased)

    @property
    def size(self) -> int:
        """How many entries it has: an artist that was played counts for its units and as seen."""
        return len(self.units) + len(self.seen) + len(self.barred) + len(self.disliked)


NO_ACTIVITY: Final = Activity()


class _Tally:
    """The events of one artist."""

    __slots__ = (
        "hidden_until",
        "is_seen",
        "learned_opinion",
        "new_each",
        "new_plays",
        "opinion",
    )

    def __init__(self) -> None:
        # By plays and the like, which stay; an opinion may be taken back.
        self.is_seen = False
        self.new_plays = 0.0
        # The types of new events of which each one counts.
        self.new_each: list[EventType] = []
        self.opinion: EventType | None = None
        # The last opinion that a training has learned.
        self.learned_opinion: EventType | None = None
        self.hidden_until = 0

    @property
    def is_rejected(self) -> bool:
        return self.opinion is not None and self.opinion.effect.rejects


def activity_of(
    events: Iterable[StoredEvent],
    rules: EventRules,
    now: int,
    *,
    learned: int = 0,
    is_erased: bool = False,
) -> Activity:
    """Adds up the events of one user.

    Events that a training has learned add no units, since they are in the user's history. They
    still say which artists the user has seen, and which must not be recommended.

    Args:
        events: in any order; they are sorted by time, and by number where times are equal.
        rules: how many units each type counts.
        now: in microseconds since 1970 (UTC).
        learned: number of the last event that a training has learned.
        is_erased: whether the user was erased before.
    """
    tallies: dict[str, _Tally] = {}
    for stored in sorted(events, key=lambda stored: (stored.at, stored.sequence)):
        artist_id = stored.event.artist_id
        tally = tallies.get(artist_id)
        if tally is None:
            tally = tallies[artist_id] = _Tally()
        _count(tally, stored, rules, is_new=stored.sequence > learned)
    hidden = {
        artist: tally.hidden_until for artist, tally in tallies.items() if tally.hidden_until > now
    }
    disliked = frozenset(artist for artist, tally in tallies.items() if tally.is_rejected)
    return Activity(
        units={
            artist: units
            for artist, tally in tallies.items()
            if artist not in disliked and (units := _units(tally, rules))
        },
        seen=frozenset(
            artist
            for artist, tally in tallies.items()
            if tally.is_seen or (tally.opinion is not None and tally.opinion.effect.is_seen)
        ),
        barred=disliked | hidden.keys(),
        disliked=disliked,
        valid_until=min(hidden.values(), default=None),
        is_erased=is_erased,
    )


def _count(tally: _Tally, stored: StoredEvent, rules: EventRules, *, is_new: bool) -> None:
    kind = stored.event.type
    effect = kind.effect
    counting = effect.counting
    if counting is _PLAYS:
        if is_new:
            tally.new_plays += stored.event.plays
        if effect.is_seen:
            tally.is_seen = True
    elif counting is _EACH:
        if is_new:
            tally.new_each.append(kind)
        if effect.is_seen:
            tally.is_seen = True
    elif counting is _OPINION:
        tally.opinion = kind
        if not is_new:
            tally.learned_opinion = kind
        if not effect.rejects:
            tally.hidden_until = 0
    else:
        assert_never(counting)
    if effect.hidden_days is not None:
        # A sender's clock may be ahead, so hiding starts when the event was received at the latest.
        start = min(stored.at, stored.received_at)
        until = start + round(effect.hidden_days(rules) * _DAY)
        tally.hidden_until = max(tally.hidden_until, until)


def _units(tally: _Tally, rules: EventRules) -> float:
    units = rules.units_of_plays(tally.new_plays)
    # The history holds the learned opinion, so a different one adds the difference.
    if tally.opinion is not tally.learned_opinion:
        units += _worth(tally.opinion, rules) - _worth(tally.learned_opinion, rules)
    if tally.new_each:
        for kind in EACH_TYPES:
            units += kind.effect.units(rules) * tally.new_each.count(kind)
    return units


def _worth(opinion: EventType | None, rules: EventRules) -> float:
    return 0.0 if opinion is None else opinion.effect.units(rules)


def with_units(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    units: Mapping[int, float],
    dropped: Iterable[int],
    size: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Adds the units of events to the weights of a history.

    Args:
        items: int32, shape (n,), item indices of the history, sorted and unique.
        weights: float32, shape (n,), their weights.
        units: by item index, the units that events add.
        dropped: item indices that no longer count for the taste.
        size: weight of one unit.

    Returns:
        Item indices (int32), sorted and unique, and weights (float32) above 0; items with a weight
        of 0 or less are left out.
    """
    totals = dict(zip(items.tolist(), weights.tolist(), strict=True))
    for item, amount in units.items():
        totals[item] = totals.get(item, 0.0) + size * amount
    for item in dropped:
        totals.pop(item, None)
    positive = sorted((item, weight) for item, weight in totals.items() if weight > 0)
    return (
        np.array([item for item, _ in positive], dtype=np.int32),
        np.array([weight for _, weight in positive], dtype=np.float32),
    )


def index_units(units: Mapping[str, float], items: IdMap) -> dict[int, float]:
    """Returns units by item index; artists that the model does not know are left out."""
    return {
        index: amount
        for artist, amount in units.items()
        if (index := items.index(artist)) is not None
    }
