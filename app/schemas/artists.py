"""The availability of an artist."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.primitives import ARTIST_ID_EXAMPLE


class AvailabilityBody(BaseModel):
    """The body of ``PUT /artists/{artist_id}``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    available: bool = Field(
        description="Whether the artist may be in lists.",
        examples=[False],
    )


class Availability(BaseModel):
    """Whether an artist may be in lists."""

    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    available: bool = Field(description="Whether it may be in lists.", examples=[False])
