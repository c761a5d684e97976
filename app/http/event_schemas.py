"""What events and users look like."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from app.events import MICROSECONDS, Event, EventType
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    MAX_PLAYS,
    USER_ID_EXAMPLE,
    VERSION_EXAMPLE,
    Id,
    PlainInteger,
)

MAX_EVENTS: Final = 10_000
MAX_NAME: Final = 500
# Less would be nothing where plays are summed as float32.
MIN_PLAYS: Final = 0.001
MAX_EVENTS_SHOWN: Final = 1000
# Clocks of senders may be wrong, or in another zone than they say.
_FUTURE_SECONDS: Final = 24 * 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_NAIVE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?", re.ASCII)
_TIME_EXAMPLE: Final = "2026-11-26T18:03:59Z"
_EVENT_ID_EXAMPLE: Final = "play-000017"


def read_time(value: object) -> int:
    """Returns the microseconds since 1970 (UTC) of a time such as 2026-11-26T18:03:59+01:00.

    Raises:
        ValueError: it is none, has no offset, or lies before 1970 or in the future.
    """
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        if isinstance(value, str) and _NAIVE.fullmatch(value):
            raise ValueError(f"has no time zone; write it as in {_TIME_EXAMPLE}")
        raise ValueError(f"should be a time such as {_TIME_EXAMPLE}")
    try:
        moment = datetime.fromisoformat(value.upper())
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"should be a time that exists, such as {_TIME_EXAMPLE}") from error
    if microseconds < 0:
        raise ValueError("lies before 1970")
    if microseconds > (time.time() + _FUTURE_SECONDS) * MICROSECONDS:
        raise ValueError("lies more than a day in the future; is the sender's clock right?")
    return microseconds


def write_time(microseconds: int) -> datetime:
    """Returns a time as answers have it."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _not_empty(value: str) -> str:
    # No address of the API could name it afterwards.
    if not value:
        raise ValueError("should not be empty")
    return value


def _whole_name(name: str) -> str:
    name.encode()  # a lone surrogate is refused
    if not name.strip():
        raise ValueError("should not be blank; leave it out where there is no name")
    return name


Time = Annotated[
    int,
    BeforeValidator(read_time),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]


NamedId = Annotated[Id, AfterValidator(_not_empty)]
EventId = NamedId
ArtistName = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_whole_name)]


class EventIn(BaseModel):
    """One thing that somebody did."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Event")

    user_id: NamedId = Field(description="Who.", examples=[USER_ID_EXAMPLE])
    artist_id: NamedId = Field(
        description="The artist, known or new.", examples=[ARTIST_ID_EXAMPLE]
    )
    type: Literal["play", "skip", "like", "dislike"] = Field(
        default="play",
        description="What they did. A `play` counts for the artist and for similar ones, a `like` "
        "more, a `skip` against it and hides it for some days, a `dislike` hides it until a later "
        "`like`.",
        examples=["play"],
    )
    plays: float | None = Field(
        default=None,
        ge=MIN_PLAYS,
        le=MAX_PLAYS,
        allow_inf_nan=False,
        description="How often, of a `play`, in whole plays or parts of one; 1 if left out.",
        examples=[1],
    )
    timestamp: Time | None = Field(
        default=None,
        description="When, with a time zone; now if left out. At most a day in the future.",
        examples=[_TIME_EXAMPLE],
    )
    event_id: EventId | None = Field(
        default=None,
        description="The sender's name for the event: however often it is sent, it counts once. "
        "Without one the content is the name, if it has a timestamp.",
        examples=[_EVENT_ID_EXAMPLE],
    )
    artist_name: ArtistName | None = Field(
        default=None,
        description="What the artist is called, for one that the model does not know.",
        examples=["the doors"],
    )

    @model_validator(mode="after")
    def _has_plays_of_its_own(self) -> EventIn:
        if self.plays is not None and self.type != "play":
            raise ValueError(f"a {self.type} has no plays; leave them out")
        return self

    def to_event(self) -> Event:
        """Returns the event."""
        return Event(
            user_id=self.user_id,
            artist_id=self.artist_id,
            type=EventType(self.type),
            plays=1.0 if self.plays is None else self.plays,
            timestamp=self.timestamp,
            event_id=self.event_id,
            artist_name=self.artist_name,
        )


class Refused:
    """An event that is none.

    Args:
        errors: what is wrong, as of pydantic.
        event_id: its id, if it has one that can be repeated.
    """

    def __init__(self, errors: list[Any], event_id: str | None) -> None:
        self.errors = errors
        self.event_id = event_id


def _or_refused(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Lets the other events of a request pass."""
    try:
        return handler(value)
    except ValidationError as error:
        event_id = value.get("event_id") if isinstance(value, dict) else None
        is_text = isinstance(event_id, str) and event_id.isprintable()
        return Refused(
            list(error.errors(include_url=False)), str(event_id)[:256] if is_text else None
        )


