"""The columns of events: the one table that SQL, rows and dumps are built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum, auto
from operator import attrgetter
from typing import Any, Final, NamedTuple

from app.events.event import Event
from app.events.event_types import EventType
from app.store.entries import KeyedEvent


class NewRow(NamedTuple):
    """An event that is about to be stored.

    Attributes:
        sequence: its number.
        key: from ``Event.key``, or from another store.
        digest: from ``Event.digest``.
        received_at: in microseconds since 1970 (UTC).
        event: as it was sent.
    """

    sequence: int
    key: bytes
    digest: bytes
    received_at: int
    event: Event


class DumpForm(Enum):
    """How a dump writes a value."""

    AS_IT_IS = auto()
    # As hexadecimal digits.
    HEX = auto()
    # Microseconds since 1970 (UTC), written as a time that people can read.
    TIME = auto()


@dataclass(frozen=True, slots=True)
class Dumped:
    """The field of a column in a dump.

    Attributes:
        name: the field's name in a line of the dump.
        value: returns the value of an event; None to leave it out.
        form: how the value is written.
    """

    name: str
    value: Callable[[KeyedEvent], Any]
    form: DumpForm = DumpForm.AS_IT_IS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumn:
    """A column of the table ``events``.

    Attributes:
        name: its name in the database. It holds the attribute of ``Event`` or ``StoredEvent`` of
            the same name, except ``happened_at`` and ``is_timed``, which make ``timestamp``.
        sql: its type; ``{bytes}`` and ``{float}`` as in ``app.store.migrations``.
        write: returns the column's value for an event.
        read: converts the column's value; None if the column is not read with the others.
        dumped: its field in a dump, in the order of the columns; None for none.
        since: the number of the step of ``app.store.migrations`` that made it.
    """

    name: str
    sql: str
    write: Callable[[NewRow], Any]
    read: Callable[[Any], Any] | None
    dumped: Dumped | None
    since: int = 1


# A table: looking a value up in an enumeration takes longer than the rest of a row.
_TYPES: Final = {kind.encode(): kind for kind in EventType}


def _type(value: bytes) -> EventType:
    return _TYPES.get(value) or EventType(value.decode())


def _optional_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _optional_bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _happened_at(row: NewRow) -> int:
    return row.received_at if row.event.timestamp is None else row.event.timestamp


EVENT_COLUMNS: Final = (
    EventColumn(
        name="sequence",
        sql="BIGINT NOT NULL PRIMARY KEY",
        write=attrgetter("sequence"),
        read=int,
        dumped=Dumped("sequence", lambda entry: entry.sequence),
    ),
    # Identifies repeated events.
    EventColumn(
        name="key",
        sql="{bytes} NOT NULL",
        write=attrgetter("key"),
        read=None,
        dumped=Dumped("key", lambda entry: entry.key, DumpForm.HEX),
    ),
    # Identifies different content under the same key.
    EventColumn(
        name="digest",
        sql="{bytes} NOT NULL",
        write=attrgetter("digest"),
        read=None,
        dumped=None,
    ),
    EventColumn(
        name="received_at",
        sql="BIGINT NOT NULL",
        write=attrgetter("received_at"),
        read=int,
        dumped=Dumped("received_at", lambda entry: entry.received_at, DumpForm.TIME),
    ),
    # The sender's time, else when the event was received.
    EventColumn(
        name="happened_at",
        sql="BIGINT NOT NULL",
        write=_happened_at,
        read=int,
        dumped=None,
    ),
    EventColumn(
        name="user_id",
        sql="{bytes} NOT NULL",
        write=lambda row: row.event.user_id.encode(),
        read=bytes.decode,
        dumped=Dumped("user_id", lambda entry: entry.event.user_id),
    ),
    EventColumn(
        name="artist_id",
        sql="{bytes} NOT NULL",
        write=lambda row: row.event.artist_id.encode(),
        read=bytes.decode,
        dumped=Dumped("artist_id", lambda entry: entry.event.artist_id),
    ),
    EventColumn(
        name="type",
        sql="{bytes} NOT NULL",
        write=lambda row: row.event.type.encode(),
        read=_type,
        dumped=Dumped("type", lambda entry: entry.event.type.value),
    ),
    EventColumn(
        name="plays",
        sql="{float} NOT NULL",
        write=attrgetter("event.plays"),
        read=float,
        dumped=Dumped(
            "plays",
            lambda entry: entry.event.plays if entry.event.type.carries_plays else None,
        ),
    ),
    # Whether the sender gave a time.
    EventColumn(
        name="is_timed",
        sql="SMALLINT NOT NULL",
        write=lambda row: int(row.event.timestamp is not None),
        read=bool,
        dumped=Dumped("timestamp", lambda entry: entry.event.timestamp, DumpForm.TIME),
    ),
    EventColumn(
        name="event_id",
        sql="{bytes}",
        write=lambda row: _optional_bytes(row.event.event_id),
        read=_optional_text,
        dumped=Dumped("event_id", lambda entry: entry.event.event_id),
    ),
    EventColumn(
        name="artist_name",
        sql="{bytes}",
        write=lambda row: _optional_bytes(row.event.artist_name),
        read=_optional_text,
        dumped=Dumped("artist_name", lambda entry: entry.event.artist_name),
    ),
)
READ_COLUMNS: Final = tuple(
    (column.name, column.read) for column in EVENT_COLUMNS if column.read is not None
)
DUMPED: Final = tuple(column.dumped for column in EVENT_COLUMNS if column.dumped is not None)

_FIELDS: Final = {field.name for field in fields(Event)}
if _lost := _FIELDS - {"timestamp"} - {name for name, _ in READ_COLUMNS}:
    raise TypeError(f"fields of events without a column: {', '.join(sorted(_lost))}")
if _lost := _FIELDS - {dumped.name for dumped in DUMPED}:
    raise TypeError(f"fields of events that no dump has: {', '.join(sorted(_lost))}")


def definitions(step: int) -> str:
    """Returns the definitions of the columns that a migration step makes, for ``CREATE TABLE``.

    Existing databases hold this text, so it must not change, line breaks included.
    """
    return ",\n            ".join(
        f"{column.name} {column.sql}" for column in EVENT_COLUMNS if column.since == step
    )
