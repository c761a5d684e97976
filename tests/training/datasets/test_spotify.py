"""Streaming histories of Spotify: both kinds, several accounts, folders and archives."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.spotify import load
from training.errors import DatasetError

OLD, NEW = "StreamingHistory_music_0.json", "Streaming_History_Audio_2023-2024_0.json"

Row = tuple[str, str]


def short(artist: str = "Björk", time: str = "2023-01-01 12:34", **other: Any) -> dict[str, Any]:
    return {"endTime": time, "artistName": artist, "trackName": "a", "msPlayed": 60_000} | other


def long(artist: Any = "Björk", time: str = "2023-01-01T12:34:56Z", **other: Any) -> Any:
    return {
        "ts": time,
        "ms_played": 60_000,
        "master_metadata_track_name": "a",
        "master_metadata_album_artist_name": artist,
        "spotify_track_uri": "spotify:track:0",
        "episode_name": None,
        "spotify_episode_uri": None,
        "incognito_mode": False,
    } | other


def write(folder: Path, name: str, *plays: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(json.dumps(plays))
    return file


def read(path: Path, **options: Any) -> Records:
    return load(path, LoadOptions(**options))


def rows_of(records: Records) -> list[Row]:
    codes = zip(records.user_codes, records.item_codes, strict=True)
    return [(records.user_ids[int(user)], records.item_ids[int(item)]) for user, item in codes]


def test_reads_both_kinds_of_history(tmp_path: Path) -> None:
    write(tmp_path / "MyData", OLD, short(), short("Can", "2023-01-02 00:00"))
    write(
        tmp_path / "Spotify Extended Streaming History", NEW, long("Neu!", "2021-05-01T00:00:07Z")
    )

    records = read(tmp_path)

    assert sorted(rows_of(records)) == [
        ("me", "name:Björk"),
        ("me", "name:Can"),
        ("me", "name:Neu!"),
    ]
    assert records.items.names.to_list() == ["Björk", "Can", "Neu!"]
    assert records.period == (1_619_827_207, 1_672_617_600)
    assert (records.rows.read, records.rows.dropped, records.remark) == (3, {}, "")
    assert set(records.sources) == {
        f"MyData/{OLD}",
        f"Spotify Extended Streaming History/{NEW}",
    }


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (long(None, episode_name="an episode"), "episode of a podcast"),
        (long(None, spotify_episode_uri="spotify:episode:0"), "episode of a podcast"),
        (long(None, audiobook_title="a book"), "part of an audiobook"),
        (long(incognito_mode=True), "played in a private session"),
        (long(ms_played=29_999), "played for less than 30 seconds"),
        (short(msPlayed=0), "played for less than 30 seconds"),
    ],
)
def test_what_a_rule_leaves_out_is_readable(tmp_path: Path, play: Any, reason: str) -> None:
    write(tmp_path, NEW, *[play] * 9, long("Can"))

    records = read(tmp_path)

    assert rows_of(records) == [("me", "name:Can")]
    assert records.rows.dropped == {reason: 9}
    assert records.rows.are_mostly_readable
    assert records.rows.warning == ""


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (7, "neither endTime nor ts, so no play"),
        (None, "neither endTime nor ts, so no play"),
        ({"a": 1}, "neither endTime nor ts, so no play"),
        (long(None), "name of the artist is missing"),
        (long(["Can"]), "name of the artist is missing"),
        (short("a\0b"), "name of the artist with an invalid character"),
        (short("x" * 252), "id longer than 256 bytes"),
        (long(time="yesterday"), "timestamp missing or unreadable"),
        (long(time="1970-01-01T00:00:00Z"), "timestamp before 1990 or more than a day ahead"),
        (long(ms_played="soon"), "milliseconds played missing or no number"),
        (long(ms_played=-1), "milliseconds played missing or no number"),
    ],
)
def test_a_broken_play_is_dropped_for_its_reason(tmp_path: Path, play: Any, reason: str) -> None:
    write(tmp_path, NEW, play, long("Can"))

    records = read(tmp_path)

    assert rows_of(records) == [("me", "name:Can")]
    assert records.rows.dropped == {reason: 1}
    assert records.rows.unreadable == 1


def test_half_of_a_pair_in_a_name_is_no_end_of_the_file(tmp_path: Path) -> None:
    (tmp_path / OLD).write_text(json.dumps([short("\ud800x"), short(), {"endTime": {}}]))
    records = read(tmp_path)
    assert records.rows.read == 3
    assert ("me", "name:Björk") in rows_of(records)


def test_the_shortest_play_is_an_option(tmp_path: Path) -> None:
    write(tmp_path, OLD, short("Can", msPlayed=0), short(msPlayed=5_000))
    assert rows_of(read(tmp_path, least_seconds=5)) == [("me", "name:Björk")]
    assert len(read(tmp_path, least_seconds=0)) == 2
    for wrong in (-1, float("nan")):
        with pytest.raises(DatasetError, match="--least-seconds has to be a number of seconds"):
            read(tmp_path, least_seconds=wrong)


def test_a_play_in_both_histories_counts_once(tmp_path: Path) -> None:
    write(tmp_path, OLD, short(), short("Can"), short(time="2023-01-01 12:35"))
    write(tmp_path, NEW, long(), long("Neu!"))

    records = read(tmp_path)

    assert len(records) == 4
    assert records.rows.dropped == {
        "play of the account data that the extended history has as well": 1
    }


def test_a_play_of_a_private_session_is_not_known_from_the_account_data(tmp_path: Path) -> None:
    write(tmp_path, OLD, short(), short("Can"))
    write(tmp_path, NEW, long(incognito_mode=True))
    assert rows_of(read(tmp_path)) == [("me", "name:Can")]


def test_overlapping_files_count_once_but_a_file_may_repeat_itself(tmp_path: Path) -> None:
    write(tmp_path, NEW, long(), long())
    write(tmp_path, "endsong_0.json", long(), long("Can"))

    records = read(tmp_path)

    assert sorted(item for _, item in rows_of(records)) == ["name:Björk", "name:Björk", "name:Can"]
    assert records.rows.dropped == {"the same play as in another file": 1}


def test_each_account_is_a_folder_or_an_archive(tmp_path: Path) -> None:
    write(tmp_path / "anna" / "MyData", OLD, short())
    with zipfile.ZipFile(tmp_path / "bert.zip", "w") as archive:
        archive.writestr(f"Spotify Account Data/{OLD}", json.dumps([short()]))
        archive.writestr("Spotify Account Data/Userdata.json", "{}")
        archive.writestr("__MACOSX/Spotify Account Data/._" + OLD, "no JSON")

    records = read(tmp_path)

    assert rows_of(records) == [("anna", "name:Björk"), ("bert", "name:Björk")]
    assert set(records.sources) == {f"anna/MyData/{OLD}", "bert.zip"}
    assert rows_of(read(tmp_path / "bert.zip")) == [("me", "name:Björk")]
    assert rows_of(read(tmp_path / "anna", user_id="a")) == [("a", "name:Björk")]
    with pytest.raises(DatasetError, match="holds 2 accounts, and --user-id names only one"):
        read(tmp_path, user_id="a")


def test_it_has_to_be_clear_whose_a_file_is(tmp_path: Path) -> None:
    write(tmp_path / "anna", OLD, short())
    write(tmp_path, OLD, short())
    with pytest.raises(DatasetError, match=r"both directly and in the folder 'anna'.*of its own"):
        read(tmp_path)
    (tmp_path / OLD).unlink()
    write(tmp_path / "anna" / "older", OLD, short())
    with pytest.raises(DatasetError, match="lies in the folders anna and older, so it is unclear"):
        read(tmp_path)


def test_files_of_podcasts_are_named_and_not_read(tmp_path: Path) -> None:
    write(tmp_path, OLD, short())
    write(tmp_path, "StreamingHistory_podcast_0.json", {"podcastName": "p"})
    write(tmp_path, "Streaming_History_Video_2024.json", long("Can"))

    records = read(tmp_path)

    assert rows_of(records) == [("me", "name:Björk")]
    assert records.remark == (
        "files of podcasts, audiobooks and videos are not read: "
        "StreamingHistory_podcast_0.json, Streaming_History_Video_2024.json"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (
            b'[{"endTime": "2023-01-01 12:34"},\n{"art',
            "the JSON ends in the middle, in line 2, after",
        ),
        (b"[{}", "the JSON ends in the middle, in line 1"),
        (b'[{"a": 1},]', "is no JSON: line 1, column"),
        (b"<html>", r"is no JSON: line 1, column 1, at '<html>'"),
        (b'{"endTime": 1}', "holds one JSON object; expected an array"),
        (b"[" * 99_999, "nested too deep|ends in the middle"),
        (b"[]", "holds no plays"),
        (b"[1, 2]", r"none of its 2 plays can be used \(neither endTime nor ts, so no play: 2\)"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    write(tmp_path, NEW, long())
    (tmp_path / OLD).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path / OLD)


def test_a_folder_without_history_says_what_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "Userdata.json").write_text("{}")
    with pytest.raises(
        DatasetError, match=r"holds no StreamingHistory\*\.json or .*Userdata\.json"
    ):
        read(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        read(tmp_path / "missing")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "me.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(OLD, json.dumps([short(f"artist {number}") for number in range(99)]))
    content = bytearray(file.read_bytes())
    file.write_bytes(content[:200])
    with pytest.raises(DatasetError, match="is a damaged zip archive"):
        read(file)
    content[100] ^= 255
    file.write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged; download it again"):
        read(file)
