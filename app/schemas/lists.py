"""Lists of recommended artists."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field

from app.recommend.query import Source
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    OTHER_ARTIST_ID_EXAMPLE,
    USER_ID_EXAMPLE,
    Version,
)

_FIRST_ITEM: Final = {
    "rank": 1,
    "artist_id": ARTIST_ID_EXAMPLE,
    "name": "the doors",
    "score": 1.404213,
    "source": "als",
}
_SECOND_ITEM: Final = {
    "rank": 2,
    "artist_id": OTHER_ARTIST_ID_EXAMPLE,
    "name": "tom waits",
    "score": 1.244518,
    "source": "als",
}


class Item(BaseModel):
    """One place of a list."""

    rank: int = Field(description="Place in the ranking, from 1 on.", examples=[1])
    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    score: float | None = Field(
        description="Orders the artists of one source; not a probability. For `als` and `fold_in` "
        "a dot product, discounted as `discovery` asks; for `popularity` a count; null for an "
        "artist from another source than the list's.",
        examples=[1.404213],
    )
    source: Source = Field(
        description="What put this artist here; `explore` did for a new one with few listeners.",
        examples=["als"],
    )


# Fields that several answers share.
ListOwner = Annotated[
    str | None,
    Field(
        description="The user of the list; null if the request named none.",
        examples=[USER_ID_EXAMPLE],
    ),
]
ListSource = Annotated[
    Source,
    Field(
        description="What answered: `als` for a user with listening history, `fold_in` for one "
        "with events since the training or with `listens`, else `popularity`.",
        examples=["als"],
    ),
]
ListItems = Annotated[
    list[Item],
    Field(
        description="The artists, best first; fewer than n where no more exist.",
        examples=[[_FIRST_ITEM, _SECOND_ITEM]],
    ),
]


class UserList(BaseModel):
    """One user's list."""

    user_id: ListOwner
    source: ListSource
    items: ListItems


class Recommendations(BaseModel):
    """A list of recommended artists."""

    user_id: ListOwner
    source: ListSource
    model_version: Version
    items: ListItems


class BatchRecommendations(BaseModel):
    """One list for each user of the request, in its order."""

    model_version: Version
    results: list[UserList] = Field(
        description="The lists, in the order of `user_ids`.",
        examples=[[{"user_id": USER_ID_EXAMPLE, "source": "als", "items": [_FIRST_ITEM]}]],
    )
