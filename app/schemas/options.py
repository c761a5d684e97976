"""What a request for a list may ask."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.recommender import Strategy
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    MAX_IDS,
    MAX_PLAYS,
    OTHER_ARTIST_ID_EXAMPLE,
    USER_ID_EXAMPLE,
    Id,
    PlainDecimal,
    PlainInteger,
)

MAX_N: Final = 500
MAX_OFFSET: Final = 10_000
MAX_BATCH_ITEMS: Final = 100_000

# JSON has no enumerations: their values come as strings, in a body that is strict otherwise.
StrategyName = Annotated[Strategy, Field(strict=False)]


Discovery = Annotated[
    PlainDecimal,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much the scores of popular artists are discounted: 0 not at all, 0.25 for "
        "more variety at hardly any cost in hits, 1 for a list of little-known artists. Lists of "
        "popular artists stay as they are.",
        examples=[0.25],
    ),
]
Explore = Annotated[
    PlainDecimal,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The share of places that go to new artists which have too few listeners to be "
        "ranked, near the user's taste: 0.1 for one in ten. Such an item has `source: explore` and "
        "no score.",
        examples=[0.1],
    ),
]
ExploreSeed = Annotated[
    PlainInteger | None,
    Field(
        ge=0,
        le=2**63 - 1,
        description="Of the choice of those artists; without it the choice is the same for a user "
        "all day (UTC), as long as the model is.",
        examples=[7],
    ),
]


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


class ListOptions(Page):
    """What the list calls have in common."""

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
    discovery: Discovery = 0.0
    explore: Explore = 0.0
    seed: ExploreSeed = None


class RecommendParameters(ListOptions):
    """The query of ``GET /recommend/{user_id}``."""

    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAX_IDS,
        description="An artist id that must not appear; give the parameter once for each. Unknown "
        "ones are ignored.",
        examples=[[ARTIST_ID_EXAMPLE]],
    )


class Listen(BaseModel):
    """An artist that somebody listens to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    artist_id: Id = Field(
        description="The artist's id; an unknown one is ignored.",
        examples=[OTHER_ARTIST_ID_EXAMPLE],
    )
    plays: float = Field(
        default=1.0,
        gt=0,
        le=MAX_PLAYS,
        allow_inf_nan=False,
        description="How often they played it.",
        examples=[12],
    )


class RecommendBody(ListOptions):
    """The body of ``POST /recommend``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: Id | None = Field(
        default=None,
        description="Whom the list is for; left out or null for somebody unknown.",
        examples=[USER_ID_EXAMPLE],
    )
    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAX_IDS,
        description="Artist ids that must not appear; unknown ones are ignored.",
        examples=[[OTHER_ARTIST_ID_EXAMPLE]],
    )
    candidates: list[Id] | None = Field(
        default=None,
        max_length=MAX_IDS,
        description="If given, only these artists are ranked; unknown ones are ignored.",
        examples=[[ARTIST_ID_EXAMPLE, OTHER_ARTIST_ID_EXAMPLE]],
    )
    listens: list[Listen] | None = Field(
        default=None,
        max_length=MAX_IDS,
        description="What they listen to; nothing of it is stored. For somebody unknown it is the "
        "history; for a user with a history it counts as events of type `play` would.",
        examples=[[{"artist_id": OTHER_ARTIST_ID_EXAMPLE, "plays": 12}]],
    )


class BatchBody(BaseModel):
    """The body of ``POST /recommend/batch``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_ids: list[Id] = Field(
        min_length=1,
        max_length=MAX_IDS,
        description="Whom the lists are for, in this order; unknown users get popular artists.",
        examples=[[USER_ID_EXAMPLE, "b77d01c4aa"]],
    )
    n: PlainInteger = Field(
        default=10,
        ge=1,
        le=MAX_N,
        description=f"How many artists in each list; users times n is at most {MAX_BATCH_ITEMS:,}.",
        examples=[10],
    )
    discovery: Discovery = 0.0
    explore: Explore = 0.0
    seed: ExploreSeed = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if (items := len(self.user_ids) * self.n) > MAX_BATCH_ITEMS:
            raise ValueError(
                f"{len(self.user_ids)} users times n={self.n} is {items:,} items, more than "
                f"{MAX_BATCH_ITEMS:,}; send several requests"
            )
        return self
