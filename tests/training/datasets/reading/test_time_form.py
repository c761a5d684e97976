"""Times of a form that an option names; days before months are never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.training.datasets.tables import pairs, read_csv
from training.datasets import LoadOptions
from training.datasets.reading.time_form import TimeForm, other_meaning, remedy
from training.datasets.table import load
from training.errors import DatasetError


def seconds(form: str, text: str) -> int | None:
    frame = pl.DataFrame({"t": [text]}).select(TimeForm.of(form).seconds_of(pl.col("t")))
    value = frame.item()
    return None if value is None else int(value)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%d/%m/%Y", "03/04/2020", "2020-04-03T00:00:00"),
        ("%m/%d/%Y", " 3/4/2020 ", "2020-03-04T00:00:00"),
        ("%d/%m/%Y %H", "03/04/2020 07", "2020-04-03T07:00:00"),
        ("%d.%m.%y %H:%M", "14.11.23 22:13", "2023-11-14T22:13:00"),
        ("%d/%m/%Y %I:%M %p", "3/4/2020 12:05 am", "2020-04-03T00:05:00"),
        ("%d %b %Y, %H:%M", "14 Nov 2023, 22:13", "2023-11-14T22:13:00"),
        ("%a, %d %b %Y %H:%M:%S %z", "Tue, 14 Nov 2023 22:13:01 +0100", "2023-11-14T21:13:01"),
        ("%d.%m.%Y %H:%M:%S.%f%z", "14.11.2023 22:13:01.25-03", "2023-11-15T01:13:01"),
        ("%d.%m.%Y %H:%M:%S.%f%z", "14.11.2023 22:13:01Z", "2023-11-14T22:13:01"),
        ("%Y%j", "2023318", "2023-11-14T00:00:00"),
        ("%d%m%Y", "14112023", "2023-11-14T00:00:00"),
        ("%d/%m/%Y 100%% %H:%M UTC", "14/11/2023 100% 22:13 UTC", "2023-11-14T22:13:00"),
        ("%d/%m/%Y", "31/02/2020", None),
        ("%d/%m/%Y", "03/04/2020 12:00", None),
        ("%d/%m/%Y", "2020-04-03", None),
        ("%d/%m/%Y", "1585872000", None),
        ("%d/%m/%Y", "", None),
        ("%a %d %b %Y", "Mon 14 Nov 2023", None),
    ],
)
def test_a_form_reads_its_times_and_no_others(form: str, text: str, expected: str | None) -> None:
    moment = None if expected is None else datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert seconds(form, text) == (None if moment is None else moment.timestamp())


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("", "needs the year"),
        ("yyyy-mm-dd", "needs the year"),
        ("%d/%m", "needs the year"),
        ("%Y", "the month and day or the day of the year"),
        ("%Q", "'%Q' is not known; known are %Y"),
        ("%-d/%m/%Y", "'%-' is not known"),
        ("%d/%m/%Y %", "A percent sign is %%"),
        ("%d/%m/%Y %H:%M %Z", "write an offset as %z"),
        ("%s", "Unix time is read without a form"),
        ("%d/%d/%Y", "names the day twice"),
        ("%Y%j%m", "names the day in two ways"),
        ("%d/%m/%Y %I:%M", "need each other"),
        ("%d/%m/%Y %H:%M %p", "need each other"),
        ("%d/%m/%Y %M", "names no hour"),
        ("%d/%m/%Y %H %S", "names no minute"),
        ("%d/%m/%Y %H:%M:%S%f", r"stands as in '%S\.%f'"),
    ],
)
def test_a_wrong_form_is_refused_before_anything_is_read(form: str, why: str) -> None:
    with pytest.raises(DatasetError, match=f"--timestamp-format .* is no form of times: .*{why}"):
        LoadOptions(timestamp_format=form)


BOTH = "give --timestamp-format '%d/%m/%Y' if the day comes first, or --timestamp-format '%m/%d/%Y'"


@pytest.mark.parametrize(
    ("time", "advice"),
    [
        ("03/04/2020", f"{BOTH} if the month comes first"),
        ("13/04/2020", "give --timestamp-format '%d/%m/%Y'"),
        ("04/13/2020", "give --timestamp-format '%m/%d/%Y'"),
        ("14.11.23 7:30", "give --timestamp-format '%d.%m.%y %H:%M'"),
        (
            "23-11-14",
            "give --timestamp-format '%d-%m-%y' if the day comes first, or --timestamp-format "
            "'%y-%m-%d' if the year comes first",
        ),
        ("14-11-2023T07:30:01.5Z", "give --timestamp-format '%d-%m-%YT%H:%M:%S.%f%z'"),
        ("14/11/2023, 7:05 PM", "give --timestamp-format '%d/%m/%Y, %I:%M %p'"),
        ("2020/04/03 10:00", "give --timestamp-format '%Y/%m/%d %H:%M'"),
        ("14 Nov 2023, 22:13", "give --timestamp-format '%d %b %Y, %H:%M'"),
        (
            "Tue, 14 Nov 2023 22:13:01 +0000",
            "give --timestamp-format '%a, %d %b %Y %H:%M:%S %z'",
        ),
        ("99/99/2020", "--timestamp-format 'FORM' names another form, such as '%d/%m/%Y %H:%M'"),
        ("yesterday", "--timestamp-format 'FORM' names another form, such as '%d/%m/%Y %H:%M'"),
        (" ", ""),
        (
            "2023-11-14T24:00:00Z",
            "its hour is 24, and hours go from 0 to 23; write the midnight that ends a day as "
            "00:00:00 of the next day",
        ),
        ("14/11/2023 7:75", "its minute is 75, and minutes go from 0 to 59"),
        ("2023-11-31 10:00", "its day is 31, and 2023-11 has the days 1 to 30"),
        (
            "2023-14-11 10:00",
            "give --timestamp-format '%Y-%d-%m %H:%M' if the day comes before the month",
        ),
        ("2023-14-11 24:30", "its hour is 24, and hours go from 0 to 23"),
        ("31.11.2023", "there is no such day"),
        ("31 Nov 2023", "there is no such day"),
    ],
)
def test_the_remedy_is_a_form_that_reads_the_time(time: str, advice: str) -> None:
    assert remedy(time) == advice
    for form in [part for part in advice.split("'") if part.startswith("%")]:
        if "give" in advice:
            assert seconds(form, time) is not None


@pytest.mark.parametrize(
    ("time", "advice"),
    [
        ("20231114221357", "looks like YYYYMMDDhhmmss: give --timestamp-format '%Y%m%d%H%M%S'"),
        (
            "03042020",
            "looks like DDMMYYYY or MMDDYYYY: give --timestamp-format '%d%m%Y', or "
            "--timestamp-format '%m%d%Y'",
        ),
        (
            "45244.9",
            "looks like days since 1900, as spreadsheets count them (2023-11-14); write times as "
            "in 2026-11-26T18:03:59Z",
        ),
        ("4102444800", ""),
    ],
)
def test_a_number_that_is_no_unix_time_is_told_what_it_looks_like(
    time: str, advice: str, tmp_path: Path
) -> None:
    # Was wrong: its row was dropped without a remedy.
    assert other_meaning(time) == advice
    rows = read_csv(tmp_path, f"user_id,item_id,timestamp\nu,x,1700000000\nu,y,{time}\n").rows
    [example] = rows.examples.values()
    assert example == f"'{time}' in row 2 after the header{advice and f'; {advice}'}"
    for form in [part for part in advice.split("'") if part.startswith("%")]:
        assert seconds(form, time) is not None
        assert other_meaning(time, TimeForm.of(form)) == ""


def test_a_column_of_numbers_takes_no_form(tmp_path: Path) -> None:
    times = [1_700_000_000, 1_700_000_060, 20_231_114_221_357]
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": "u", "item_id": "x", "timestamp": times}).write_parquet(file)
    [example] = load(file, LoadOptions()).rows.examples.values()
    assert example.endswith("; looks like YYYYMMDDhhmmss; write times as in 2026-11-26T18:03:59Z")


def test_a_day_before_the_month_is_never_guessed(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp\nu,x,\nu,y,03/04/2020\nu,z,13/04/2020\n"
    reason = "timestamp missing or unreadable"
    by_default = read_csv(tmp_path, text)
    assert by_default.timestamps is None
    with pytest.raises(DatasetError, match=r"timestamp missing or unreadable: '13/04/2020'.*%d/%m"):
        read_csv(tmp_path, text, LoadOptions(timestamp_column="timestamp"))

    # A form is as good as naming the column: rows that it does not fit are left out.
    told = read_csv(tmp_path, text, LoadOptions(timestamp_format="%m/%d/%Y"))
    assert pairs(told) == [("u", "y", 1.0)]
    assert told.period == (1583280000, 1583280000)
    assert told.rows.dropped == {reason: 2}
    assert told.rows.examples[reason].endswith("--timestamp-format '%m/%d/%Y' does not fit it")
    told = read_csv(tmp_path, text, LoadOptions(timestamp_format="%d/%m/%Y"))
    assert told.period == (1585872000, 1586736000)


def test_the_example_of_unreadable_times_says_what_comes_first(tmp_path: Path) -> None:
    # Was annoying: the first time left open what a later one makes clear.
    for later, form in {"13/04/2020": "%d/%m/%Y", "04/13/2020": "%m/%d/%Y"}.items():
        text = f"user_id,item_id,when\nu,x,03/04/2020\nu,y,\nu,z,{later}\n"
        with pytest.raises(
            DatasetError, match=f"row 3 .*'{later}': .*; give --timestamp-format '"
        ) as no:
            read_csv(tmp_path, text, LoadOptions(timestamp_column="when"))
        assert str(no.value).endswith(f"give --timestamp-format '{form}'")


def test_a_form_without_a_column_of_text_is_refused(tmp_path: Path) -> None:
    options = LoadOptions(timestamp_format="%d/%m/%Y")
    with pytest.raises(DatasetError, match=r"so --timestamp-format does nothing; it has 'user_id'"):
        read_csv(tmp_path, "user_id,item_id,when\nu,x,03/04/2020\n", options)
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": "u", "item_id": "x", "timestamp": [1241478537]}).write_parquet(file)
    with pytest.raises(DatasetError, match=r"holds Int64, and --timestamp-format is for text"):
        load(file, options)
