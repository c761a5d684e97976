"""One request for a list, which steps its options need, and its answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from app.events.activity import Activity
from app.recommend.newcomers import Newcomers


class Strategy(StrEnum):
    """Which rungs a request allows."""

    AUTO = "auto"
    ALS = "als"
    POPULARITY = "popularity"


class Source(StrEnum):
    """The rung that gave an answer or an item."""

    ALS = "als"
    FOLD_IN = "fold_in"
    POPULARITY = "popularity"
    EXPLORE = "explore"

    # The hash of Python's enumerations takes four times as long.
    __hash__ = str.__hash__


class PopularityBy(StrEnum):
    """What counts as popular."""

    LISTENERS = "listeners"
    PLAYS = "plays"


# Not frozen: one is made for each request, and making a frozen one takes three times as long.
@dataclass(slots=True)
class Query:
    """One request for a list.

    Attributes:
        user_id: the user; None for an unknown one.
        n: length of the list, at least 1.
        offset: how many of the best items to skip.
        strategy: ``auto`` takes the highest rung that can answer; ``als`` refuses popularity.
        exclude: item ids that must not appear; unknown ones are ignored.
        candidates: if given, only these items are ranked; unknown ones are ignored.
        include_seen: whether items of the user's history or of ``listens`` may appear.
        discovery: 0 to 1, how much the scores of popular items are discounted. It does not change
            the popularity rung, nor the items that fill a list from there.
        listens: item ids with plays above 0; the plays of one item are summed, unknown items are
            ignored. For a user with a history they count like events of this moment; for others
            they are the history, and weighted as training weights a history.
        activity: the sum of the user's events; None for a user without events.
        explore: 0 to 1, the share of places that go to new artists with too few listeners to be
            ranked; these places are spread evenly over the list.
        seed: seed of the random choice of those artists, at least 0.

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


class Step(StrEnum):
    """The steps of a list, in their order; each has one or more modules in this folder."""

    RESOLVE = "resolve"
    ELIGIBLE = "eligible"
    RANK = "rank"
    ADJUST = "adjust"
    PLACE = "place"


# For each field of ``Query`` the step that has to be taken anew if a query sets it; None if a few
# look-ups in a precomputed list or ranking suffice.
NEEDS: Final[Mapping[str, Step | None]] = {
    "user_id": None,
    "n": None,
    "offset": None,
    "strategy": None,
    "exclude": None,
    "candidates": Step.ELIGIBLE,
    "include_seen": Step.RANK,
    "discovery": Step.ADJUST,
    "listens": Step.RESOLVE,
    "activity": None,  # ``Activity.only_hides`` decides
    "explore": Step.PLACE,
    "seed": None,
}


def check_needs(needs: Mapping[str, Step | None], query_type: type[Any]) -> None:
    """Compares a table of needs with the fields of a query.

    Raises:
        TypeError: a field is missing in the table, or the table names something else.
    """
    differ = needs.keys() ^ {field.name for field in fields(query_type)}
    if differ:
        raise TypeError(f"NEEDS and {query_type.__name__} differ in {sorted(differ)}")


check_needs(NEEDS, Query)
_NEEDY: Final = tuple(name for name, step in NEEDS.items() if step is not None)
# Reads all these options of a query in one call, which is faster than one by one; NONE_ASKED is the
# result for a query that sets none of them.
needy_options: Final = attrgetter(*_NEEDY)
NONE_ASKED: Final[tuple[Any, ...]] = needy_options(Query())


def steps_asked(query: Query, *, without: Collection[str] = ()) -> set[Step]:
    """Returns the steps that have to be taken anew for a query.

    Args:
        query: the query.
        without: names of options that have no effect in the present situation.
    """
    values = zip(_NEEDY, needy_options(query), NONE_ASKED, strict=True)
    asked = {name for name, value, default in values if value != default}
    asked.difference_update(without)
    if not query.listens:
        asked.discard("listens")  # none were sent
    return {step for name in asked if (step := NEEDS[name]) is not None}


@dataclass(slots=True)
class Recommendation:
    """The answer to one query.

    Attributes:
        source: the rung that answered.
        items: item indices, best first.
        scores: one for each item. For ``als`` and ``fold_in`` it is the dot product, discounted as
            the query asks; for ``popularity`` the listeners or plays. NaN for an item that comes
            from another source than ``source``.
        sources: the source of each item.
        newcomers: the artists of item indices past those of the model; None if there are none.
    """

    source: Source
    items: list[int]
    scores: Sequence[float]
    sources: list[Source]
    newcomers: Newcomers | None = None
