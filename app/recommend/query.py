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


class Step(StrEnum):
    """The steps of a list, in their order; a module or more of this folder for each."""

    RESOLVE = "resolve"
    ELIGIBLE = "eligible"
    RANK = "rank"
    ADJUST = "adjust"
    PLACE = "place"


# For each field of ``Query`` the step that has to be taken anew where it is asked for; None where
# a few look-ups do, in a list or a ranking that was made before.
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
    "activity": None,  # says itself whether it only hides artists
    "explore": Step.PLACE,
    "seed": None,
}


def check_needs(needs: Mapping[str, Step | None], query_type: type[Any]) -> None:
    """Holds a table of needs against the fields of a query.

    Raises:
        TypeError: a field is missing in the table, or a name in it is no field.
    """
    differ = needs.keys() ^ {field.name for field in fields(query_type)}
    if differ:
        raise TypeError(f"NEEDS and {query_type.__name__} differ in {sorted(differ)}")


check_needs(NEEDS, Query)
_NEEDY: Final = tuple(name for name, step in NEEDS.items() if step is not None)
# Those options of a query at once, which takes less time than one after the other, and what they
# are for most queries.
needy_options: Final = attrgetter(*_NEEDY)
NONE_ASKED: Final[tuple[Any, ...]] = needy_options(Query())


def steps_asked(query: Query, *, without: Collection[str] = ()) -> set[Step]:
    """Returns the steps that have to be taken anew for a query.

    Args:
        query: the query.
        without: names of options that change nothing in the situation at hand.
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
