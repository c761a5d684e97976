"""Times in requests, answers and dumps."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from app.events.event import MICROSECONDS
from app.events.odd_times import impossible_part, meaning_of
from app.events.unix_time import EARLIEST_SECONDS, latest_seconds, microseconds_of

TIME_EXAMPLE: Final = "2026-11-26T18:03:59Z"
# A number with more digits than any unit has was not written as something else.
_LARGEST: Final = 1e18
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_HOUR: Final = slice(11, 13)
_DIGITS: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
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
        if value[_HOUR] == "24":  # newer Pythons read it as the next day
            raise ValueError
        moment = datetime.fromisoformat(value.upper())
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        wrong = impossible_part(value)
        raise ValueError(
            f"should be a time that exists, such as {TIME_EXAMPLE}{wrong and f': {wrong}'}"
        ) from error


def read_time(value: object) -> int:
    """Returns the microseconds since 1970 (UTC) of a time that a sender says.

    Text is read as ``read_stored_time`` reads it. A number is Unix time, in the unit that follows
    from its magnitude, by the rule for numbers in files (``unix_time``).

    Raises:
        ValueError: it is not a time, text without an offset, a number before 1990, or it lies
            before 1970 or in the future.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        microseconds = _read_number(value)
    elif isinstance(value, str) and _DIGITS.fullmatch(value):
        if meaning := meaning_of(value):
            raise ValueError(f"looks like {meaning.words}; write it as in {TIME_EXAMPLE}")
        raise ValueError(
            "is Unix time in quotation marks; send the number without them, or a time such as "
            f"{TIME_EXAMPLE}"
        )
    else:
        microseconds = read_stored_time(value)
    if microseconds < 0:
        raise ValueError("lies before 1970")
    if microseconds > latest_seconds() * MICROSECONDS:
        raise ValueError("lies more than a day in the future; is the sender's clock right?")
    return microseconds


def _read_number(number: float) -> int:
    # Python's whole numbers may be too large for a float.
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"should be a time such as {TIME_EXAMPLE}, or a finite number")
    microseconds = microseconds_of(number)
    is_early = microseconds < EARLIEST_SECONDS * MICROSECONDS
    is_late = microseconds > latest_seconds() * MICROSECONDS
    if (is_early or is_late) and abs(number) < _LARGEST and (meaning := meaning_of(f"{number:f}")):
        place = "before 1990" if is_early else "in the future"
        raise ValueError(
            f"lies {place} as Unix time, and looks like {meaning.words}; write it as in "
            f"{TIME_EXAMPLE}"
        )
    if is_early:
        raise ValueError(
            "lies before 1990 as Unix time (seconds, or smaller units by its magnitude); write it "
            f"as in {TIME_EXAMPLE}"
        )
    return microseconds


def write_time(microseconds: int) -> datetime:
    """Returns a time for an answer, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


# The format concerns text only, and the minimum numbers.
_SHOWN: Final = Field(
    json_schema_extra={
        "type": ["string", "number"],
        "format": "date-time",
        "minimum": EARLIEST_SECONDS,
    }
)
_SHOWN_STORED: Final = Field(json_schema_extra={"type": "string", "format": "date-time"})
Time = Annotated[int, BeforeValidator(read_time), _SHOWN]
StoredTime = Annotated[int, BeforeValidator(read_stored_time), _SHOWN_STORED]
