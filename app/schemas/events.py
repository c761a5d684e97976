"""Events, as they are sent and shown."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.config import JsonDict

from app.events.event import Event
from app.events.event_types import EventType
from app.model.id_map import MAX_ID_BYTES
from app.schemas.primitives import (
    ARTIST_ID_EXAMPLE,
    MAX_PLAYS,
    MIN_PLAYS,
    USER_ID_EXAMPLE,
    Id,
)
from app.schemas.times import TIME_EXAMPLE, Time

MAX_EVENTS: Final = 10_000
MAX_NAME: Final = 500
_TYPES: Final = {kind.value: kind for kind in EventType}
_EVENT_FIELDS: Final = tuple(field.name for field in fields(Event))
EVENT_ID_EXAMPLE: Final = "play-000017"


def _not_empty(value: str) -> str:
    # No path of the API could name an empty id afterwards.
    if not value:
        raise ValueError("should not be empty")
    return value


def _whole_name(name: str) -> str:
    name.encode()  # a lone surrogate is refused
    if not name.strip():
        raise ValueError("should not be blank; leave it out where there is no name")
    return name


NamedId = Annotated[
    Id,
    AfterValidator(_not_empty),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_ID_BYTES}),
]
EventId = NamedId
ArtistName = Annotated[
    str,
    Field(max_length=MAX_NAME),
    AfterValidator(_whole_name),
    Field(json_schema_extra={"pattern": r"\S"}),
]
if TYPE_CHECKING:
    TypeName: TypeAlias = str
else:
    # Type checkers cannot read the names from the table.
    TypeName = Literal[tuple(kind.value for kind in EventType)]


def _effects() -> list[str]:
    """Returns the effect of each type in words; types that reject an artist come last."""
    kinds = sorted(EventType, key=lambda kind: (kind.effect.rejects, kind.effect.counting.value))
    return [f"`{kind}` {kind.effect.words}" for kind in kinds]


# What `EventIn._has_plays_of_its_own` checks, for clients that are generated from the schema.
_RULE_OF_PLAYS: Final[JsonDict] = {
    "if": {
        "properties": {
            "type": {"enum": [kind.value for kind in EventType if not kind.carries_plays]}
        },
        "required": ["type"],
    },
    "then": {"properties": {"plays": {"type": "null"}}},
}


class EventIn(BaseModel):
    """One thing that a user did."""

    model_config = ConfigDict(
        extra="forbid", strict=True, title="Event", json_schema_extra=_RULE_OF_PLAYS
    )

    user_id: NamedId = Field(description="Who.", examples=[USER_ID_EXAMPLE])
    artist_id: NamedId = Field(
        description="The artist, known or new.", examples=[ARTIST_ID_EXAMPLE]
    )
    type: TypeName = Field(
        default=EventType.PLAY.value,
        description=f"What they did. A {', a '.join(_effects())}.",
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
        description="When, with a time zone, or as Unix time: a number from 1990 on, in seconds, "
        "milliseconds, microseconds or nanoseconds by its magnitude. Now if left out; at most a "
        "day in the future.",
        examples=[TIME_EXAMPLE],
    )
    event_id: EventId | None = Field(
        default=None,
        description="The sender's name for the event: however often it is sent, it counts once. "
        "Without one the content is the name, if it has a timestamp.",
        examples=[EVENT_ID_EXAMPLE],
    )
    artist_name: ArtistName | None = Field(
        default=None,
        description="What the artist is called, for one that the model does not know.",
        examples=["the doors"],
    )

    @model_validator(mode="after")
    def _has_plays_of_its_own(self) -> EventIn:
        if self.plays is not None and not _TYPES[self.type].carries_plays:
            raise ValueError(f"a {self.type} has no plays; leave them out")
        return self

    def to_event(self) -> Event:
        """Returns the event."""
        sent = self.__dict__
        given = {name: sent[name] for name in _EVENT_FIELDS}
        given["type"] = _TYPES[self.type]
        if self.plays is None:
            given["plays"] = 1.0
        return Event(**given)


if _missing := [name for name in _EVENT_FIELDS if name not in EventIn.model_fields]:
    raise TypeError(f"EventIn lacks fields of Event: {', '.join(_missing)}")


class Refused:
    """The entry of a request that is not a valid event.

    Args:
        errors: the entries of pydantic's ``errors()``.
        event_id: its id if that is printable text, at most 256 characters; else None.
    """

    def __init__(self, errors: list[Any], event_id: str | None) -> None:
        self.errors = errors
        self.event_id = event_id


def read_event(entry: Any) -> Event | Refused:
    """Returns the event that an entry of a request tells, or why it is none."""
    try:
        return EventIn.model_validate(entry).to_event()
    except ValidationError as error:
        event_id = entry.get("event_id") if isinstance(entry, dict) else None
        is_text = isinstance(event_id, str) and event_id.isprintable()
        return Refused(
            list(error.errors(include_url=False)), str(event_id)[:256] if is_text else None
        )


def _unread(entry: Any, _handler: ValidatorFunctionWrapHandler) -> Any:
    # SkipValidation would leave the event out of the components of OpenAPI.
    return entry


class EventsBody(BaseModel):
    """The body of ``POST /events``."""

    # The entries are as they were sent: each is still to be read by ``read_event``, which takes too
    # long for all at once.

    model_config = ConfigDict(extra="forbid", strict=True)

    events: list[Annotated[EventIn, WrapValidator(_unread)]] = Field(
        min_length=1,
        max_length=MAX_EVENTS,
        description="What happened, in any order; some hundred at a time are quickest.",
        examples=[
            [
                {
                    "event_id": EVENT_ID_EXAMPLE,
                    "user_id": USER_ID_EXAMPLE,
                    "artist_id": ARTIST_ID_EXAMPLE,
                    "type": "play",
                    "timestamp": TIME_EXAMPLE,
                }
            ]
        ],
    )


class EventResult(BaseModel):
    """The outcome of one event."""

    status: Literal["stored", "repeated", "refused"] = Field(
        description="`stored`: it is on disk and counts; `repeated`: it was there already and "
        "counts once; `refused`: it is not stored, and `detail` says why.",
        examples=["stored"],
    )
    event_id: str | None = Field(
        default=None, description="Its id, if it has one.", examples=[EVENT_ID_EXAMPLE]
    )
    sequence: int | None = Field(
        default=None, description="Its number in the store.", examples=[17]
    )
    detail: str | None = Field(
        default=None,
        description="Why it was refused, or a warning: without `event_id` and `timestamp` an event "
        "that is sent again counts again.",
        examples=["timestamp: has no time zone; write it as in 2026-11-26T18:03:59Z"],
    )


class EventsAnswer(BaseModel):
    """The outcomes of the events of a request."""

    stored: int = Field(description="How many were stored.", examples=[1])
    repeated: int = Field(description="How many were there already.", examples=[0])
    refused: int = Field(description="How many were refused.", examples=[0])
    results: list[EventResult] = Field(
        description="The outcome of each event, in the order of `events`.",
        examples=[[{"status": "stored", "event_id": EVENT_ID_EXAMPLE, "sequence": 17}]],
    )


class EventShown(BaseModel):
    """An event as it is stored."""

    sequence: int = Field(description="Its number in the store.", examples=[17])
    event_id: str | None = Field(description="Its id, if any.", examples=[EVENT_ID_EXAMPLE])
    artist_id: str = Field(description="The artist's id.", examples=[ARTIST_ID_EXAMPLE])
    name: str | None = Field(
        description="What the artist is called, as far as is known.", examples=["the doors"]
    )
    type: EventType = Field(description="What the user did.", examples=["play"])
    plays: float | None = Field(description="How often, of a `play`.", examples=[1.0])
    timestamp: datetime | None = Field(
        description="When, as the sender said; null where it did not.", examples=[TIME_EXAMPLE]
    )
    received_at: datetime = Field(description="When it was stored.", examples=[TIME_EXAMPLE])
