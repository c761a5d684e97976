"""Tables of other people: CSV, TSV and Parquet."""

from __future__ import annotations

import gzip
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.table import load
from training.errors import DatasetError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def pairs(records: Records) -> list[tuple[str, str, float]]:
    return [
        (records.user_ids[int(user)], records.item_ids[int(item)], float(plays))
        for user, item, plays in zip(
            records.user_codes, records.item_codes, records.plays, strict=True
        )
    ]


def read_csv(folder: Path, text: str | bytes, options: LoadOptions | None = None) -> Records:
    return load(write(folder / "plays.csv", text), options or LoadOptions())


def test_ids_are_kept_exactly(tmp_path: Path) -> None:
    records = read_csv(
        tmp_path,
        "user_id,item_id,weight\n007,00123456789012345678901234567890,2.5\n7,1e3, 3 \n ü ,NA,1\n",
    )

    assert pairs(records) == [
        ("007", "00123456789012345678901234567890", 2.5),
        ("7", "1e3", 3.0),
        (" ü ", "NA", 1.0),
    ]
    assert records.user_ids.to_list() == [" ü ", "007", "7"]
    assert records.items.names.to_list() == records.item_ids.to_list()
    assert records.dataset == "table"
    assert records.timestamps is None
    assert list(records.sources) == ["plays.csv"]


def test_without_a_weight_each_row_is_one_play(tmp_path: Path) -> None:
    records = read_csv(tmp_path, "item_id,user_id\nx,u\ny,u\n")

    assert pairs(records) == [("u", "x", 1.0), ("u", "y", 1.0)]
    assert records.plays.dtype == np.float32


def test_columns_are_named_by_options(tmp_path: Path) -> None:
    options = LoadOptions(
        user_column="who",
        item_column="what",
        weight_column="times",
        name_column="title",
        timestamp_column="when",
    )
    records = read_csv(
        tmp_path,
        "when,title,times,what,who,weight,name\n1241478560,Tom,2,t,u,9,no\n"
        "1241478620,tom,3,t,v,9,no\n1241478680,tom,4,t,w,9,no\n",
        options,
    )

    assert pairs(records) == [("u", "t", 2.0), ("v", "t", 3.0), ("w", "t", 4.0)]
    assert records.items.names.to_list() == ["tom"]
    assert records.timestamps is not None
    assert records.timestamps.dtype == np.int64
    assert records.timestamps.tolist() == [1241478560, 1241478620, 1241478680]


def test_csv_has_the_usual_quoting(tmp_path: Path) -> None:
    records = read_csv(tmp_path, 'user_id,item_id,name\r\n"a ""b"", c",x,"Tyler,\r\nthe"\r\n')

    assert pairs(records) == [('a "b", c', "x", 1.0)]
    assert records.items.names.to_list() == ["Tyler,\r\nthe"]


@pytest.mark.parametrize("suffix", [".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq", ".CSV"])
def test_reads_each_kind_of_table(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["007", "8"], "weight": [1, 2]})
    file = tmp_path / f"plays{suffix}"
    if suffix in {".parquet", ".pq"}:
        frame.write_parquet(file)
    else:
        text = frame.write_csv(separator="\t" if ".tsv" in suffix else ",").encode()
        file.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)

    assert pairs(load(file, LoadOptions())) == [("u", "007", 1.0), ("v", "8", 2.0)]


def test_parquet_ids_may_be_numbers_or_categories(tmp_path: Path) -> None:
    pl.DataFrame(
        {"user_id": [2**63, None, 1], "item_id": pl.Series(["a", "b", None], dtype=pl.Categorical)},
        schema_overrides={"user_id": pl.UInt64},
    ).write_parquet(tmp_path / "a.parquet")

    records = load(tmp_path / "a.parquet", LoadOptions())

    assert pairs(records) == [("9223372036854775808", "a", 1.0)]
    assert records.rows.dropped == {"user id is missing": 1, "item id is missing": 1}


@pytest.mark.parametrize("values", [[1.0], [True], [b"x"], [date(2020, 1, 1)], [["x"]]])
def test_parquet_ids_of_another_type_are_refused(tmp_path: Path, values: list[object]) -> None:
    pl.DataFrame({"user_id": values, "item_id": ["x"]}).write_parquet(tmp_path / "a.parquet")

    with pytest.raises(DatasetError, match=r"column 'user_id' holds .*text or whole numbers"):
        load(tmp_path / "a.parquet", LoadOptions())


def test_broken_rows_are_counted(tmp_path: Path) -> None:
    records = read_csv(
        tmp_path,
        b"user_id,item_id,weight\n,x,1\nu,,1\nu,x,0\nu,x,-1\nu,x,\nu,x,many\nu,x,inf\nu\n\n"
        b"u,x,1,2\nu\xff,x,1\n" + b"u" * 257 + b",x,1\n" + b"u" * 256 + b",x,1\n",
    )

    assert pairs(records) == [("u" * 256, "x", 1.0)]
    assert records.rows.read == 13
    assert records.rows.dropped == {
        "more fields than the header has": 1,
        "user id is missing": 2,
        "item id is missing": 2,
        "id longer than 256 bytes": 1,
        "id with invalid UTF-8": 1,
        "plays missing or no number": 3,
        "plays are negative": 1,
        "plays are zero": 1,
    }


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


