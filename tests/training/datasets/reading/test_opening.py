"""Parts of a table: files of any ending, folders, patterns and standard input."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.leftovers import assert_nothing_is_left
from tests.training.datasets.tables import pairs, write
from training.datasets import DATASETS, LoadOptions, load_dataset
from training.datasets.table import load
from training.errors import DatasetError

CSV = "user_id,item_id\nu,x\n"
PAIR = [("u", "x", 1.0)]


def part(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, content)


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load(path, LoadOptions())
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "a.dat", "a.data", "a", "a.json", "a.parquet", "a.gz"])
def test_the_content_decides(tmp_path: Path, name: str) -> None:
    assert pairs(load(part(tmp_path, name, CSV), LoadOptions())) == PAIR
    tabs = part(tmp_path, name, "user_id\titem_id\nu\tx,y\n")
    assert pairs(load(tabs, LoadOptions())) == [("u", "x,y", 1.0)]
    pl.DataFrame({"user_id": "u", "item_id": "x"}).write_parquet(tmp_path / name)
    assert pairs(load(tmp_path / name, LoadOptions())) == PAIR
    file = part(tmp_path, name, gzip.compress(CSV.encode()))
    records = load(file, LoadOptions())
    assert pairs(records) == PAIR
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert records.sources == {name: {"sha256": digest, "bytes": len(content)}}


def test_a_folder_of_spark_is_one_table(tmp_path: Path) -> None:
    part(tmp_path, "part-1.csv.gz", gzip.compress(b"item_id,user_id\ny,v\n"))
    part(tmp_path, "part-0.csv", CSV)
    for name in ("_SUCCESS", "_committed_1", ".part-0.csv.crc", "part-2.csv"):
        part(tmp_path, name, "")
    part(tmp_path, "part-0.csv.crc", "x")

    records = load(tmp_path, LoadOptions())

    assert pairs(records) == [*PAIR, ("v", "y", 1.0)]
    assert list(records.sources) == ["part-0.csv", "part-1.csv.gz"]
    assert pairs(load(tmp_path / "part-*.csv*", LoadOptions())) == [*PAIR, ("v", "y", 1.0)]


def test_parts_with_different_columns_are_refused(tmp_path: Path) -> None:
    part(tmp_path, "a.csv", CSV)
    part(tmp_path, "b.csv", "user_id,song\nu,x\n")
    assert refusal(tmp_path).startswith(
        f"{tmp_path}/a.csv and {tmp_path}/b.csv have different columns: 'song' only in the latter; "
        "'item_id' only in the former. "
    )


def test_parts_of_different_kinds_are_refused(tmp_path: Path) -> None:
    part(tmp_path, "a.csv", CSV)
    part(tmp_path, "b.csv", '{"user_id":"u","item_id":"x"}\n')
    assert f"a.csv is text, but {tmp_path}/b.csv is JSON" in refusal(tmp_path)


def test_a_stray_quotation_mark_in_a_part_is_refused(tmp_path: Path) -> None:
    part(tmp_path, "a.csv", CSV)
    part(tmp_path, "b.csv", 'user_id,item_id\n"u,x\nv,y\n')
    assert f"{tmp_path}/b.csv: in line 2 a quotation mark" in refusal(tmp_path)


def test_folders_of_partitions_give_a_column(tmp_path: Path) -> None:
    for name in ("user_id=a%20b", "user_id=007", "user_id=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / name).mkdir()
        pl.DataFrame({"item_id": ["x"]}).write_parquet(tmp_path / name / "p.parquet")
        (tmp_path / name / "_SUCCESS").touch()

    records = load(tmp_path, LoadOptions())

    assert pairs(records) == [("007", "x", 1.0), ("a b", "x", 1.0)]
    assert records.rows.dropped == {"user id is missing": 1}
    assert "user_id=007/p.parquet" in records.sources
    part(tmp_path, "other/a.csv", CSV)
    assert "holds the folder other, which is no partition" in refusal(tmp_path)


def test_types_of_parts_may_differ_where_nothing_is_lost(tmp_path: Path) -> None:
    for name, ids in {"a": [1], "b": ["2"]}.items():
        pl.DataFrame({"user_id": ids, "item_id": "x"}).write_parquet(tmp_path / f"{name}.parquet")
    assert pairs(load(tmp_path, LoadOptions())) == [("1", "x", 1.0), ("2", "x", 1.0)]
    pl.DataFrame({"user_id": [1.0], "item_id": "x"}).write_parquet(tmp_path / "c.parquet")
    assert "different types in the column 'user_id': Float64 and Int64" in refusal(tmp_path)


def test_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    part(tmp_path, "a.csv", CSV)
    assert f"no file matches '{tmp_path}/*.tsv'; {tmp_path} holds a.csv; correct the pattern" in (
        refusal(tmp_path / "*.tsv")
    )
    (tmp_path / "empty").mkdir()
    assert "empty holds no data" in refusal(tmp_path / "empty")


URLS = ["https://x.org/plays.csv", "s3://bucket/plays.csv", "hdfs:///plays", "https://x.org/?a=1"]


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("url", URLS)
def test_addresses_are_refused_with_the_reason(url: str, name: str) -> None:
    shown = re.escape(url.replace("///", "//"))
    with pytest.raises(DatasetError, match=f"^{shown} is an address.*fetch it first"):
        load_dataset(name, Path(url))


@pytest.mark.parametrize(
    ("names", "remark"),
    [
        (
            ["test.csv", "train.csv"],
            "test.csv and train.csv are read as one table, although their names say that one is "
            "held out; a ready-made split is measured by evaluate --train {0}/train.csv --test "
            "{0}/test.csv",
        ),
        (
            ["plays_valid-0.csv", "plays_train-0.csv", "plays_train-1.csv"],
            "plays_train-0.csv and plays_valid-0.csv are read as one table, although their names "
            "say that one is held out; a ready-made split is measured by evaluate --train FILE "
            "--test FILE",
        ),
        (["a.csv", "heldout.csv"], "a.csv and heldout.csv are read as one table, although"),
        (["train-0.csv", "train-1.csv"], ""),
        (["contest.csv", "latest.csv"], ""),
        (["test.csv"], ""),
    ],
)
def test_parts_of_a_ready_made_split_are_noted(
    names: list[str], remark: str, tmp_path: Path
) -> None:
    for number, name in enumerate(names):
        part(tmp_path, name, f"user_id,item_id,weight\nu{number},x,1\n")
    found = load(tmp_path, LoadOptions())
    assert len(found) == len(names)
    assert found.remark.startswith(remark.format(tmp_path))
    assert bool(found.remark) == bool(remark)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ARROW1\0\0", "a Feather .* file; save it as Parquet"),
        (b"ORC\x0a", "an ORC file; save it as Parquet"),
        (b"SQLite format 3\0", "an SQLite database; export its table as CSV"),
        (gzip.compress(gzip.compress(CSV.encode(), mtime=0), mtime=0), "is compressed twice"),
    ],
)
def test_other_files_are_refused_with_what_to_do(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        load(part(tmp_path, "a.csv", content), LoadOptions())


def test_excel_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    assert "is an Excel file (or another one of Office); save it as CSV" in refusal(
        tmp_path / "a.xlsx"
    )


def test_decimals_and_binary_text_of_parquet_are_ids(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    ids = pl.Series([Decimal(7), Decimal(12345678901234567890123)], dtype=pl.Decimal(38, 0))
    times = [1.7e9, 1.6e9 + 0.5]
    frame = pl.DataFrame({"user_id": ids, "item_id": [b"x", b"y"], "timestamp": times})
    frame.write_parquet(file)
    records = load(file, LoadOptions())
    assert pairs(records) == [("12345678901234567890123", "y", 1.0), ("7", "x", 1.0)][::-1]
    assert records.timestamps is not None
    assert records.timestamps.tolist() == [1_700_000_000, 1_600_000_000]
    frame.with_columns(user_id=pl.Series([Decimal("1.50")] * 2)).write_parquet(file)
    assert "holds Decimal(precision=38, scale=2); ids and names are" in refusal(file)


def test_bytes_of_parquet_that_are_no_utf8_are_dropped_like_those_of_text(tmp_path: Path) -> None:
    # Was wrong: the whole file was refused, without a row or a column.
    file = tmp_path / "a.parquet"
    frame = pl.DataFrame(
        {
            "user_id": [b"u", b"u", b"v", None],
            "artist": [b"x", b"Caf\xe9", b"y", b"x"],
            "name": [b"X", b"Y", b"Bj\xf6rk", b"X"],
        }
    )
    frame.write_parquet(file)
    records = load(file, LoadOptions(item_column="artist"))
    assert pairs(records) == [("u", "x", 1.0), ("v", "y", 1.0)]
    assert records.rows.dropped == {"id with invalid UTF-8": 1, "user id is missing": 1}
    assert records.rows.examples["id with invalid UTF-8"] == (
        "'Caf\ufffd' in the column 'artist', row 2; write the column as UTF-8"
    )
    assert records.items.names.to_list() == ["X", "Bj\ufffdrk"]
    assert sum(records.rows.noted.values()) == 1


def test_leaves_nothing_open_and_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    good = part(tmp_path, "a.csv.gz", gzip.compress(CSV.encode()))
    bad = part(tmp_path, "b.jsonl.gz", gzip.compress(b'{"user_id":1,"item_id":2}\n{"user'))

    def use() -> None:
        load(good, LoadOptions())
        refusal(bad)

    assert_nothing_is_left(use)
    assert list(places.iterdir()) == []


READ = """
import sys
from pathlib import Path
from training.datasets import load_dataset
from training.errors import DatasetError
print("ready", flush=True)
try:
    records = load_dataset("table", Path("-"))
    print(records.rows.read, *records.sources)
except DatasetError as error:
    print(error)
"""


def reader(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", READ],
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(CSV.encode(), mtime=0), "1 standard input\n"),
        (b'[{"user_id":1,"item_id":2}]', "1 standard input\n"),
        (b"", "standard input is empty\n"),
        (CSV.encode() + b'"', "standard input: in line 3 a quotation mark is opened"),
    ],
)
def test_standard_input_is_read(tmp_path: Path, content: bytes, said: str) -> None:
    with reader(tmp_path) as process:
        stdout, _ = process.communicate(content, timeout=120)
    assert stdout.decode().startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_interrupt_leaves_no_files(tmp_path: Path) -> None:
    with reader(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(CSV.encode() * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []
