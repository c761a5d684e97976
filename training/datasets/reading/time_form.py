"""The form of times that an option names, and the form that a time seems to have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from app.events.odd_times import impossible_part, meaning_of
from training.errors import DatasetError

# Directives of Python's strptime to what polars calls them, and the part of a time that they give.
_DIRECTIVES: Final[Mapping[str, tuple[str, str]]] = {
    "Y": ("%Y", "year"),
    "y": ("%y", "year"),
    "m": ("%m", "month"),
    "b": ("%b", "month"),
    "B": ("%B", "month"),
    "d": ("%d", "day"),
    "j": ("%j", "day of the year"),
    "a": ("%a", "weekday"),
    "A": ("%A", "weekday"),
    "H": ("%H", "hour"),
    "I": ("%I", "hour"),
    "p": ("%p", "half of the day"),
    "M": ("%M", "minute"),
    "S": ("%S", "second"),
    "f": ("%f", "fraction"),
    "z": ("%#z", "offset"),
}
_KNOWN: Final = " ".join(f"%{letter}" for letter in _DIRECTIVES)
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
# What a form lacks of the time of day is appended to form and text, so that it is midnight or the
# beginning of the hour.
_CLOCK: Final = (("hour", "00", "%H"), ("minute", "00", "%M"), ("second", "00", "%S"))
_JOIN: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """The form of times in a column of text, in the directives of Python's ``strptime``.

    Attributes:
        text: the form, as an option names it.
        pattern: the form for polars, with the time of day that it lacks.
        supplement: what is appended to each text for that.
        has_offset: whether times name their offset; otherwise they are in UTC.
    """

    text: str
    pattern: str
    supplement: str
    has_offset: bool

    @classmethod
    def of(cls, text: str) -> TimeForm:
        """Reads a form.

        Raises:
            DatasetError: it has an unknown directive, one part twice, or names no single moment.
        """
        parts: dict[str, str] = {}

        def translated(found: re.Match[str]) -> str:
            letter = found[1]
            if letter == "%":
                return "%%"
            if letter not in _DIRECTIVES:
                raise _wrong(text, f"'%{letter}' is not known; known are {_KNOWN}{_hint(letter)}")
            pattern, part = _DIRECTIVES[letter]
            if part in parts:
                raise _wrong(text, f"it names the {part} twice")
            parts[part] = letter
            return pattern

        pattern = _DIRECTIVE.sub(translated, text.strip())
        _check(text, parts)
        missing = [(value, form) for part, value, form in _CLOCK if part not in parts]
        supplement = "".join(_JOIN + value for value, _ in missing)
        pattern = pattern.replace(".%f", "%.f") + "".join(_JOIN + form for _, form in missing)
        form = cls(text, pattern, supplement, "offset" in parts)
        form._try_out()
        return form

    def seconds_of(self, time: pl.Expr) -> pl.Expr:
        """Returns an expression that reads texts: Int64 seconds since 1970 (UTC), or null."""
        return (
            (time.str.strip_chars() + self.supplement)
            .str.to_datetime(
                self.pattern,
                time_unit="us",
                time_zone="UTC" if self.has_offset else None,
                strict=False,
                # Times seldom repeat, so the cache of texts would cost more than it saves.
                cache=False,
            )
            .dt.epoch("s")
        )

    def _try_out(self) -> None:
        """Refuses what polars itself refuses, before any data are read."""
        try:
            pl.DataFrame({"": ["x"]}).select(self.seconds_of(pl.first()))
        except pl.exceptions.PolarsError as error:
            raise _wrong(self.text, str(error).splitlines()[0]) from None


def _check(text: str, parts: Mapping[str, str]) -> None:
    """Refuses a form that names no single moment; ``parts`` has the directive of each part."""
    has = parts.keys()
    is_day = {"month", "day"} <= has or "day of the year" in has
    if "year" not in has or not is_day:
        raise _wrong(text, "it needs the year, and the month and day or the day of the year")
    if "day of the year" in has and has & {"month", "day"}:
        raise _wrong(text, "it names the day in two ways")
    if (parts.get("hour") == "I") != ("half of the day" in has):
        raise _wrong(text, "%I, the hour up to 12, and %p, AM or PM, need each other")
    if "hour" not in has and has & {"minute", "second", "fraction", "offset"}:
        raise _wrong(text, "it names no hour")
    if "minute" not in has and has & {"second", "fraction"}:
        raise _wrong(text, "it names no minute")
    if "fraction" in has and "%S.%f" not in text:
        raise _wrong(text, "%f, the fraction of a second, stands as in '%S.%f'")


def _wrong(text: str, why: str) -> DatasetError:
    return DatasetError(
        f"--timestamp-format {text!r} is no form of times: {why}. Such a form is '%d/%m/%Y %H:%M'"
    )


def _hint(letter: str) -> str:
    match letter:
        case "Z":
            return ". Names of zones are ambiguous: write an offset as %z, or UTC as these letters"
        case "s":
            return ". Unix time is read without a form"
        case "":
            return ". A percent sign is %%"
    return ""


@dataclass(frozen=True, kw_only=True)
class TimeFormOptions:
    """The form of times, for the datasets that take one."""

    timestamp_format: str | None = None
    "Form of the times of a table, or of `lastfm-export`, such as '%d/%m/%Y %H:%M', in the \
directives of strptime; in UTC unless it has %z. Default: Unix time or ISO 8601."

    def __post_init__(self) -> None:
        """Refuses what is no form.

        Raises:
            DatasetError: it is no form of times.
        """
        _ = self.time_form

    @property
    def time_form(self) -> TimeForm | None:
        """The form of times; None for those that need none."""
        return None if self.timestamp_format is None else TimeForm.of(self.timestamp_format)


# A date whose day cannot be its month; as an example it says which of the two comes first.
DECISIVE: Final = r"^\s*(?:(?:1[3-9]|2\d|3[01])[/.-]\d{1,2}|\d{1,2}[/.-](?:1[3-9]|2\d|3[01]))[/.-]"
_NUMBERS: Final = re.compile(
    r"\d{1,2}(?P<between>[/.-])\d{1,2}(?P=between)(?P<year>\d{4}|\d{2})(?P<rest>\D.*)?"
)
_YEAR_FIRST: Final = re.compile(r"\d{4}(?P<between>[/.-])\d{1,2}(?P=between)\d{1,2}(?P<rest>\D.*)?")
_YEAR_DAY_MONTH: Final = re.compile(
    r"\d{4}(?P<between>[/.-])(?:1[3-9]|2\d|3[01])(?P=between)(?:0?[1-9]|1[0-2])(?P<rest>\D.*)?"
)
_MONTH_IN_LETTERS: Final = re.compile(
    r"(?P<weekday>[A-Za-z]{3}, )?\d{1,2}(?P<between>[ -])[A-Za-z]{3}(?P=between)\d{4}"
    r"(?P<rest>\D.*)?"
)
_REST: Final = re.compile(
    r"(?P<before>,? +|T)\d{1,2}:\d{2}(?P<second>:\d{2}(?P<fraction>\.\d+)?)?"
    r"(?P<half> ?[AaPp][Mm])?(?P<offset> ?(?:[+-]\d{2}(?::?\d{2})?|Z))?"
)


def remedy(time: str, asked: TimeForm | None = None) -> str:
    """Returns what to do about a time that cannot be read: the form that it seems to have.

    A day before the month is never taken from the values; the answer names both ways. Of a time
    that no form reads, such as one with the hour 24, it names the part that cannot be.

    Args:
        time: the text; if it is blank, there is no remedy, and the answer is empty.
        asked: the form that was asked for, which does not fit.
    """
    time = time.strip()
    if not time:
        return ""
    is_swapped = asked is None and _YEAR_DAY_MONTH.fullmatch(time)
    also_date = asked is None and not is_swapped
    if impossible := impossible_part(time, also_date=also_date):
        return impossible
    if asked is not None:
        return f"{option(asked.text)} does not fit it"
    ways = _forms_of(time)
    fitting = [(option(form), where) for form, where in ways if _reads(form, time)]
    if len(fitting) > 1 or (fitting and is_swapped):
        return f"give {', or '.join(way + where for way, where in fitting)}"
    if fitting:
        return f"give {fitting[0][0]}"
    return "there is no such day" if ways else _generally()


def _forms_of(time: str) -> list[tuple[str, str]]:
    """Returns the forms that a time may have, each with its condition in words."""
    if (found := _NUMBERS.fullmatch(time)) and (clock := _clock(found["rest"])) is not None:
        between, year = found["between"], "%y" if len(found["year"]) == 2 else "%Y"
        first, second, third = (int(number) for number in re.findall(r"\d+", time)[:3])
        orders = [
            ("%d", "%m", year, "day", first, second),
            ("%m", "%d", year, "month", second, first),
        ]
        if year == "%y" and between != ".":
            orders.append((year, "%m", "%d", "year", third, second))
        return [
            (between.join((one, two, three)) + clock, f" if the {name} comes first")
            for one, two, three, name, day, month in orders
            if 1 <= day <= 31 and 1 <= month <= 12
        ]
    for pattern, form, where in (
        (_YEAR_DAY_MONTH, "%Y{0}%d{0}%m", " if the day comes before the month"),
        (_YEAR_FIRST, "%Y{0}%m{0}%d", ""),
        (_MONTH_IN_LETTERS, "{1}%d{0}%b{0}%Y", ""),
    ):
        found = pattern.fullmatch(time)
        if found and (clock := _clock(found["rest"])) is not None:
            weekday = "%a, " if found.groupdict().get("weekday") else ""
            return [(form.format(found["between"], weekday) + clock, where)]
    return []


def other_meaning(time: str, asked: TimeForm | None = None, *, is_text: bool = True) -> str:
    """Returns what to do about a time that was read and cannot be: what it was meant as.

    Args:
        time: the text of a number before 1990 or more than a day ahead, as Unix time.
        asked: the form that was asked for; what it read is no Unix time, and there is no remedy.
        is_text: whether its column is text, which a form reads.
    """
    meaning = meaning_of(time) if asked is None else None
    if meaning is None:
        return ""
    words = f"looks like {meaning.words}"
    if meaning.forms and is_text:
        return f"{words}: give {', or '.join(map(option, meaning.forms))}"
    return f"{words}; write times as in 2026-11-26T18:03:59Z"


def option(form: str) -> str:
    """Returns the option that names a form, as on a command line."""
    return f"--timestamp-format '{form}'"


def _reads(form: str, time: str) -> bool:
    found = pl.DataFrame({"": [time]}).select(TimeForm.of(form).seconds_of(pl.first()))
    return found.item() is not None


def _generally() -> str:
    return f"{option('FORM')} names another form, such as '%d/%m/%Y %H:%M'"


def _clock(rest: str | None) -> str | None:
    """Returns the form of what follows a day; None if it is no time of day."""
    if not rest:
        return ""
    if not (found := _REST.fullmatch(rest)):
        return None
    half = found["half"]
    return "".join(
        (
            found["before"],
            "%I:%M" if half else "%H:%M",
            ":%S" if found["second"] else "",
            ".%f" if found["fraction"] else "",
            half[:-2] + "%p" if half else "",
            _with_space(found["offset"], "%z"),
        )
    )


def _with_space(found: str | None, directive: str) -> str:
    return "" if not found else (" " if found.startswith(" ") else "") + directive
