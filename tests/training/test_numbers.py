from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import numbers
from training.measuring.figures import Estimate

NAN = float("nan")
SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2084, "0.208"),
        (0.02823, "0.0282"),
        (6.534, "6.53"),
        (1234.5, "1,234"),
        (0.0, "0"),
        (1.0, "1.00"),
        (-0.0123, f"{MINUS}0.0123"),
        (NAN, numbers.MISSING),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert numbers.number(value) == text


def test_what_is_below_one_never_reads_one() -> None:
    assert numbers.number(0.99967) == "0.9997"


@given(st.floats(1e-4, 1, exclude_max=True))
def test_a_number_is_within_half_a_per_cent_of_its_value(value: float) -> None:
    assert float(numbers.number(value)) == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0841, "8.41"), (0.323, "32.3"), (1, "100"), (0, "0"), (0.00096, "0.0960")],
)
def test_shares_are_per_cent(share: float, text: str) -> None:
    assert numbers.percent(share) == f"{text}{SPACE}%"


def test_bounds_have_the_decimals_of_their_value() -> None:
    assert numbers.with_interval(Estimate(0.2081, 0.2019, 0.2144)) == "0.208 (0.202–0.214)"  # noqa: RUF001


def test_negative_bounds_have_no_dash_between_them() -> None:
    estimate = Estimate(-0.012, -0.02, 0.004)
    assert numbers.interval_of(estimate) == f"{MINUS}0.0200 to 0.0040"


@pytest.mark.parametrize("low", [None, NAN])
def test_a_figure_without_bounds_stands_alone(low: float | None) -> None:
    assert numbers.with_interval(Estimate(0.5, low, low)) == "0.500"


@pytest.mark.parametrize(
    ("p", "text"),
    [(1e-9, "p < 0.001"), (0.0421, "p = 0.042"), (0.3, "p = 0.30"), (NAN, "p unknown")],
)
def test_p_values_are_not_more_exact_than_they_deserve(p: float, text: str) -> None:
    assert numbers.p_value(p).replace(SPACE, " ") == text


def test_a_terminal_has_four_decimals_and_plain_signs() -> None:
    assert numbers.interval_of(Estimate(-0.012, -0.02, 0.004), plain=True) == "-0.0200 to 0.0040"
    assert numbers.p_value(0.3, plain=True) == "p = 0.300"
    assert numbers.plainly(0.03, numbers.Form.SHARE) == "0.0300"
    assert numbers.plainly(1234, numbers.Form.COUNT) == "1,234"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (numbers.Form.NUMBER, "0.500"),
        (numbers.Form.SHARE, f"50.0{SPACE}%"),
        (numbers.Form.COUNT, "0"),
    ],
)
def test_a_number_is_written_in_its_form(form: numbers.Form, text: str) -> None:
    assert numbers.written(0.5, form) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 user"), (0, "0 users"), (1200, "1,200 users")])
def test_a_count_has_its_noun(number: int, text: str) -> None:
    assert numbers.plural(number, "user") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1000, "1,000"),
        (10_000, "10k"),
        (2.5e6, "2.5M"),
        (-3, f"{MINUS}3"),
    ],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert numbers.tick(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.6, "60 s"), (200, "3 min 20 s"), (7260, "2 h 1 min")]
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert numbers.duration(seconds).replace(SPACE, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (20_000, "20,000"), (0.48, "0.48"), ("bm25", "bm25"), ([1, 2], "1, 2")],
)
def test_settings_read_like_words(value: Any, text: str) -> None:
    assert numbers.setting(value) == text


def test_settings_that_are_not_set_are_left_out() -> None:
    values = {"test_fraction": 0.2, "top_users": None, "seed": 0}
    assert numbers.settings(values) == "test fraction 0.2, seed 0"


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_enumerations_end_with_and(parts: list[str], text: str) -> None:
    assert numbers.joined(parts) == text


@given(st.floats())
def test_any_float_can_be_written(value: float) -> None:
    for write in (numbers.number, numbers.count, numbers.percent, numbers.amount, numbers.signed):
        assert write(value) == numbers.MISSING or math.isfinite(value)
