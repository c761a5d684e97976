"""The options of a request for a list, in one table.

Each option is declared once, with its bounds and its description, and becomes the field of
``Query`` of the same name. An option without a field, or a field without an option, is an error at
import.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field as QueryField
from dataclasses import fields
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.recommend.query import Query, Strategy
from app.schemas.first_errors import ENDS_EARLY, FIRST_ERRORS
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    FINITE,
    MAX_IDS,
    MAX_PLAYS,
    MIN_PLAYS,
    OTHER_ARTIST_ID_EXAMPLE,
    PLAIN_DECIMAL,
    PLAIN_INTEGER,
    USER_ID_EXAMPLE,
    Id,
    PlainInteger,
)

MAX_N: Final = 500
MAX_OFFSET: Final = 10_000
MAX_BATCH_ITEMS: Final = 100_000

# Options of ``GET /recommend/{user_id}`` that the hot route answers itself. Requests with other
# options go to the framework's route, which gives the same list.
HOT_OPTIONS: Final = frozenset(
    {"n", "offset", "strategy", "include_seen", "discovery", "explore", "seed", "exclude"}
)
# Options of the call for many lists that no query has: each list is a query of its own.
_OF_THE_CALL: Final = frozenset({"user_ids"})
# Fields of a query that the service sets, not the request.
_INTERNAL: Final = frozenset({"activity"})

# JSON has no enumerations, so these accept strings in an otherwise strict body.
StrategyName = Annotated[Strategy, Field(strict=False)]
Ids = Annotated[list[Id], Field(max_length=MAX_IDS), ENDS_EARLY, FIRST_ERRORS]

Discovery = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="How much the scores of popular artists are discounted: 0 not at all, 0.25 for "
        "more variety at hardly any cost in hits, 1 for a list of little-known artists. Lists of "
        "popular artists stay as they are.",
        examples=[0.25],
    ),
    PLAIN_DECIMAL,
    FINITE,
]
Explore = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="The share of places that go to new artists which have too few listeners to be "
        "ranked, near the user's taste: 0.1 for one in ten. Such an item has `source: explore` and "
        "no score.",
        examples=[0.1],
    ),
    PLAIN_DECIMAL,
    FINITE,
]
ExploreSeed = Annotated[
    Annotated[int, Field(ge=0, le=2**63 - 1), PLAIN_INTEGER] | None,
    Field(
        description="Seed of the choice of those artists; without it the choice stays the same for "
        "a user and a model all day (UTC).",
        examples=[7],
    ),
]


class SharedOptions(BaseModel):
    """The options of all calls for lists: for one user by query or body, and for many users.

    An option that is declared here is read by all of them, and has to be a field of ``Query``.
    """

    model_config = ConfigDict(extra="forbid")

    discovery: Discovery = 0.0
    explore: Explore = 0.0
    seed: ExploreSeed = None


class Page(BaseModel):
    """Which part of a ranking is wanted."""

    model_config = ConfigDict(extra="forbid")

    n: PlainInteger = Field(
        default=10, ge=1, le=MAX_N, description="How many artists to return.", examples=[10]
    )
    offset: PlainInteger = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="How many of the best artists to pass over; pages hold together within one "
        "model version.",
        examples=[0],
    )


class _OneList(Page):
    """The options of calls for one list only."""

    strategy: StrategyName = Field(
        default=Strategy.AUTO,
        description="`auto` takes the best source that can answer, `als` only personal factors "
        "(404 for a user without listening history), `popularity` the same list for everyone.",
        examples=["auto"],
    )
    include_seen: bool = Field(
        default=False,
        description="Whether artists that the user already listens to may appear.",
        examples=[False],
    )


# Fields of the last base come first.
class ListOptions(SharedOptions, _OneList):
    """The options that both calls for one list have."""


class RecommendParameters(ListOptions):
    """The query of ``GET /recommend/{user_id}``."""

    exclude: Ids = Field(
        default_factory=list,
        description="An artist id that must not appear; give the parameter once for each. Unknown "
        "ones are ignored.",
        examples=[[ARTIST_ID_EXAMPLE]],
    )


class Listen(BaseModel):
    """An artist that the user listens to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    artist_id: Id = Field(
        description="The artist's id; an unknown one is ignored.",
        examples=[OTHER_ARTIST_ID_EXAMPLE],
    )
    plays: float = Field(
        default=1.0,
        ge=MIN_PLAYS,
        le=MAX_PLAYS,
        allow_inf_nan=False,
        description="How often they played it, in whole plays or parts of one.",
        examples=[12],
    )