class EventsBody(BaseModel):
    """The body of ``POST /events``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: list[Annotated[EventIn, WrapValidator(_or_refused)]] = Field(
        min_length=1,
        max_length=MAX_EVENTS,
        description="What happened, in any order; some hundred at a time are quickest.",
        examples=[
            [
                {
                    "event_id": _EVENT_ID_EXAMPLE,
                    "user_id": USER_ID_EXAMPLE,
                    "artist_id": ARTIST_ID_EXAMPLE,
                    "type": "play",
                    "timestamp": _TIME_EXAMPLE,
                }
            ]
        ],
    )


class EventResult(BaseModel):
    """What became of one event."""

    status: Literal["stored", "repeated", "refused"] = Field(
        description="`stored`: it is on disk and counts; `repeated`: it was there already and "
        "counts once; `refused`: it is not stored, and `detail` says why.",
        examples=["stored"],
    )
    event_id: str | None = Field(
        default=None, description="Its id, if it has one.", examples=[_EVENT_ID_EXAMPLE]
    )
    sequence: int | None = Field(
        default=None, description="Its number in the store.", examples=[17]
    )
    detail: str | None = Field(
        default=None,
        description="Why it was refused, or what to know about it: without `event_id` and "
        "`timestamp` an event that is sent again counts again.",
        examples=["timestamp: has no time zone; write it as in 2026-11-26T18:03:59Z"],
    )


class EventsAnswer(BaseModel):
    """What became of the events of a request."""

    stored: int = Field(description="How many were stored.", examples=[1])
    repeated: int = Field(description="How many were there already.", examples=[0])
    refused: int = Field(description="How many were refused.", examples=[0])
    results: list[EventResult] = Field(
        description="What became of each, in the order of `events`.",
        examples=[[{"status": "stored", "event_id": _EVENT_ID_EXAMPLE, "sequence": 17}]],
    )


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


class UserErased(BaseModel):
    """What was erased."""

    user_id: str = Field(description="The user's id.", examples=[USER_ID_EXAMPLE])
    events_erased: int = Field(description="How many events there were.", examples=[17])


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
    before: PlainInteger | None = Field(
        default=None,
        ge=1,
        le=2**63 - 1,
        description="Show events with lower numbers than this, as `next_before` says.",
        examples=[18],
    )


class PlayedInHistory(BaseModel):
    """An artist of a user's history."""

    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    plays: float = Field(description="How often the user played it.", examples=[317.0])


class EventShown(BaseModel):
    """An event as it is stored."""

    sequence: int = Field(description="Its number in the store.", examples=[17])
    event_id: str | None = Field(description="Its id, if any.", examples=[_EVENT_ID_EXAMPLE])
    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str | None = Field(
        description="What the artist is called, as far as is known.", examples=["the doors"]
    )
    type: EventType = Field(description="What the user did.", examples=["play"])
    plays: float | None = Field(description="How often, of a `play`.", examples=[1.0])
    timestamp: datetime | None = Field(
        description="When, as the sender said; null where it did not.", examples=[_TIME_EXAMPLE]
    )
    received_at: datetime = Field(description="When it was stored.", examples=[_TIME_EXAMPLE])


class UserCard(BaseModel):
    """What is known of a user."""

    user_id: str = Field(description="The user's id.", examples=[USER_ID_EXAMPLE])
    model_version: str | None = Field(
        description="The model in service; null where none is.", examples=[VERSION_EXAMPLE]
    )
    is_in_model: bool = Field(
        description="Whether the model was trained on a history of this user.", examples=[True]
    )
    history: list[PlayedInHistory] = Field(
        description="What the model was trained on, most played first.",
        examples=[[{"artist_id": ARTIST_ID_EXAMPLE, "name": "the doors", "plays": 317.0}]],
    )
    event_count: int = Field(description="How many events are stored.", examples=[1])
    events: list[EventShown] = Field(
        description="Some of them, latest first.",
        examples=[
            [
                {
                    "sequence": 17,
                    "event_id": _EVENT_ID_EXAMPLE,
                    "artist_id": ARTIST_ID_EXAMPLE,
                    "name": "the doors",
                    "type": "play",
                    "plays": 1.0,
                    "timestamp": _TIME_EXAMPLE,
                    "received_at": _TIME_EXAMPLE,
                }
            ]
        ],
    )
    next_before: int | None = Field(
        description="What to give as `before` for older events; null where there are none.",
        examples=[None],
    )
