"""Tables of other people: CSV, TSV and Parquet."""

from __future__ import annotations

import gzip
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.datasets.tables import pairs, read_csv, write
from training.datasets import LoadOptions
from training.datasets.table import load
from training.errors import DatasetError


def test_ids_stay_exactly_as_they_are(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("values", [[1.0], [True], [date(2020, 1, 1)], [["x"]]])
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


def test_missing_empty_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        load(tmp_path / "no.csv", LoadOptions())
    with pytest.raises(DatasetError, match="holds no data"):
        load(tmp_path, LoadOptions())
    for name in ("a.csv", "a.tsv", "a.parquet"):
        with pytest.raises(DatasetError, match=f"{name} is empty"):
            load(write(tmp_path / name, ""), LoadOptions())
    with pytest.raises(DatasetError, match="it has a header, but no rows"):
        read_csv(tmp_path, "user_id,item_id\n")
    for text in ("\n\n", "\ufeff"):
        with pytest.raises(DatasetError, match="is empty: all of its lines are blank"):
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
        ("a.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1"),
        ("a.csv", b"PAR1xxxx"),
        ("a.csv.gz", b"no gzip at all"),
        ("a.csv.gz", gzip.compress(b"user_id,item_id\n" + bytes(range(256)) * 99)[:-300]),
        ("a.csv", b'user_id,item_id\n"never closed,x\nu,y\n'),
        ("a.csv", b"\xff\xfeu\0s\0"),
    ],
    # Named, for the bytes of a gzip hold the time, and test processes have to agree on names.
    ids=[
        "garbage named parquet",
        "parquet named csv",
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
    with pytest.raises(DatasetError, match="the column 'name' holds lists or objects"):
        load(file, LoadOptions())


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["u"] * 999, "item_id": ["x"] * 999}).write_parquet(file)
    write(file, file.read_bytes()[:-20])

    with pytest.raises(DatasetError, match="cannot be read"):
        load(file, LoadOptions())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@pytest.mark.slow
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
        "id or name in quotation marks, taken as they are (--quoting removes them)": 1
    }
    write(file, '"user_id"\t"item_id"\n"u"\t"x\ty"\n')
    assert pairs(load(file, LoadOptions(quoting=True))) == [("u", "x\ty", 1.0)]
    records = load(file, LoadOptions())
    assert pairs(records) == [("u", "x\ty", 1.0)]
    assert records.remark.startswith(
        "read as its first lines show: fields in quotation marks (--no-quoting would say otherwise)"
    )
    with pytest.raises(DatasetError, match=r"no column 'user_id'.*--quoting reads fields in quot"):
        load(file, LoadOptions(quoting=False))
    pl.DataFrame({"user_id": "u", "item_id": "x"}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="Parquet, in which nothing is quoted; leave --quoting"):
        load(tmp_path / "a.parquet", LoadOptions(quoting=False))


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
