"""The HetRec 2011 format, as published and as copied, and the real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.hetrec_lastfm_2k import ARTISTS_FILE, PLAYS_FILE, load
from training.errors import DatasetError

ARTISTS = (
    "id\tname\turl\tpictureURL",
    '51\t"Duran" Duran\thttp://x\thttp://y',
    "9\tMorcheeba\thttp://x\thttp://y",
)


def write(
    folder: Path,
    *plays: str,
    header: str = "userID\tartistID\tweight",
    artists: tuple[str, ...] = ARTISTS,
    end: str = "\r\n",
) -> None:
    for name, lines in ((PLAYS_FILE, (header, *plays)), (ARTISTS_FILE, artists)):
        (folder / name).write_bytes("".join(text + end for text in lines).encode())


def pairs(records: Records) -> list[tuple[str, str, float]]:
    return [
        (records.user_ids[int(user)], records.item_ids[int(item)], float(plays))
        for user, item, plays in zip(
            records.user_codes, records.item_codes, records.plays, strict=True
        )
    ]


@pytest.mark.parametrize("header", ["userID\tartistID\tweight", "//userID\tartistID\tweight"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_reads_plays_and_names(tmp_path: Path, header: str, end: str) -> None:
    write(tmp_path, "2\t51\t13883", "10\t51\t1", "2\t9\t3", header=header, end=end)

    records = load(tmp_path, LoadOptions())

    assert pairs(records) == [("2", "51", 13883.0), ("10", "51", 1.0), ("2", "9", 3.0)]
    assert records.user_ids.to_list() == ["10", "2"]
    assert records.item_ids.to_list() == ["51", "9"]
    assert records.items.names.to_list() == ['"Duran" Duran', "Morcheeba"]
    assert (records.rows.read, records.rows.dropped, records.rows.noted) == (3, {}, {})
    assert records.dataset == "hetrec-lastfm-2k"
    assert set(records.sources) == {PLAYS_FILE, ARTISTS_FILE}


def test_a_file_without_a_header_loses_no_row(tmp_path: Path) -> None:
    write(tmp_path, "2\t9\t3", header="2\t51\t13883", artists=ARTISTS[1:])

    assert pairs(load(tmp_path, LoadOptions())) == [("2", "51", 13883.0), ("2", "9", 3.0)]


def test_the_folder_above_and_the_file_itself_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "hetrec2011-lastfm-2k"
    folder.mkdir()
    write(folder, "2\t51\t1")

    assert pairs(load(tmp_path, LoadOptions())) == [("2", "51", 1.0)]
    assert pairs(load(folder / PLAYS_FILE, LoadOptions())) == [("2", "51", 1.0)]


def test_broken_rows_are_counted_and_nameless_artists_noted(tmp_path: Path) -> None:
    write(
        tmp_path,
        "2\t51\t0",
        "2\t51\t-1",
        "2\t51\tx",
        "2\t51",
        "\t51\t1",
        "2\t\t1",
        "2\t" + "5" * 257 + "\t1",
        "",
        "2\t77\t4",
        "3\t8\t5",
        artists=(*ARTISTS, "8\tb\ufffdd\tu\tp", "8\tc\tu\tp", "77"),
    )

    records = load(tmp_path, LoadOptions())

    assert pairs(records) == [("2", "77", 4.0), ("3", "8", 5.0)]
    assert records.items.names.to_list() == ["77", "b\ufffdd"]
    assert records.rows.read == 9
    assert records.rows.dropped == {
        "wrong number of columns": 1,
        "user or artist id missing": 2,
        "id longer than 256 bytes": 1,
        "plays missing or no number": 1,
        "plays are negative": 1,
        "plays are zero": 1,
    }
    assert records.rows.noted == {
        "artist without a name in artists.dat, shown by its id": 1,
        "name with invalid UTF-8, shown with U+FFFD": 1,
    }


@pytest.mark.parametrize("missing", [PLAYS_FILE, ARTISTS_FILE])
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path, missing: str) -> None:
    write(tmp_path, "2\t51\t1")
    (tmp_path / missing).unlink()

    with pytest.raises(DatasetError, match=rf"holds no {missing}.*grouplens\.org"):
        load(tmp_path, LoadOptions())


@pytest.mark.parametrize("empty", [PLAYS_FILE, ARTISTS_FILE])
def test_an_empty_file_is_refused(tmp_path: Path, empty: str) -> None:
    write(tmp_path, "2\t51\t1")
    (tmp_path / empty).write_bytes(b"")

    with pytest.raises(DatasetError, match=f"{empty} is empty"):
        load(tmp_path, LoadOptions())


def test_a_header_alone_and_the_wrong_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DatasetError, match=r"holds no rows\. Expected on each line: userID"):
        load(tmp_path, LoadOptions())
    (tmp_path / PLAYS_FILE).write_bytes((tmp_path / ARTISTS_FILE).read_bytes())
    with pytest.raises(DatasetError, match=r"wrong number of columns: 3.*Is it the right file"):
        load(tmp_path, LoadOptions())


@pytest.mark.slow
def test_the_real_files(hetrec_path: Path) -> None:
    records = load(hetrec_path, LoadOptions())

    assert (records.rows.read, records.rows.dropped, records.rows.noted) == (92_834, {}, {})
    assert (len(records.user_ids), len(records.item_ids)) == (1892, 17_632)
    assert pairs(records)[0] == ("2", "51", 13883.0)
    names = dict(zip(records.item_ids, records.items.names, strict=True))
    assert names["51"] == "Duran Duran"
    assert names["1686"] == '"Weird Al" Yankovic'
    assert float(records.plays.sum(dtype="float64")) == 69_183_975.0
