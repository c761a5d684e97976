"""The Taste Profile subset: triplets, artists of songs, mismatches."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from training.data.records import Records
from training.datasets import load_dataset
from training.datasets.echonest import MISMATCHES_FILE, PLAYS_FILE, TRACKS_FILE
from training.errors import DatasetError

ANNA, BERT = "a" * 40, "b" * 40
SPOON, VITAMIN, HERO = (f"SO{number:016}" for number in range(3))


def write(folder: Path, *plays: tuple[str, str, str]) -> None:
    (folder / PLAYS_FILE).write_text("".join("\t".join(play) + "\n" for play in plays))


def write_tracks(folder: Path, *tracks: tuple[str, str]) -> None:
    lines = [f"TR0<SEP>{song}<SEP>{artist}<SEP>a title" for song, artist in tracks]
    (folder / TRACKS_FILE).write_text("".join(line + "\n" for line in lines))


def read(path: Path) -> Records:
    return load_dataset("echonest", path)


def pairs(records: Records) -> list[tuple[str, str, float]]:
    codes = zip(records.user_codes, records.item_codes, records.plays, strict=True)
    return [(records.user_ids[int(u)], records.item_ids[int(i)], float(p)) for u, i, p in codes]


PLAYS = [(ANNA, SPOON, "3"), (ANNA, VITAMIN, "2"), (BERT, HERO, "1")]
TRACKS = [(SPOON, "Can"), (VITAMIN, "Can"), (HERO, 'Neu! "75'), (HERO, 'Neu! "75'), (HERO, "x")]


def test_artists_have_the_plays_of_their_songs(tmp_path: Path) -> None:
    write(tmp_path, *PLAYS)
    write_tracks(tmp_path, *TRACKS)

    records = read(tmp_path)

    assert pairs(records) == [
        (ANNA, "name:Can", 3.0),
        (ANNA, "name:Can", 2.0),
        (BERT, 'name:Neu! "75', 1.0),
    ]
    assert records.items.names.to_list() == ["Can", 'Neu! "75']
    assert (records.rows.read, records.rows.dropped, records.remark) == (3, {}, "")
    assert set(records.sources) == {PLAYS_FILE, TRACKS_FILE}
    assert pairs(read(tmp_path / PLAYS_FILE)) == pairs(records)


def test_without_the_list_of_tracks_songs_are_the_items(tmp_path: Path) -> None:
    write(tmp_path, *PLAYS)
    records = read(tmp_path)
    assert records.item_ids.to_list() == [SPOON, VITAMIN, HERO]
    assert records.remark.startswith("the songs are the items, and have no names, since unique_")


def test_mismatched_songs_are_left_out_by_rule(tmp_path: Path) -> None:
    write(tmp_path, *PLAYS)
    (tmp_path / MISMATCHES_FILE).write_text(f"ERROR: <{SPOON} TR0> A  -  b  !=  C  -  d\n")
    records = read(tmp_path)
    assert records.item_ids.to_list() == [VITAMIN, HERO]
    assert records.rows.dropped == {"song in sid_mismatches.txt, matched to a wrong track": 1}
    assert records.rows.unreadable == 0


def test_a_zip_archive_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, *PLAYS)
    write_tracks(tmp_path, *TRACKS)
    packed = tmp_path / "train_triplets.txt.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / PLAYS_FILE, PLAYS_FILE)
    plain = pairs(read(tmp_path))
    (tmp_path / PLAYS_FILE).unlink()

    for path in (tmp_path, packed):
        records = read(path)
        assert pairs(records) == plain
        assert set(records.sources) == {"train_triplets.txt.zip", TRACKS_FILE}


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        ((ANNA, SPOON, "0"), "plays are zero"),
        ((ANNA, SPOON, "x"), "plays missing or no number"),
        ((ANNA, SPOON), "wrong number of columns"),
        ((ANNA, SPOON, "1", "2"), "wrong number of columns"),
        (("", SPOON, "1"), "user or song id missing"),
        ((ANNA, "", "1"), "user or song id missing"),
        ((ANNA, "SO1", "1"), "song without an artist in unique_tracks.txt"),
    ],
)
def test_a_broken_row_is_dropped_for_its_reason(
    tmp_path: Path, play: tuple[str, ...], reason: str
) -> None:
    (tmp_path / PLAYS_FILE).write_text("\t".join(play) + f"\n{BERT}\t{HERO}\t1\n")
    write_tracks(tmp_path, *TRACKS)
    records = read(tmp_path)
    assert pairs(records) == [(BERT, 'name:Neu! "75', 1.0)]
    assert records.rows.dropped == {reason: 1}


def test_the_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"holds no {PLAYS_FILE}\. It comes from"):
        read(tmp_path)
    write(tmp_path, *PLAYS)
    (tmp_path / TRACKS_FILE).write_text("a,b,c\n")
    with pytest.raises(DatasetError, match=r"has no line of the form track<SEP>song<SEP>artist"):
        read(tmp_path)


def test_a_damaged_member_is_named_by_its_archive(tmp_path: Path) -> None:
    packed = tmp_path / "train_triplets.txt.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(PLAYS_FILE, "one column\n")
    with pytest.raises(DatasetError, match=rf"^{packed}/{PLAYS_FILE}: none of its 1 rows"):
        read(packed)


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "train_triplets.txt.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PLAYS_FILE, b"\0" * 1000)
    content = packed.read_bytes()
    large = (2**31).to_bytes(4, "little")
    at = content.rindex(b"PK\x01\x02") + 24
    packed.write_bytes(content[:at] + large + content[at + 4 :])
    with pytest.raises(
        DatasetError, match=rf"{PLAYS_FILE} expands to more than 200 times its size"
    ):
        read(packed)


def test_compressed_files_are_read_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, *PLAYS)
    write_tracks(tmp_path, *TRACKS)
    plain = pairs(read(tmp_path))
    for name in (PLAYS_FILE, TRACKS_FILE):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))

    records = read(tmp_path)

    assert pairs(records) == plain == pairs(read(tmp_path / f"{PLAYS_FILE}.gz"))
    assert set(records.sources) == {f"{PLAYS_FILE}.gz", f"{TRACKS_FILE}.gz"}
