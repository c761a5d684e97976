"""What is wrong with a time, and what a number was meant as."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.odd_times import impossible_part, meaning_of

RECENT = st.datetimes(datetime(1990, 1, 1), datetime(2025, 12, 31))


@pytest.mark.parametrize(
    ("number", "words", "forms"),
    [
        ("20231114221357", "YYYYMMDDhhmmss", ["%Y%m%d%H%M%S"]),
        ("20231114221357.0", "YYYYMMDDhhmmss", ["%Y%m%d%H%M%S"]),
        ("202311142213", "YYYYMMDDhhmm", ["%Y%m%d%H%M"]),
        ("2023111422", "YYYYMMDDhh", ["%Y%m%d%H"]),
        ("20231114", "YYYYMMDD", ["%Y%m%d"]),
        ("14112023", "DDMMYYYY", ["%d%m%Y"]),
        ("03042020", "DDMMYYYY or MMDDYYYY", ["%d%m%Y", "%m%d%Y"]),
        ("45244.9", "days since 1900, as spreadsheets count them (2023-11-14)", []),
        (" 45244,9 ", "days since 1900, as spreadsheets count them (2023-11-14)", []),
        ("45244", "days since 1900, as spreadsheets count them (2023-11-14)", []),
        ("19675", "days since 1970 (2023-11-14)", []),
    ],
)
def test_a_number_is_told_what_it_looks_like(number: str, words: str, forms: list[str]) -> None:
    meaning = meaning_of(number)
    assert meaning is not None
    assert (meaning.words, list(meaning.forms)) == (words, forms)


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-1",
        "1700000000",
        "20231314221357",
        "29991114221357",
        "9" * 30,
        "1" * 5000,
        "x",
        "",
        "1e9",
    ],
)
def test_another_number_is_nothing(number: str) -> None:
    assert meaning_of(number) is None


@given(RECENT, st.sampled_from(["%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H"]))
def test_digits_of_a_time_are_recognised(moment: datetime, form: str) -> None:
    meaning = meaning_of(moment.strftime(form))
    assert meaning is not None
    assert meaning.forms == (form,)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            "2023-11-14T24:00:00Z",
            "its hour is 24, and hours go from 0 to 23; write the midnight that ends a day as "
            "00:00:00 of the next day",
        ),
        ("2023-11-14 24:00", "its hour is 24, and hours go from 0 to 23; write the midnight"),
        ("20231114T240000Z", "its hour is 24, and hours go from 0 to 23; write the midnight"),
        ("14/11/2023 24:00", "its hour is 24, and hours go from 0 to 23; write the midnight"),
        ("2023-11-14T25:30:00Z", "its hour is 25, and hours go from 0 to 23"),
        ("2023-11-14T22:60:00Z", "its minute is 60, and minutes go from 0 to 59"),
        ("2016-12-31T23:59:60Z", "its second is 60, and seconds go from 0 to 59; Unix time has no"),
        ("2023-13-14", "its month is 13, and months go from 1 to 12"),
        ("0000-00-00 00:00:00", "its month is 00, and months go from 1 to 12"),
        ("2023-02-29T10:00:00Z", "its day is 29, and 2023-02 has the days 1 to 28"),
        ("2023/11/31", "its day is 31, and 2023-11 has the days 1 to 30"),
        ("20231131", "its day is 31, and 2023-11 has the days 1 to 30"),
    ],
)
def test_a_part_that_cannot_be_is_named(text: str, wrong: str) -> None:
    assert impossible_part(text).startswith(wrong)


@given(RECENT, st.sampled_from(["T", " "]), st.sampled_from(["", "Z", "+05:30", "-14:00", ".5Z"]))
def test_nothing_is_wrong_with_a_time_that_is_one(moment: datetime, between: str, end: str) -> None:
    assert impossible_part(moment.strftime(f"%Y-%m-%d{between}%H:%M:%S") + end) == ""
    assert impossible_part(moment.strftime(f"%Y%m%d{between}%H%M%S") + end) == ""


@given(st.text())
def test_any_text_is_looked_at(text: str) -> None:
    meaning, wrong = meaning_of(text), impossible_part(text)
    assert wrong == "" or re.match("its (hour|minute|second|month|day) is", wrong)
    assert meaning is None or meaning.words
    assert datetime.now(UTC).year >= 2025
