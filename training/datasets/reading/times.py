"""Times in sources: the forms that are understood, and their seconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.events.unix_time import (
    EARLIEST_SECONDS,
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    latest_seconds,
)

REASON_TIME: Final = "timestamp missing or unreadable"
REASON_PERIOD: Final = "timestamp before 1990 or more than a day ahead"
UTC_SECONDS: Final = "%Y-%m-%dT%H:%M:%SZ"

# As seconds, these numbers would be days of August 1970.
_FIRST_DAY: Final = 19_000_101
_LAST_DAY: Final = 21_001_231
_LOCAL: Final = ("%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")
# ISO 8601 with or without separators, with T or a space; seconds and offset are optional.
_ISO_8601: Final = (
    r"^(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
    r"(?:[Tt ](?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]\d+)?)?"
    r" ?(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<hours>\d{2})(?::?(?P<minutes>\d{2}))?)?)?$"
)


def seconds_of(time: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Returns an expression that reads times; unreadable ones become null.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, by their magnitude,
    or days as in 20091231. Text may also be ISO 8601, in UTC unless it has an offset.

    Args:
        time: the times.
        dtype: their type.

    Returns:
        Int64 seconds since 1970 in UTC; None if the type cannot hold times.
    """
    if dtype.is_integer():
        return _batchwise(time, _from_whole)
    if dtype.is_numeric():
        return _batchwise(time, _from_number)
    if isinstance(dtype, pl.Datetime):
        return time.dt.epoch("s")
    if dtype == pl.Date:
        return time.cast(pl.Datetime("ms")).dt.epoch("s")
    if dtype == pl.String:
        return seconds_of_text(time)
    return None


def seconds_of_text(time: pl.Expr) -> pl.Expr:
    """Returns ``seconds_of`` for text."""
    return _batchwise(time, _from_texts)


def is_implausible(seconds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks times before 1990 or more than a day ahead: a wrong unit or a wrong clock.

    Args:
        seconds: since 1970 in UTC, shape (n,).
    """
    marks: NDArray[np.bool_] = (seconds < EARLIEST_SECONDS) | (seconds > latest_seconds())
    return marks


def from_text(time: pl.Expr, form: str) -> pl.Expr:
    """Returns an expression that reads times of one form; others become null."""
    # Times seldom repeat, so the cache of texts in polars would cost more than it saves.
    return time.str.to_datetime(form, time_unit="us", strict=False, cache=False).dt.epoch("s")


def _batchwise(time: pl.Expr, read: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    return time.map_batches(read, return_dtype=pl.Int64, is_elementwise=True)


def _from_texts(texts: pl.Series) -> pl.Series:
    """Tries the forms in turn on the texts that are still unread; most columns have one form."""
    seconds = _FORMS[0](texts)
    for read in _FORMS[1:]:
        unread = seconds.is_null().arg_true()
        if unread.is_empty():
            break
        seconds = seconds.scatter(unread, read(texts.gather(unread)))
    return seconds


def _from_whole(numbers: pl.Series) -> pl.Series:
    numbers = numbers.cast(pl.Int64, strict=False)
    size = pl.first().abs()
    seconds = numbers.to_frame().select(
        pl.when(size < MILLISECONDS_FROM)
        .then(pl.first())
        .when(size < MICROSECONDS_FROM)
        .then(pl.first() // 1_000)
        .when(size < NANOSECONDS_FROM)
        .then(pl.first() // 1_000_000)
        .otherwise(pl.first() // 1_000_000_000)
    )
    days = numbers.is_between(_FIRST_DAY, _LAST_DAY).arg_true()
    if days.is_empty():
        return seconds.to_series()
    return seconds.to_series().scatter(days, _from_iso(numbers.gather(days).cast(pl.String)))


def _from_number(numbers: pl.Series) -> pl.Series:
    """Reads numbers with a fraction, such as Python's ``time.time()``."""
    numbers = numbers.cast(pl.Float64, strict=False)
    # NaN and numbers beyond any unit become null.
    return _from_whole(numbers.floor().cast(pl.Int64, strict=False))


def _from_number_in_text(texts: pl.Series) -> pl.Series:
    """Reads numbers with spaces around them, or with a decimal comma."""
    # So many digits before the comma are no thousands.
    return _from_number(texts.str.strip_chars().str.replace(r"^(\d{9,}),(\d+)$", "$1.$2"))


def _from_form(texts: pl.Series, form: str) -> pl.Series:
    return texts.to_frame().select(from_text(pl.first(), form)).to_series()


def _with_offset(texts: pl.Series) -> pl.Series:
    zoned = texts.str.to_datetime("%+", time_zone="UTC", time_unit="us", strict=False)
    return zoned.dt.epoch("s")


def _from_iso(texts: pl.Series) -> pl.Series:
    """Reads every form of ISO 8601 with a day; slower, since it takes a regular expression."""
    part = texts.str.strip_chars().str.extract_groups(_ISO_8601).struct.unnest()
    clock_time = [pl.col(name).fill_null("00") for name in ("hour", "minute", "second")]
    offset = [pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hours", "minutes")]
    local = pl.concat_str("year", "month", "day", *clock_time)
    east = (offset[0] * 60 + offset[1]) * 60
    is_west = (pl.col("sign") == "-").fill_null(value=False)
    return part.select(
        from_text(local, "%Y%m%d%H%M%S") + pl.when(is_west).then(east).otherwise(-east)
    ).to_series()


_FORMS: Final[tuple[Callable[[pl.Series], pl.Series], ...]] = (
    _from_whole,
    partial(_from_form, form=UTC_SECONDS),
    _with_offset,
    *(partial(_from_form, form=form) for form in _LOCAL),
    _from_number,
    _from_number_in_text,
    _from_iso,
)
