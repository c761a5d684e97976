"""Reactions: what users did with artists beyond playing them, in arrays.

The array form of ``app.events.event_types``, as ``app.events.activity`` is the scalar one.
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

# More is beyond any taste, and what is squared on the way to factors has to be a number.
_MOST_PLAYS: Final = 2.0**50
_LARGEST_EXPONENT: Final = 200.0


def is_play(events: pl.DataFrame) -> pl.Series:
    """Says which events carry plays; the others are reactions."""
    return events["type"].is_in([kind.value for kind in PLAY_TYPES])


def check_rules(rules: EventRules) -> None:
    """Refuses rules by which reactions cannot be counted in plays.

    Raises:
        TrainingError: a play counts for nothing.
    """
    if rules.play == 0:
        raise TrainingError(
            "ENCORE_PLAY_UNITS is 0, and a training counts likes and skips in plays: set it above "
            "0, or train with --no-events"
        )


def reactions_of(events: pl.DataFrame) -> pl.DataFrame:
    """Returns what users did with artists beyond playing them, a row for each such pair.

    Args:
        events: as of ``EventLog``.

    Returns:
        Columns user, artist, opinion (a type, null for none), the number of events of each type
        that counts each by its plural, and the time of the last such event (at).
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
    """Returns how many artists each opinion is held of, and how many events count each."""
    held = {kind.plural: int(_holds(reactions, kind).sum()) for kind in OPINION_TYPES}
    return held | {kind.plural: int(reactions[kind.plural].sum()) for kind in EACH_TYPES}


def moved_plays(
    reactions: pl.DataFrame, plays: NDArray[np.float64], rules: EventRules
) -> NDArray[np.float64]:
    """Returns how many plays a pair counts for whose user has reacted to the artist.

    P plays are play * log2(1 + P) units and the reactions some more: together as many as
    (1 + P) * 2^(units / play) - 1 plays.

    Args:
        reactions: as of ``reactions_of``.
        plays: float64, shape (n_reactions,), the plays P of each pair, 0 for none.
        rules: what events count for; a play for more than nothing.

    Returns:
        float64, shape (n_reactions,); 0 for pairs without plays that nothing speaks for, and for
        those whose artist is rejected.
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
    # What reactions have used up is no preference, but was seen.
    moved = np.maximum(moved, np.where(plays > 0, USED_UP, 0.0))
    moved[is_rejected] = 0.0
    return np.asarray(moved)


def _holds(reactions: pl.DataFrame, opinion: EventType) -> NDArray[np.bool_]:
    """Says for which pairs an opinion is the latest."""
    is_held: NDArray[np.bool_] = (
        (reactions["opinion"] == opinion.value).fill_null(value=False).to_numpy()
    )
    return is_held
