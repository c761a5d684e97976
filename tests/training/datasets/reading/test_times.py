from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.training.datasets.tables import pairs, read_csv
from training.datasets import LoadOptions
from training.datasets.table import load
from training.errors import DatasetError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1241478537", 1241478537),
        ("1241478537000", 1241478537),
        ("1241478537000999", 1241478537),
        ("1241478537000999999", 1241478537),
        ("1241478537.123456", 1241478537),
        ("1.241478537e9", 1241478537),
        ("631152000", 631152000),
        ("20090504", 1241395200),
        ("2009-05-04T23:08:57Z", 1241478537),
        ("2009-05-05T01:08:57+02:00", 1241478537),
        ("2009-05-04T23:08:57.500Z", 1241478537),
        ("2009-05-04T23:08:57", 1241478537),
        ("2009-05-04 23:08:57", 1241478537),
        ("2009-05-04 23:08:57.25", 1241478537),
        ("2009-05-04", 1241395200),
        ("2009-05-04 23:08:57+00", 1241478537),
        ("2009-05-05 01:08:57.123456+02", 1241478537),
        ("2009-05-04 19:38:57-03:30", 1241478537),
        ("2009-05-05T01:08:57+0200", 1241478537),
        ("2009-05-04 23:08:57 UTC", 1241478537),
        ("2009-05-04 23:08", 1241478480),
        ("2009-05-04T23:08Z", 1241478480),
        ("2009-05-05 01:08+02", 1241478480),
        ("20090504T230857Z", 1241478537),
        (" 2009-05-04 ", 1241395200),
        ("  1241478537 ", 1241478537),
        (" 1241478537000", 1241478537),
        (" 1241478537.5 ", 1241478537),
    ],
)
def test_times_are_seconds_or_iso_8601(tmp_path: Path, text: str, seconds: int) -> None:
    options = LoadOptions(timestamp_column="t")
    records = read_csv(tmp_path, f"user_id,item_id,t\nu,x,{text}\nu,y,yesterday\nu,z,\n", options)

    assert records.timestamps is not None
    assert records.timestamps.tolist() == [seconds]
    assert records.rows.dropped == {"timestamp missing or unreadable": 2}


def test_the_forms_of_times_may_be_mixed(tmp_path: Path) -> None:
    times = ["1241478537", "2009-05-04T23:08:57Z", "2009-05-04 23:08:57", "2009-05-05", "no"]
    lines = "".join(f"u,x{n},{time}\n" for n, time in enumerate(times))
    options = LoadOptions(timestamp_column="t")
    records = read_csv(tmp_path, f"user_id,item_id,t\n{lines}", options)

    assert records.timestamps is not None
    assert records.timestamps.tolist() == [1241478537, 1241478537, 1241478537, 1241481600]


def test_an_unreadable_time_costs_no_row_where_nobody_asked_for_times(tmp_path: Path) -> None:
    # The row without a user falls out anyway, so its time does not count.
    text = "user_id,item_id,timestamp\nu,x,1241478537\nu,y,soon\n,z,never\n"
    records = read_csv(tmp_path, text)

    assert pairs(records) == [("u", "x", 1.0), ("u", "y", 1.0)]
    assert records.timestamps is None
    assert records.rows.dropped == {"user id is missing": 1}
    assert records.rows.noted == {"timestamp missing or unreadable, so no times were read": 1}

    asked = read_csv(tmp_path, text, LoadOptions(timestamp_column="timestamp"))
    assert pairs(asked) == [("u", "x", 1.0)]
    assert asked.rows.noted == {}


def test_a_column_timestamp_that_holds_no_times_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": "u", "item_id": "x", "timestamp": [True]}).write_parquet(file)

    assert load(file, LoadOptions()).timestamps is None


def test_times_of_parquet_are_read_by_their_type(tmp_path: Path) -> None:
    moment = datetime(2009, 5, 4, 23, 8, 57, tzinfo=UTC)
    file = tmp_path / "a.parquet"
    for values, seconds in (
        ([moment], 1241478537),
        ([moment.date()], 1241395200),
        ([1241478537], 1241478537),
        ([1241478537.9], 1241478537),
        ([1241478537000.5], 1241478537),
        ([Decimal("1241478537.25")], 1241478537),
    ):
        pl.DataFrame({"user_id": "u", "item_id": "x", "t": values}).write_parquet(file)
        records = load(file, LoadOptions(timestamp_column="t"))
        assert records.timestamps is not None
        assert records.timestamps.tolist() == [seconds]
    pl.DataFrame({"user_id": "u", "item_id": "x", "t": [True]}).write_parquet(file)
    with pytest.raises(DatasetError, match="column 't' holds Boolean; times are"):
        load(file, LoadOptions(timestamp_column="t"))


def test_a_time_that_cannot_be_is_dropped_under_a_reason_of_its_own(tmp_path: Path) -> None:
    # Was wrong: one time in 2100 made all others old, and so switched the half-life off.
    ahead = int(time.time()) + 2 * 86_400
    times = ["1241478537", "4102444800", str(ahead), "599999999", "2100-01-01", "0"]
    lines = "".join(f"u,x{n},{when}\n" for n, when in enumerate(times))
    padding = "".join(f"u,y{n},1241478600\n" for n in range(10))
    reason = "timestamp before 1990 or more than a day ahead"
    for options in (LoadOptions(), LoadOptions(timestamp_column="timestamp")):
        records = read_csv(tmp_path, f"user_id,item_id,timestamp\n{lines}{padding}", options)
        assert records.period == (1241478537, 1241478600)
        assert records.rows.dropped == {reason: 5}
        assert records.rows.examples == {reason: "'4102444800' in row 2 after the header"}


def test_a_column_timestamp_full_of_other_numbers_costs_no_row(tmp_path: Path) -> None:
    records = read_csv(tmp_path, "user_id,item_id,timestamp\nu,x,1\nu,y,2\nu,z,1241478537\n")

    assert len(records) == 3
    assert records.timestamps is None
    assert records.period is None
    note = "timestamp before 1990 or more than a day ahead, so no times were read"
    assert records.rows.noted == {note: 2}
    assert records.rows.examples == {note: "'1' in row 1 after the header"}


def test_a_message_about_a_time_shows_the_time(tmp_path: Path) -> None:
    text = "user_id,item_id,when\nu,x,14.11.2023 22:13\nu,y,yesterday\n"
    with pytest.raises(DatasetError, match=r"unreadable: '14\.11\.2023 22:13': user 'u', item 'x'"):
        read_csv(tmp_path, text, LoadOptions(timestamp_column="when"))

    records = read_csv(tmp_path, text + "u,z,2023-11-14\n", LoadOptions(timestamp_column="when"))
    assert records.rows.examples == {
        "timestamp missing or unreadable": "'14.11.2023 22:13' in row 1 after the header; give "
        "--timestamp-format '%d.%m.%Y %H:%M'"
    }