def test_a_column_timestamp_is_read_unless_another_one_is_named(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp,when\nu,x,1241478537,1241478600\n"
    by_default = read_csv(tmp_path, text)
    named = read_csv(tmp_path, text, LoadOptions(timestamp_column="when"))

    assert by_default.timestamps is not None
    assert by_default.timestamps.tolist() == [1241478537]
    assert named.timestamps is not None
    assert named.timestamps.tolist() == [1241478600]


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LoadOptions(user_column="who"), r"no column 'who'; it has 'user_id', 'item_id'.*--user-c"),
        (LoadOptions(item_column="what"), r"no column 'what'.*--item-column names it"),
        (LoadOptions(weight_column="weight"), r"no column 'weight'.*--weight-column names it"),
        (LoadOptions(name_column="name"), r"no column 'name'.*--name-column names it"),
        (LoadOptions(timestamp_column="t"), r"no column 't'.*--timestamp-column names it"),
    ],
)
def test_a_missing_column_lists_those_found_and_names_the_option(
    tmp_path: Path, options: LoadOptions, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_csv(tmp_path, "user_id,item_id\nu,x\n", options)


def test_missing_empty_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        load(tmp_path / "no.csv", LoadOptions())
    with pytest.raises(DatasetError, match="is a folder; a table is one file"):
        load(tmp_path, LoadOptions())
    with pytest.raises(DatasetError, match=r"Known endings: \.csv, \.tsv, .*\.parquet"):
        load(write(tmp_path / "a.xlsx", "x"), LoadOptions())
    for name in ("a.csv", "a.tsv", "a.parquet"):
        with pytest.raises(DatasetError, match=f"{name} is empty"):
            load(write(tmp_path / name, ""), LoadOptions())
    with pytest.raises(DatasetError, match="it has a header, but no rows"):
        read_csv(tmp_path, "user_id,item_id\n")
    for text in ("\n\n", "\ufeff"):
        with pytest.raises(DatasetError, match=r"cannot be read|no column"):
            read_csv(tmp_path, text)


def test_only_broken_rows_show_the_reasons_and_a_row(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError,
        match=r"none of its 2 rows can be used \(user id is missing: 1; plays are zero: 1\)\. "
        r"For example row 1 after the header, plays are zero: user 'u', item 'x'",
    ):
        read_csv(tmp_path, "user_id,item_id,weight\nu,x,0\n,x,1\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"user_id,item_id\n1,2\n"),
        ("a.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1"),
        ("a.csv", b"PAR1xxxx"),
        ("a.csv", gzip.compress(b"user_id,item_id\n1,2\n")),
        ("a.csv.gz", b"no gzip at all"),
        ("a.csv.gz", gzip.compress(b"user_id,item_id\n" + bytes(range(256)) * 99)[:-300]),
        ("a.csv", b'user_id,item_id\n"never closed,x\nu,y\n'),
        ("a.csv", b"\xff\xfeu\0s\0"),
    ],
    # Named, for the bytes of a gzip hold the time, and test processes have to agree on names.
    ids=[
        "csv named parquet",
        "garbage named parquet",
        "parquet named csv",
        "gzip named csv",
        "text named gzip",
        "truncated gzip",
        "open quote",
        "utf-16",
    ],
)
def test_damaged_files_are_refused_without_a_foreign_exception(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(DatasetError, match=r"a\.(csv|parquet)"):
        load(write(tmp_path / name, content), LoadOptions())


def test_an_open_quote_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="in line 2 a quotation mark is opened and never"):
        read_csv(tmp_path, 'user_id,item_id\n"never closed,x\nu,y\n')


@pytest.mark.parametrize("values", [[date(2026, 1, 1)], [timedelta(1)], [True], [{"a": 1}]])
def test_plays_that_are_no_numbers_are_refused(tmp_path: Path, values: list[object]) -> None:
    # Was wrong: dates counted as the days since 1970.
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"], "item_id": ["x"], "weight": values}).write_parquet(file)
    with pytest.raises(DatasetError, match=r"the column 'weight' holds .*; plays are numbers"):
        load(file, LoadOptions())


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"], "item_id": ["x"], "name": [{"a": 1}]}).write_parquet(file)
    with pytest.raises(DatasetError, match="the column 'name' holds Struct"):
        load(file, LoadOptions())


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"] * 999, "item_id": ["x"] * 999}).write_parquet(file)
    write(file, file.read_bytes()[:-20])

    with pytest.raises(DatasetError, match="cannot be read"):
        load(file, LoadOptions())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=20))
def test_rows_are_conserved(rows: list[tuple[str, str, str]]) -> None:
    rows = [("u", "x", "1"), *rows]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        columns = ["user_id", "item_id", "weight"]
        pl.DataFrame(rows, schema=columns, orient="row").write_csv(file, quote_style="always")
        records = load(file, LoadOptions(quoting=True))

    assert records.rows.read == len(rows)
    assert len(records) == records.rows.taken == len(rows) - sum(records.rows.dropped.values())
    assert {(user, item) for user, item, _ in pairs(records)} <= {row[:2] for row in rows}


