"""The popularity ranking."""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from app.recommend.query import PopularityBy
from app.schemas.options import Page
from app.schemas.primitives import ARTIST_ID_EXAMPLE, FINITE, PLAIN_DECIMAL, Version

MAX_DAYS: Final = 3650
# The periods of which plays are counted, in days: few, so that many requests share a count.
PERIODS: Final[tuple[float, ...]] = (
    *(hours / 24 for hours in (1, 3, 6, 12)),
    *range(1, 31),
    *(60, 90, 120, 180, 270, 365, 730, 1095, 1825, MAX_DAYS),
)
_POPULAR_ITEM: Final = {
    "rank": 1,
    "artist_id": ARTIST_ID_EXAMPLE,
    "name": "the doors",
    "listeners": 611,
    "plays": 1291387.0,
}
Days = Annotated[float, Field(gt=0, le=MAX_DAYS), PLAIN_DECIMAL, FINITE]


def period_of(days: float) -> float:
    """Returns the shortest of ``PERIODS`` that holds so many days, at most ``MAX_DAYS``."""
    return PERIODS[bisect_left(PERIODS, days)]


class PopularParameters(Page):
    """The query of ``GET /popular``."""

    by: PopularityBy = Field(
        default=PopularityBy.LISTENERS,
        description="What counts: how many people listen, or how often they play.",
        examples=["listeners"],
    )

    days: Annotated[Days, AfterValidator(period_of)] | None = Field(
        default=None,
        description="Count the events of this many days until now; without it, the data that the "
        "model was trained on. It is rounded up: to 1, 3, 6 or 12 hours, to whole days up to 30, "
        "then to 60, 90, 120, 180, 270 or 365 days, and 2, 3, 5 or 10 years of 365 days.",
        examples=[7],
    )


class PopularItem(BaseModel):
    """One place of the popularity ranking."""

    rank: int = Field(description="Place in the ranking, from 1 on.", examples=[1])
    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    listeners: int = Field(description="How many people listen to the artist.", examples=[611])
    plays: float = Field(description="How often they play the artist.", examples=[1291387.0])


class PopularArtists(BaseModel):
    """The most popular artists."""

    model_version: Version
    by: PopularityBy = Field(description="What counted.", examples=["listeners"])
    days: float | None = Field(
        description="How many days of events were counted, what was asked for rounded up; null for "
        "the training data.",
        examples=[None],
    )
    items: list[PopularItem] = Field(
        description="The artists, most popular first.", examples=[[_POPULAR_ITEM]]
    )