Listens = Annotated[list[Listen], Field(max_length=MAX_IDS), ENDS_EARLY, FIRST_ERRORS]


class RecommendBody(ListOptions):
    """The body of ``POST /recommend``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: Id | None = Field(
        default=None,
        description="The user of the list; left out or null for an unknown user.",
        examples=[USER_ID_EXAMPLE],
    )
    exclude: Ids = Field(
        default_factory=list,
        description="Artist ids that must not appear; unknown ones are ignored.",
        examples=[[OTHER_ARTIST_ID_EXAMPLE]],
    )
    candidates: Ids | None = Field(
        default=None,
        description="If given, only these artists are ranked; unknown ones are ignored.",
        examples=[[ARTIST_ID_EXAMPLE, OTHER_ARTIST_ID_EXAMPLE]],
    )
    listens: Listens | None = Field(
        default=None,
        description="What the user listens to; it is not stored. For an unknown user it is the "
        "history; for a user with a history it counts like events of type `play`.",
        examples=[[{"artist_id": OTHER_ARTIST_ID_EXAMPLE, "plays": 12}]],
    )


SomeIds = Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS), ENDS_EARLY, FIRST_ERRORS]


class _ManyLists(BaseModel):
    """The options of the call for many lists only."""

    user_ids: SomeIds = Field(
        description="The users of the lists, in order; unknown users get popular artists.",
        examples=[[USER_ID_EXAMPLE, "b77d01c4aa"]],
    )
    n: PlainInteger = Field(
        default=10,
        ge=1,
        le=MAX_N,
        description=f"How many artists in each list; users times n is at most {MAX_BATCH_ITEMS:,}.",
        examples=[10],
    )


class BatchBody(SharedOptions, _ManyLists):
    """The body of ``POST /recommend/batch``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if (items := len(self.user_ids) * self.n) > MAX_BATCH_ITEMS:
            raise ValueError(
                f"{len(self.user_ids)} users times n={self.n} is {items:,} items, more than "
                f"{MAX_BATCH_ITEMS:,}; send several requests"
            )
        return self


def arguments_of(options: SharedOptions) -> dict[str, Any]:
    """Returns a request's options as arguments of ``Query``, by name.

    Options that are not given are left out, since ``Query`` has the same defaults.
    """
    arguments = {name: getattr(options, name) for name in options.model_fields_set - _OF_THE_CALL}
    if arguments.get("listens"):
        arguments["listens"] = [(one.artist_id, one.plays) for one in arguments["listens"]]
    return arguments


def check_options(
    calls: Iterable[type[SharedOptions]], query: type[Query], hot: Iterable[str]
) -> None:
    """Compares the table of options with the fields of the query.

    Args:
        calls: the options of each call.
        query: the query that all of them become.
        hot: names of options that the hot route answers.

    Raises:
        TypeError: an option is declared on one side only, or with two defaults.
    """
    calls = tuple(calls)
    known = {one.name: one for one in fields(query)}
    asked = {name: info for call in calls for name, info in call.model_fields.items()}
    if foreign := asked.keys() - known.keys() - _OF_THE_CALL:
        raise TypeError(f"options that are no fields of {query.__name__}: {sorted(foreign)}")
    if silent := known.keys() - asked.keys() - _INTERNAL:
        raise TypeError(f"fields of {query.__name__} that no call has as options: {sorted(silent)}")
    if unknown := set(hot) - asked.keys():
        raise TypeError(f"hot options that no call has: {sorted(unknown)}")
    for call in calls:
        for name, info in call.model_fields.items():
            default = info.get_default(call_default_factory=True)
            if name in known and not _is_default(default, known[name]):
                raise TypeError(f"the default of {call.__name__}.{name} is not that of the query")


def _is_default(value: object, of: QueryField[Any]) -> bool:
    return of.default == (tuple(value) if isinstance(value, list) else value)


check_options((RecommendParameters, RecommendBody, BatchBody), Query, HOT_OPTIONS)
