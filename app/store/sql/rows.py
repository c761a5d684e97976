"""Rows of events: the names of their columns in SQL, and the conversion from and to events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from app.events.event import Event, StoredEvent
from app.store.event_columns import EVENT_COLUMNS, READ_COLUMNS, NewRow

COLUMNS: Final = ", ".join(name for name, _ in READ_COLUMNS)
INSERTED_COLUMNS: Final = ", ".join(column.name for column in EVENT_COLUMNS)
_WRITERS: Final = tuple(column.write for column in EVENT_COLUMNS)
_FIELDS: Final = tuple(field.name for field in fields(Event))


def rows_of(events: Sequence[NewRow]) -> list[tuple[Any, ...]]:
    """Returns the rows of ``INSERTED_COLUMNS`` for events."""
    return list(zip(*(map(write, events) for write in _WRITERS), strict=True))


def stored_events(rows: Sequence[Sequence[Any]]) -> list[StoredEvent]:
    """Returns the events of rows of ``COLUMNS``."""
    if not rows:
        return []
    # Column by column: most columns need no Python code for each row.
    columns = zip(READ_COLUMNS, zip(*rows, strict=True), strict=True)
    values: dict[str, list[Any]] = {
        name: list(map(read, column)) for (name, read), column in columns
    }
    times = zip(values["happened_at"], values["is_timed"], strict=True)
    values["timestamp"] = [moment if is_timed else None for moment, is_timed in times]
    events = map(Event, *(values[name] for name in _FIELDS))
    return list(map(StoredEvent, values["sequence"], values["received_at"], events))
