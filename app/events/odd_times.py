"""Times that are none: what is wrong with one, and what a number was probably meant as.

Requests and files say it by these rules. Nothing here reads a time: a guess is only for a message.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.events.unix_time import latest_seconds

# Numbers of so many digits that write a time, in the directives of strptime.
_WRITTEN: Final = {
    14: (("YYYYMMDDhhmmss", "%Y%m%d%H%M%S"),),
    12: (("YYYYMMDDhhmm", "%Y%m%d%H%M"),),
    10: (("YYYYMMDDhh", "%Y%m%d%H"),),
    8: (("YYYYMMDD", "%Y%m%d"), ("DDMMYYYY", "%d%m%Y"), ("MMDDYYYY", "%m%d%Y")),
}
# Day 0 of those that count days.
_COUNTED: Final = (
    ("days since 1900, as spreadsheets count them", datetime(1899, 12, 30, tzinfo=UTC)),
    ("days since 1970", datetime(1970, 1, 1, tzinfo=UTC)),
)
_EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LONGEST: Final = 40

_DATE: Final = re.compile(
    r"(?P<year>\d{4})(?P<between>[/.-]?)(?P<month>\d{2})(?P=between)(?P<day>\d{2})(?:[Tt ]\d.*)?",
    re.ASCII | re.DOTALL,
)
# Neither part of a longer number, nor an offset.
_CLOCK: Final = re.compile(
    r"(?<![\d+-])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?!\d)", re.ASCII
)
_COMPACT_CLOCK: Final = re.compile(
    r"\d{8}[Tt ](?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?(?!\d)", re.ASCII
)
_MOST: Final = {"hour": 23, "minute": 59, "second": 59}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a number was probably meant as.

    Attributes:
        words: such as ``YYYYMMDDhhmmss``.
        forms: the same in the directives of strptime; several where the order of day and month is
            open, none where the number counts something.
    """

    words: str
    forms: tuple[str, ...] = ()


def meaning_of(number: str) -> Meaning | None:
    """Returns what a number that cannot be a Unix time was probably meant as; None for no idea.

    Args:
        number: in digits, also with a fraction.
    """
    text = re.sub(r"\.0*$", "", number.strip().replace(",", "."))
    if len(text) > _LONGEST or not re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        return None
    latest = datetime.fromtimestamp(latest_seconds(), UTC)
    written = [
        (words, form)
        for words, form in _WRITTEN.get(len(text), ())
        if (moment := _moment(text, form)) is not None and _EARLIEST <= moment <= latest
    ]
    if written:
        words = " or ".join(word for word, _ in written)
        return Meaning(words, tuple(form for _, form in written))
    for words, begin in _COUNTED:
        days = float(text)
        if (_EARLIEST - begin).days <= days <= (latest - begin).days:
            return Meaning(f"{words} ({begin + timedelta(days=days):%Y-%m-%d})")
    return None


def _moment(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def impossible_part(text: str, *, also_date: bool = True) -> str:
    """Returns which part of a time cannot be, such as the hour 24, and what to do; or nothing.

    Args:
        text: a time that cannot be read.
        also_date: whether a date is looked at too, if it begins with the year.
    """
    if found := _COMPACT_CLOCK.match(text.strip()) or _CLOCK.search(text):
        parts = {name: int(value) for name, value in found.groupdict("00").items()}
        for name, most in _MOST.items():
            if parts[name] > most:
                advice = _advice(**parts)
                return f"its {name} is {parts[name]}, and {name}s go from 0 to {most}{advice}"
    found = _DATE.fullmatch(text.strip())
    if found is None or not also_date:
        return ""
    year, month, day = (int(found[name]) for name in ("year", "month", "day"))
    if not 1 <= month <= 12:
        return f"its month is {found['month']}, and months go from 1 to 12"
    length = calendar.monthrange(year, month)[1] if year else 31
    if not 1 <= day <= length:
        name = f"{year:04}-{month:02}"
        return f"its day is {found['day']}, and {name} has the days 1 to {length}"
    return ""


def _advice(hour: int, minute: int, second: int) -> str:
    if (hour, minute, second) == (24, 0, 0):
        return "; write the midnight that ends a day as 00:00:00 of the next day"
    if hour < 24 and minute < 60 and second == 60:
        return "; Unix time has no leap seconds, so write 59"
    return ""
