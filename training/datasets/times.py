"""Times in sources: what is understood, and how it becomes seconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import polars as pl

REASON_TIME: Final = "timestamp missing or unreadable"
UTC_SECONDS: Final = "%Y-%m-%dT%H:%M:%SZ"

# Larger numbers are milliseconds: as seconds they lie in the year 5138 and later.
_LARGEST_SECONDS: Final = 100_000_000_000
_LOCAL: Final = ("%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")


def seconds_of(time: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Returns what reads times, null where they are unreadable.

    Numbers are seconds, or milliseconds where they are too large for that; text may also be ISO
    8601, in UTC unless it names an offset.

    Args:
        time: the times.
        dtype: of them.

    Returns:
        Int64 seconds since 1970 in UTC; None where no times are of this type.
    """
    if dtype.is_integer():
        return _from_number(time)
    if isinstance(dtype, pl.Datetime):
        return time.dt.epoch("s")
    if dtype == pl.Date:
        return time.cast(pl.Datetime("ms")).dt.epoch("s")
    if dtype == pl.String:
        return time.map_batches(_read_texts, return_dtype=pl.Int64, is_elementwise=True)
    return None


def _read_texts(texts: pl.Series) -> pl.Series:
    """Tries one form after the other on what is still unread; a column mostly has one of them."""
    seconds = pl.repeat(None, len(texts), dtype=pl.Int64, eager=True)
    for read in _FORMS:
        unread = seconds.is_null().arg_true()
        if unread.is_empty():
            break
        found = texts.gather(unread).to_frame().select(read(pl.first()))
        seconds = seconds.scatter(unread, found.to_series())
    return seconds


def _from_number(time: pl.Expr) -> pl.Expr:
    number = time.cast(pl.Int64, strict=False)
    return pl.when(number.abs() < _LARGEST_SECONDS).then(number).otherwise(number // 1000)


def from_text(time: pl.Expr, form: str) -> pl.Expr:
    """Returns what reads times of one form, null where they have another one."""
    # Hardly a time occurs twice, so polars' cache of texts would only cost.
    return time.str.to_datetime(form, time_unit="us", strict=False, cache=False).dt.epoch("s")


def _with_offset(time: pl.Expr) -> pl.Expr:
    zoned = time.str.to_datetime("%+", time_zone="UTC", time_unit="us", strict=False)
    return zoned.dt.epoch("s")


def _from_day(time: pl.Expr) -> pl.Expr:
    return time.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")).dt.epoch("s")


_FORMS: Final[tuple[Callable[[pl.Expr], pl.Expr], ...]] = (
    _from_number,
    partial(from_text, form=UTC_SECONDS),
    _with_offset,
    *(partial(from_text, form=form) for form in _LOCAL),
    _from_day,
)
