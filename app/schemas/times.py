"""Times in requests, answers and dumps."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from app.events.event import MICROSECONDS

TIME_EXAMPLE: Final = "2026-11-26T18:03:59Z"
# A sender's clock may be wrong, or in another time zone than it says.
_FUTURE_SECONDS: Final = 24 * 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_NAIVE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?", re.ASCII)


def read_stored_time(value: object) -> int:
    """Returns the microseconds since 1970 (UTC) of a time such as 2026-11-26T18:03:59+01:00.

    Raises:
        ValueError: it is not a time, or has no offset.
    """
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        if isinstance(value, str) and _NAIVE.fullmatch(value):
            raise ValueError(f"has no time zone; write it as in {TIME_EXAMPLE}")
        raise ValueError(f"should be a time such as {TIME_EXAMPLE}")
    try:
        moment = datetime.fromisoformat(value.upper())
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"should be a time that exists, such as {TIME_EXAMPLE}") from error


def read_time(value: object) -> int:
    """Returns the time that a sender says; see ``read_stored_time``.

    Raises:
        ValueError: it is not a time, has no offset, or lies before 1970 or in the future.
    """
    microseconds = read_stored_time(value)
    if microseconds < 0:
        raise ValueError("lies before 1970")
    if microseconds > (time.time() + _FUTURE_SECONDS) * MICROSECONDS:
        raise ValueError("lies more than a day in the future; is the sender's clock right?")
    return microseconds


def write_time(microseconds: int) -> datetime:
    """Returns a time for an answer, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


_SHOWN: Final = Field(json_schema_extra={"type": "string", "format": "date-time"})
Time = Annotated[int, BeforeValidator(read_time), _SHOWN]
StoredTime = Annotated[int, BeforeValidator(read_stored_time), _SHOWN]
