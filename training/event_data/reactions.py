"""Reactions: all events other than plays, as arrays.

This is the array form of the rules in ``app.events.event_types``; ``app.events.activity`` is the
scalar form.
"""

from __future__ import annotations

from typing import Final, assert_never

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.events.event_types import (
    EACH_TYPES,
    OPINION_TYPES,
    PLAY_TYPES,
    Counting,
    EventRules,
    EventType,
)
from app.model.weighting import USED_UP
from training.errors import TrainingError

# More plays mean nothing, and their square, which training computes, has to be finite.
_MOST_PLAYS: Final = 2.0**50
_LARGEST_EXPONENT: Final = 200.0


def is_play(events: pl.DataFrame) -> pl.Series:
    """Marks the events that are plays; the others are reactions."""
    return events["type"].is_in([kind.value for kind in PLAY_TYPES])


def check_rules(rules: EventRules) -> None:
    """Refuses rules by which reactions cannot be expressed in plays.

    Raises:
        TrainingError: a play counts 0 units.
    """
    if rules.play == 0:
        raise TrainingError(
            "ENCORE_PLAY_UNITS is 0, but training counts likes and skips in plays: set it above 0, "
            "or train with --no-events"
        )


def reactions_of(events: pl.DataFrame) -> pl.DataFrame:
    """Returns the reactions, one row for each pair of user and artist.

    Args:
        events: as in ``EventLog``.

    Returns:
        Columns user, artist, opinion (the latest, null for none), one column for each type of which
        every event counts, under its plural, with the number of events, and at (the time of the
        last reaction).
    """
    kind = pl.col("type")
    opinions = [one.value for one in OPINION_TYPES]
    numbers = [(kind == one.value).sum().alias(one.plural) for one in EACH_TYPES]
    reactions = events.filter(~is_play(events)).group_by("user", "artist", maintain_order=True)
    return reactions.agg(
        kind.filter(kind.is_in(opinions)).last().alias("opinion"),
        *numbers,
        pl.col("at").last(),
    )


def count_reactions(reactions: pl.DataFrame) -> dict[str, int]:
    """Returns the number of pairs with each opinion, and of events of each other type."""
    held = {kind.plural: int(_holds(reactions, kind).sum()) for kind in OPINION_TYPES}
    return held | {kind.plural: int(reactions[kind.plural].sum()) for kind in EACH_TYPES}


def moved_plays(
    reactions: pl.DataFrame, plays: NDArray[np.float64], rules: EventRules
) -> NDArray[np.float64]:
    """Returns the plays of each pair after its reactions.

    P plays are play * log2(1 + P) units, to which the reactions add their units. The sum is that of
    (1 + P) * 2^(units / play) - 1 plays.

    Args:
        reactions: from ``reactions_of``.
        plays: float64, shape (n_reactions,), the plays P of each pair, 0 for none.
        rules: how many units each type of event counts; more than 0 for a play.

    Returns:
        float64, shape (n_reactions,); 0 for pairs with neither plays nor positive units, and for
        rejected artists.
    """
    units, is_rejected = np.zeros(len(reactions)), np.zeros(len(reactions), dtype=bool)
    for kind in EventType:
        counting = kind.effect.counting
        if counting is Counting.OPINION:
            is_held = _holds(reactions, kind)
            units += kind.effect.units(rules) * is_held
            if kind.effect.rejects:
                is_rejected |= is_held
        elif counting is Counting.EACH:
            units += kind.effect.units(rules) * reactions[kind.plural].to_numpy()
        elif counting is not Counting.PLAYS:
            assert_never(counting)
    exponents = np.minimum(units / EventType.PLAY.effect.units(rules), _LARGEST_EXPONENT)
    moved = (1.0 + plays) * np.exp2(exponents) - 1.0
    moved = np.minimum(moved, np.maximum(plays, _MOST_PLAYS))
    # A pair whose plays are used up by reactions shows no preference, but the artist was seen.
    moved = np.maximum(moved, np.where(plays > 0, USED_UP, 0.0))
    moved[is_rejected] = 0.0
    return np.asarray(moved)


def _holds(reactions: pl.DataFrame, opinion: EventType) -> NDArray[np.bool_]:
    """Marks the pairs whose latest opinion is a given one."""
    is_held: NDArray[np.bool_] = (
        (reactions["opinion"] == opinion.value).fill_null(value=False).to_numpy()
    )
    return is_held
