"""The popularity ranking."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field

from app.recommend.query import PopularityBy
from app.schemas.options import Page
from app.schemas.primitives import ARTIST_ID_EXAMPLE, FINITE, PLAIN_DECIMAL, Version

MAX_DAYS: Final = 3650
_POPULAR_ITEM: Final = {
    "rank": 1,
    "artist_id": ARTIST_ID_EXAMPLE,
    "name": "the doors",
    "listeners": 611,
    "plays": 1291387.0,
}
Days = Annotated[float, Field(gt=0, le=MAX_DAYS), PLAIN_DECIMAL, FINITE]


class PopularParameters(Page):
    """The query of ``GET /popular``."""

    by: PopularityBy = Field(
        default=PopularityBy.LISTENERS,
        description="What counts: how many people listen, or how often they play.",
        examples=["listeners"],
    )

    days: Days | None = Field(
        default=None,
        description="Count the events of this many days until now; without it, the data that the "
        "model was trained on.",
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
        description="How many days of events were counted; null for the training data.",
        examples=[None],
    )
    items: list[PopularItem] = Field(
        description="The artists, most popular first.", examples=[[_POPULAR_ITEM]]
    )
