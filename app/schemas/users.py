"""A user's history and events, and their erasure."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from app.events.personal_data import Goes, Place
from app.schemas.events import EVENT_ID_EXAMPLE, EventShown
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    PLAIN_INTEGER,
    USER_ID_EXAMPLE,
    VERSION_EXAMPLE,
    PlainInteger,
)
from app.schemas.times import TIME_EXAMPLE

MAX_EVENTS_SHOWN: Final = 1000
MAX_HISTORY_SHOWN: Final = 1000


class PlaceToCome(BaseModel):
    """A place that may hold something of the user for a while."""

    place: Place = Field(description="The place.", examples=[Place.MODELS])
    goes: Goes = Field(description="When it goes.", examples=[Place.MODELS.holding.goes])
    how: str = Field(description="By what it goes.", examples=[Place.MODELS.holding.how])


class UserErased(BaseModel):
    """What was erased, and what is to come."""

    user_id: str = Field(description="The user's id.", examples=[USER_ID_EXAMPLE])
    events_erased: int = Field(description="How many events there were.", examples=[17])
    was_in_model: bool = Field(
        description="Whether the model in service holds a history of the user, which it ignores "
        "from now on.",
        examples=[True],
    )
    done: list[Place] = Field(
        description="Places that hold nothing of the user any more.", examples=[[Place.EVENTS]]
    )
    to_come: list[PlaceToCome] = Field(
        description="Places that may hold something for a while, and when that goes.",
        examples=[
            [
                {
                    "place": Place.MODELS,
                    "goes": Place.MODELS.holding.goes,
                    "how": Place.MODELS.holding.how,
                }
            ]
        ],
    )
    stays: list[Place] = Field(
        description="Places that hold a hash of the id, by which the user stays erased.",
        examples=[[Place.TOMBSTONE]],
    )

    @classmethod
    def of(
        cls, user_id: str, events_erased: int, *, was_in_model: bool, is_wiped: bool | None
    ) -> Self:
        """Returns the answer after an erasure.

        Args:
            user_id: the user.
            events_erased: how many events there were.
            was_in_model: whether the model in service holds a history of the user.
            is_wiped: whether the log of the event store was emptied; None if nobody knows.
        """
        done, to_come, stays = [], [], []
        for place in Place:
            holding = place.holding
            if holding.goes is Goes.STAYS:
                stays.append(place)
            elif holding.goes is Goes.AT_ONCE or (is_wiped and place is Place.STORE_LOG):
                done.append(place)
            else:
                to_come.append(PlaceToCome(place=place, goes=holding.goes, how=holding.how))
        return cls(
            user_id=user_id,
            events_erased=events_erased,
            was_in_model=was_in_model,
            done=done,
            to_come=to_come,
            stays=stays,
        )


class UserParameters(BaseModel):
    """The query of ``GET /users/{user_id}``."""

    model_config = ConfigDict(extra="forbid")

    n: PlainInteger = Field(
        default=100,
        ge=1,
        le=MAX_EVENTS_SHOWN,
        description="How many events to show, latest first.",
        examples=[100],
    )
    before: Annotated[int, Field(ge=1, le=2**63 - 1), PLAIN_INTEGER] | None = Field(
        default=None,
        description="Show events with lower numbers than this, as `next_before` says.",
        examples=[18],
    )
    history_n: PlainInteger = Field(
        default=100,
        ge=0,
        le=MAX_HISTORY_SHOWN,
        description="How many artists of the history to show, most played first.",
        examples=[100],
    )
    history_offset: PlainInteger = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="How many artists of the history to pass over, as `next_history_offset` says; "
        "pages hold together within one model version.",
        examples=[0],
    )


class PlayedInHistory(BaseModel):
    """An artist of a user's history."""

    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    plays: float = Field(description="How often the user played it.", examples=[317.0])


class UserCard(BaseModel):
    """A user's history and events."""

    user_id: str = Field(description="The user's id.", examples=[USER_ID_EXAMPLE])
    model_version: str | None = Field(
        description="The model in service; null where none is.", examples=[VERSION_EXAMPLE]
    )
    is_in_model: bool = Field(
        description="Whether the model was trained on a history of this user.", examples=[True]
    )
    history_count: int = Field(
        description="How many artists the history has; 0 where the model has none.", examples=[1]
    )
    history: list[PlayedInHistory] = Field(
        description="Some of what the model was trained on, most played first.",
        examples=[[{"artist_id": ARTIST_ID_EXAMPLE, "name": "the doors", "plays": 317.0}]],
    )
    next_history_offset: int | None = Field(
        description="What to give as `history_offset` for more of the history; null where there is "
        "no more.",
        examples=[None],
    )
    event_count: int = Field(description="How many events are stored.", examples=[1])
    events: list[EventShown] = Field(
        description="Some of them, latest first.",
        examples=[
            [
                {
                    "sequence": 17,
                    "event_id": EVENT_ID_EXAMPLE,
                    "artist_id": ARTIST_ID_EXAMPLE,
                    "name": "the doors",
                    "type": "play",
                    "plays": 1.0,
                    "timestamp": TIME_EXAMPLE,
                    "received_at": TIME_EXAMPLE,
                }
            ]
        ],
    )
    next_before: int | None = Field(
        description="What to give as `before` for older events; null where there are none.",
        examples=[None],
    )
