"""Exports of single Last.fm accounts, in the forms of the usual exporters."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.data.records import Records
from training.datasets import LoadOptions, load_dataset
from training.errors import DatasetError

MBID = "9efff43b-3b29-4082-824e-bc82f646f93d"
HEADER = "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid"
NOON = 1_706_702_400  # 31 January 2024, 12:00


def write(folder: Path, name: str, *lines: str, end: str = "\n") -> Path:
    file = folder / name
    file.write_bytes("".join(line + end for line in lines).encode())
    return file


def read(path: Path, **options: Any) -> Records:
    return load_dataset("lastfm-export", path, LoadOptions(**options))


def rows_of(records: Records) -> list[tuple[str, str, int]]:
    assert records.timestamps is not None
    codes = zip(records.user_codes, records.item_codes, records.timestamps, strict=True)
    return [(records.user_ids[int(u)], records.item_ids[int(i)], int(t)) for u, i, t in codes]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lines", "user"),
    [
        (['Can,"Ege ""B"", x",Spoon,31 Jan 2024 12:00'], "me"),
        (['Can,,Spoon,"31 Jan 2024, 12:00"'], "me"),
        (['Can,,Spoon,"Wed, 31 Jan 2024 12:00:00"'], "me"),
        (["artist,album,track,date", "Can,a,Spoon,31 Jan 2024 12:00"], "me"),
        (["Can;a;Spoon;31 Jan 2024 12:00"], "me"),
        (["Can;a, b;Spoon, 2;31 Jan 2024 12:00"], "me"),
        ([HEADER, f'"{NOON}","31 Jan 2024, 12:00","Can","","a","","Spoon",""'], "me"),
        (['"uts","utc_time","artist","track"', f'"{NOON}","31 Jan 2024, 12:00","Can","t"'], "me"),
        ([HEADER.replace(",", ";"), f'"{NOON}";"31 Jan 2024, 12:00";"Can";"";"a";"";"S";""'], "me"),
        ([HEADER.replace(",", "\t"), f'{NOON}\t31 Jan 2024, 12:00\tCan\t\t"a\t\tS\t'], "me"),
        (["\ufeffArtist;Album;AlbumId;Track;Date#anna", f'"Can";"a";"";"S";"{NOON}000"'], "anna"),
        ([f'{NOON}\tSpoon "x\tCan\ta\t\t\t'], "me"),
    ],
)
def test_reads_the_usual_forms(tmp_path: Path, lines: list[str], user: str, end: str) -> None:
    records = read(write(tmp_path, "me.csv", *lines, end=end))

    assert rows_of(records) == [(user, "name:Can", NOON)]
    assert records.rows.read == 1


def test_artists_have_ids_as_in_lastfm_360k(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "me.csv",
        HEADER,
        f"{NOON},,Can,{MBID},,,t,",
        f"{NOON},,Can,,,,t,",
        f"{NOON},,Neu!,,,,t,",
    )

    assert {item for _, item, _ in rows_of(read(file))} == {MBID, "name:Neu!"}
    without = read(file, drop_items_without_id=True)
    assert without.item_codes.tolist() == [0, -1, -1]


def test_each_file_is_a_user(tmp_path: Path) -> None:
    write(tmp_path, "anna.csv", "Can,a,t,31 Jan 2024 12:00")
    write(tmp_path, "recenttracks-bert-1700000000.csv", HEADER, f"{NOON},,Can,,,,t,")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("carl.csv", "Can,a,t,31 Jan 2024 12:00\n")

    records = read(tmp_path)

    assert sorted(user for user, _, _ in rows_of(records)) == ["anna", "bert", "carl"]
    assert set(records.sources) == {"anna.csv", "recenttracks-bert-1700000000.csv", "more.zip"}
    assert rows_of(read(tmp_path / "anna.csv", user_id="a"))[0][0] == "a"
    with pytest.raises(DatasetError, match="holds 3 accounts, and --user-id names only one"):
        read(tmp_path, user_id="a")


def test_overlapping_files_of_a_user_count_once(tmp_path: Path) -> None:
    for number in (1_700_000_000, 1_700_000_001):
        write(tmp_path, f"recenttracks-bert-{number}.csv", HEADER, *[f"{NOON},,Can,,,,t,"] * 2)

    records = read(tmp_path)

    assert len(records) == 2
    assert records.rows.dropped == {"the same play as in another file": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Can,a,playing now,", "timestamp missing or unreadable"),
        ("Can,a,t,31 Foo 2024 12:00", "timestamp missing or unreadable"),
        ("Can,a,t,31/01/2024 12:00", "timestamp missing or unreadable"),
        ("Can,a,t,01 Jan 1970 00:00", "timestamp before 1990 or more than a day ahead"),
        (",a,t,31 Jan 2024 12:00", "neither artist MBID nor name"),
        ("Can,a,t,31 Jan 2024 12:00,more", "wrong number of columns"),
        ("Can", "timestamp missing or unreadable"),
    ],
)
def test_a_broken_row_is_dropped_for_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    records = read(write(tmp_path, "me.csv", "Neu!,a,t,31 Jan 2024 12:00", line))

    assert rows_of(records) == [("me", "name:Neu!", NOON)]
    assert records.rows.dropped == {reason: 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["movieId,title"], r"how it is written is unknown: 'movieId,title'\. Expected a header"),
        ([HEADER], "holds no plays"),
        (
            ["Can,a,t,never"],
            r"none of its 1 plays can be used \(timestamp missing or unreadable: 1, for example "
            r"'never' in me\.csv; --timestamp-format 'FORM' names another form",
        ),
        (["Can,a,t,31 Jan 2024 12:00", 'Can,a,"t,31 Jan 2024 12:00'], "quotation mark"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(write(tmp_path, "me.csv", *lines))


def test_day_first_dates_are_shown_with_the_option_that_reads_them(tmp_path: Path) -> None:
    # Was wrong: neither the value nor a remedy.
    file = write(tmp_path, "me.csv", "Can,a,t,31/01/2024 12:00", "Neu!,a,t,30/01/2024 12:00")
    with pytest.raises(
        DatasetError, match=r"'31/01/2024 12:00' in me\.csv; give --timestamp-"
    ) as no:
        read(file)
    [form] = re.findall("--timestamp-format '(.*?)'", str(no.value))
    assert rows_of(read(file, timestamp_format=form))[0] == ("me", "name:Can", NOON)
    write(tmp_path, "me.csv", "Can,a,t,31 Jan 2024 12:00", "Can,a,t,20240131120000")
    records = read(file)
    assert list(records.rows.examples.values()) == [
        "'20240131120000' in me.csv; looks like YYYYMMDDhhmmss: give --timestamp-format "
        "'%Y%m%d%H%M%S'"
    ]


def test_an_empty_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no \*\.csv"):
        read(tmp_path)
    (tmp_path / "me.csv").touch()
    with pytest.raises(DatasetError, match=r"me\.csv is empty"):
        read(tmp_path)