def test_a_quotation_mark_in_an_unread_column_loses_no_rows(tmp_path: Path) -> None:
    # Was wrong: an even number of such fields made polars read 20 rows of 1,000.
    tracks = ['"Track' if n in {20, 980} else "Track" for n in range(1000)]
    lines = [f"u{n % 9},x{n},1,{track}" for n, track in enumerate(tracks)]
    text = "\n".join(["user_id,item_id,weight,track", *lines, ""])
    for name in ("a.csv", "a.csv.gz"):
        content = text.encode()
        file = write(tmp_path / name, gzip.compress(content) if ".gz" in name else content)
        with pytest.raises(DatasetError, match=r"in line 982 .*field that begins in line 22"):
            load(file, LoadOptions())
        assert len(load(file, LoadOptions(quoting=False))) == 1000

    for name in ("a.tsv", "a.tsv.gz"):
        content = text.replace(",", "\t").encode()
        file = write(tmp_path / name, gzip.compress(content) if ".gz" in name else content)
        assert len(load(file, LoadOptions())) == 1000


def test_a_tsv_has_no_quoting_unless_told(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", 'user_id\titem_id\tname\nu\tx\t"Weird Al" Y\n"v"\ty\t12"\n')
    records = load(file, LoadOptions())

    assert pairs(records) == [("u", "x", 1.0), ('"v"', "y", 1.0)]
    assert records.items.names.to_list() == ['"Weird Al" Y', '12"']
    assert records.rows.noted == {
        "id in quotation marks, taken as they are (--quoting removes them)": 1
    }
    write(file, '"user_id"\t"item_id"\n"u"\t"x\ty"\n')
    assert pairs(load(file, LoadOptions(quoting=True))) == [("u", "x\ty", 1.0)]
    with pytest.raises(DatasetError, match=r"no column 'user_id'.*--quoting reads fields in quot"):
        load(file, LoadOptions())
    pl.DataFrame({"user_id": "u", "item_id": "x"}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="Parquet, in which nothing is quoted; leave --quoting"):
        load(tmp_path / "a.parquet", LoadOptions(quoting=False))


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
        "timestamp missing or unreadable": "'14.11.2023 22:13' in row 1 after the header"
    }


@pytest.mark.parametrize("column", ["weight", "plays", "playcount", "play_count", "Count", "PLAYS"])
def test_plays_are_found_by_their_usual_names_in_any_case(tmp_path: Path, column: str) -> None:
    # Was wrong: only "weight" was, and a column "plays" was left unread without a word.
    records = read_csv(tmp_path, f"user_id,item_id,{column},TimeStamp\nu,x,7,1241478537\n")

    assert pairs(records) == [("u", "x", 7.0)]
    assert records.period == (1241478537, 1241478537)
    assert records.remark == ""


@pytest.mark.parametrize(
    ("header", "remark"),
    [
        (
            "user_id,item_id,Plays,weight,timestamp",
            "plays are read from the column 'weight', and 'Plays' fits as well; the file also has "
            "'Plays' (--weight-column would name another one)",
        ),
        (
            "user_id,item_id,hours,when",
            "each row counts as one play, since no column is called weight, plays, playcount, "
            "play_count or count; no times are read, since no column is called timestamp; the file "
            "also has 'hours', 'when' (--weight-column and --timestamp-column would name another "
            "one)",
        ),
        (
            "user_id,item_id",
            "each row counts as one play, since no column is called weight, plays, playcount, "
            "play_count or count; the file has no other columns",
        ),
        (
            "user_id,item_id,weight,Timestamp,timestamp",
            "times are read from the column 'Timestamp', and 'timestamp' fits as well; the file "
            "also has 'timestamp' (--timestamp-column would name another one)",
        ),
        ("user_id,item_id,weight,name", ""),
    ],
)
def test_a_remark_says_what_was_taken_where_names_leave_a_doubt(
    tmp_path: Path, header: str, remark: str
) -> None:
    records = read_csv(tmp_path, f"{header}\nu,x{',1241478537' * (header.count(',') - 1)}\n")

    assert records.remark == remark


def test_a_quotation_mark_in_the_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"in line 1 a quotation mark is opened and never closed"
    ):
        read_csv(tmp_path, 'user_id,"item_id\nu,x\nv,y\n')


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_before_the_header_are_passed_over(tmp_path: Path, end: str) -> None:
    records = read_csv(tmp_path, end * 3 + "user_id,item_id" + end + "u,x" + end + end + "v,y")
    assert pairs(records) == [("u", "x", 1.0), ("v", "y", 1.0)]
    assert records.rows.dropped == {"user id is missing": 1}
    with pytest.raises(DatasetError, match="in line 3 a quotation mark is opened"):
        read_csv(tmp_path, f'{end}user_id,item_id{end}u,"x{end}')
