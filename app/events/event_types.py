"""The types of events and their effects: the one table that service and training read.

``app.events.activity`` applies it to the events of one user; ``training.event_data.reactions``
applies it to arrays of events of all users.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class EventRules:
    """How many units each type of event counts.

    Attributes:
        play: units for one play. P plays of an artist, in however many events, count
            log2(1 + P) times as much, so that a day of one song does not dominate a taste.
        like: units for a like, however often it is repeated.
        skip: units that each skip takes away.
        skip_days: for how long a skip hides the artist.
    """

    play: float = 1.0
    like: float = 2.0
    skip: float = 0.5
    skip_days: float = 30.0

    def units_of_plays(self, plays: float) -> float:
        """Returns the units for a number of plays of an artist."""
        return self.play * math.log2(1.0 + plays)


DEFAULT_RULES: Final = EventRules()


class Counting(Enum):
    """How the events of a type add up, for one user and one artist."""

    # P plays in all, in however many events, count log2(1 + P) times the units.
    PLAYS = auto()
    # The latest opinion counts, once, however often it is repeated.
    OPINION = auto()
    # Each event counts.
    EACH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of the events of a type.

    Attributes:
        past: the verb in the past tense, as in "who liked an artist".
        words: the effect in words, for the API documentation, after the name of the type.
        counting: how the events add up.
        units: returns the units of one event by the rules; below 0 for a type that counts against
            an artist.
        is_seen: whether the artist counts as seen by the user; for an opinion, while it holds.
        hidden_days: returns for how many days the artist is hidden by the rules; None if it is not.
        rejects: whether it is an opinion that hides the artist and removes it from the taste while
            it holds. Any other opinion makes the artist visible again.
    """

    past: str
    words: str
    counting: Counting
    units: Callable[[EventRules], float]
    is_seen: bool
    hidden_days: Callable[[EventRules], float] | None = None
    rejects: bool = False

    def __post_init__(self) -> None:
        """Refuses a contradiction.

        Raises:
            TypeError: the type rejects but is not an opinion.
        """
        if self.rejects and self.counting is not Counting.OPINION:
            raise TypeError("an event type that rejects has to count as an opinion, which can end")


class EventType(StrEnum):
    """What a user did."""

    _value_: str
    effect: Effect

    # The default is for mypy only, which takes the lookup EventType("play") for a call of this
    # method. A type without an effect is refused when the class is created.
    def __new__(cls, name: str, effect: Effect | None = None) -> Self:
        """Declares a type.

        Args:
            name: its name in events and databases.
            effect: the effect of its events.

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
        """The plural of the type's name, for counts."""
        return f"{self.value}s"

    @property
    def carries_plays(self) -> bool:
        """Whether its events have a number of plays."""
        return self.effect.counting is Counting.PLAYS


PLAY_TYPES: Final = tuple(kind for kind in EventType if kind.carries_plays)
OPINION_TYPES: Final = tuple(kind for kind in EventType if kind.effect.counting is Counting.OPINION)
EACH_TYPES: Final = tuple(kind for kind in EventType if kind.effect.counting is Counting.EACH)
SEEN_TYPES: Final = tuple(kind for kind in EventType if kind.effect.is_seen)

if PLAY_TYPES != (EventType.PLAY,):
    # Plays are summed over all events of an artist, so their units have to come from one type.
    raise TypeError(f"only one event type may carry plays, and not {', '.join(PLAY_TYPES)}")
