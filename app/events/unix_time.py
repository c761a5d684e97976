"""Unix times: numbers without a unit, which follows from their magnitude.

Requests and files read such numbers by this one rule.
"""

from __future__ import annotations

import math
import time
from typing import Final

from app.events.event import MICROSECONDS

# The first number that is in the next finer unit: milliseconds, microseconds, nanoseconds. That is
# right for the years 1973 to 5138.
MILLISECONDS_FROM: Final = 100_000_000_000
MICROSECONDS_FROM: Final = 1000 * MILLISECONDS_FROM
NANOSECONDS_FROM: Final = 1000 * MICROSECONDS_FROM
# The first second of 1990. A number below it is another unit or a day such as 20231114.
EARLIEST_SECONDS: Final = 631_152_000
# A sender's clock may be wrong, or in another time zone than it says.
FUTURE_SECONDS: Final = 24 * 3600


def latest_seconds() -> float:
    """Returns the latest time that can be: a day ahead, in seconds since 1970 (UTC)."""
    return time.time() + FUTURE_SECONDS


def microseconds_of(number: float) -> int:
    """Returns the microseconds since 1970 (UTC) of a Unix time in any unit.

    Args:
        number: seconds, milliseconds, microseconds or nanoseconds, also with a fraction; finite.
    """
    size, whole = abs(number), math.floor(number)
    if size < MILLISECONDS_FROM:
        fraction = round((number - whole) * MICROSECONDS)
        return whole * MICROSECONDS + min(fraction, MICROSECONDS - 1)
    if size < MICROSECONDS_FROM:
        return math.floor(number * 1000)
    return whole if size < NANOSECONDS_FROM else whole // 1000
