"""Unix times: requests and files read the same number as the same second, or refuse it."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.events.event import MICROSECONDS
from app.schemas.times import read_time
from training.datasets.reading.times import is_implausible, seconds_of

WHOLE = st.integers(-(2**63), 2**63 - 1)
RECENT = st.integers(0, 4 * 10**9)
UNITS = st.sampled_from([1, 10**3, 10**6, 10**9])
FRACTIONS = st.floats(-1e13, 1e13, allow_nan=False)


def in_request(number: float) -> int | None:
    """Returns the second of a request's timestamp, None where it is refused."""
    try:
        return read_time(number) // MICROSECONDS
    except ValueError:
        return None


def in_file(number: float) -> int | None:
    """Returns the second of a number in a column, None where its row is left out."""
    numbers = pl.Series([number])
    read = seconds_of(pl.first(), numbers.dtype)
    assert read is not None
    seconds = numbers.to_frame().select(read).to_series()
    if seconds[0] is None or is_implausible(seconds.to_numpy())[0]:
        return None
    return int(seconds[0])


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.one_of(WHOLE, FRACTIONS, st.builds(lambda at, unit: at * unit, RECENT, UNITS)))
@example(99_999_999_999)
@example(100_000_000_000)
@example(99_999_999_999_999)
@example(100_000_000_000_000)
@example(631_152_000)
@example(631_151_999)
@example(1_700_000_037.999_999_9)
@example(1_700_000_037_999.999)
@example(1_700_000_037_999_999.75)
def test_requests_and_files_read_numbers_alike(number: float) -> None:
    # A day as a number is read in files only, since an event needs a moment.
    if not isinstance(number, int) or not 19_000_101 <= number <= 21_001_231:
        assert in_request(number) == in_file(number)


def test_a_day_as_a_number_is_no_moment() -> None:
    assert in_file(20_231_114) == 1_699_920_000
    assert in_request(20_231_114) is None


def test_microseconds_of_a_request_are_exact() -> None:
    assert read_time(1_700_000_037_123_456) == 1_700_000_037_123_456
    assert read_time(1_700_000_037_123_456_789) == 1_700_000_037_123_456
    assert read_time(1_700_000_037.123456) == 1_700_000_037_123_456
    for impossible in (float("nan"), float("inf"), 10**400, -1, True):
        with pytest.raises(ValueError, match=r"time|1990|future"):
            read_time(impossible)
