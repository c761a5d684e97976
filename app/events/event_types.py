"""The types of events, and what they count for: one table, which everybody reads.

The scalar form, for one user, is ``app.events.activity``; the array form, for a training, is
``training.event_data.reactions``. Both interpret the same declarations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class EventRules:
    """What each type of event counts for.

    Attributes:
        play: units for a play. P plays of an artist, however many events they come in, count for
            log2(1 + P) of them, so that a day of one song does not take over a taste.
        like: units for a like, however often it is repeated.
        skip: units that each skip takes away.
        skip_days: for how long a skip hides the artist.
    """

    play: float = 1.0
    like: float = 2.0
    skip: float = 0.5
    skip_days: float = 30.0

    def units_of_plays(self, plays: float) -> float:
        """Returns the units for so many plays of an artist."""
        return self.play * math.log2(1.0 + plays)


DEFAULT_RULES: Final = EventRules()


class Counting(Enum):
    """How the events of a type add up, for one user and one artist."""

    # P plays in all, however many events they come in, count for log2(1 + P) times the units.
    PLAYS = auto()
    # The latest opinion counts, once, however often it is repeated.
    OPINION = auto()
    # Each event counts.
    EACH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the events of a type do.

    Attributes:
        past: what a user did, as in "who liked an artist".
        words: what that does, for the page of calls, after the name of the type.
        counting: how the events add up.
        units: what one of them counts for by the rules; below 0 for what counts against an artist.
        is_seen: whether the user knows the artist by it; an opinion says so while it holds.
        hidden_days: for how many days the artist is hidden by the rules; None for not at all.
        rejects: whether it is an opinion that hides the artist and takes it out of the taste, while
            it holds. Any other opinion ends what hides the artist.
    """

    past: str
    words: str
    counting: Counting
    units: Callable[[EventRules], float]
    is_seen: bool
    hidden_days: Callable[[EventRules], float] | None = None
    rejects: bool = False

    def __post_init__(self) -> None:
        """Refuses what nobody could interpret.

        Raises:
            TypeError: it rejects, and is no opinion.
        """
        if self.rejects and self.counting is not Counting.OPINION:
            raise TypeError("an event type that rejects has to be an opinion: something has to end")


class EventType(StrEnum):
    """What somebody did."""

    _value_: str
    effect: Effect

    # No default in truth: a type without effect is refused when the class is made. The checker of
    # types takes EventType("play"), which looks a type up, for a call of this.
    def __new__(cls, name: str, effect: Effect | None = None) -> Self:
        """Declares a type.

        Args:
            name: as events and databases have it.
            effect: what its events do.

        Raises:
            TypeError: the effect is missing.
        """
        if effect is None:
            raise TypeError(f"the event type {name!r} does not say what it does")
        one = str.__new__(cls, name)
        one._value_ = name
        one.effect = effect
        return one

    PLAY = (
        "play",
        Effect(
            past="played",
            words="counts for the artist and for similar ones",
            counting=Counting.PLAYS,
            units=lambda rules: rules.play,
            is_seen=True,
        ),
    )
    SKIP = (
        "skip",
        Effect(
            past="skipped",
            words="against it and hides it for some days",
            counting=Counting.EACH,
            units=lambda rules: -rules.skip,
            is_seen=False,
            hidden_days=lambda rules: rules.skip_days,
        ),
    )
    LIKE = (
        "like",
        Effect(
            past="liked",
            words="more",
            counting=Counting.OPINION,
            units=lambda rules: rules.like,
            is_seen=True,
        ),
    )
    DISLIKE = (
        "dislike",
        Effect(
            past="disliked",
            words="hides it until a later `like`",
            counting=Counting.OPINION,
            units=lambda _: 0.0,
            is_seen=False,
            rejects=True,
        ),
    )

    @property
    def plural(self) -> str:
        """What several events of the type are called, in figures."""
        return f"{self.value}s"

    @property
    def carries_plays(self) -> bool:
        """Whether its events say how often."""
        return self.effect.counting is Counting.PLAYS


PLAY_TYPES: Final = tuple(kind for kind in EventType if kind.carries_plays)
OPINION_TYPES: Final = tuple(kind for kind in EventType if kind.effect.counting is Counting.OPINION)
EACH_TYPES: Final = tuple(kind for kind in EventType if kind.effect.counting is Counting.EACH)
SEEN_TYPES: Final = tuple(kind for kind in EventType if kind.effect.is_seen)

if PLAY_TYPES != (EventType.PLAY,):
    # Plays are added up over all events: of two types nobody could tell whose units they are.
    raise TypeError(f"only one event type may carry plays, and not {', '.join(PLAY_TYPES)}")
