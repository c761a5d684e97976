"""Listens of ListenBrainz: dumps, exports and Spark dumps; artists, users and what is broken."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.listenbrainz import load
from training.datasets.reading import json_lines
from training.errors import DatasetError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ANN, BOB, CAT = (f"{number}0000000-0000-4000-8000-000000000000" for number in "abc")
TIME: Final = 1_700_000_000
DUMP: Final = "listenbrainz-listens-dump-1-20240101-000003-full"

Row = tuple[str, str]


def listen(user: str | None = "u", artist: Any = "Ann", at: Any = TIME, **more: Any) -> Any:
    """A line of a dump."""
    about = {"artist_mbids": more.pop("sent", []), "recording_msid": "m", "tracknumber": 1}
    return {
        "user_id": 1,
        "user_name": user,
        "timestamp": at,
        "track_metadata": {
            "artist_name": artist,
            "track_name": more.pop("track", "a track"),
            "release_name": None,
            "additional_info": about,
        }
        | more,
        "recording_msid": "m",
    }


def exported(artist: str = "Ann", at: Any = TIME, mapping: Any = None, **more: Any) -> Any:
    """A line of an export, which has no user, and its times with a fraction."""
    line = listen(None, artist, **more)
    line["track_metadata"]["mbid_mapping"] = mapping
    return {"listened_at": at, "inserted_at": at, "track_metadata": line["track_metadata"]}


def mapping(*artists: tuple[str | None, str | None], named: bool = True) -> Any:
    found: dict[str, Any] = {"recording_mbid": "r", "artist_mbids": [mbid for mbid, _ in artists]}
    if named:
        found["artists"] = [
            {"artist_mbid": mbid, "artist_credit_name": name, "join_phrase": " & "}
            for mbid, name in artists
        ]
    return found


def text_of(*lines: Any) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)


def write(file: Path, *lines: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text_of(*lines))
    return file


def pack(file: Path, members: dict[str, bytes], ending: str = ".tar.zst") -> Path:
    """Writes an archive as dumps are packed."""
    opened: Any = zstd.open(file, "wb") if ending == ".tar.zst" else file.open("wb")
    with opened as out, tarfile.open(fileobj=out, mode="w|") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def members(*lines: Any) -> dict[str, bytes]:
    return {
        f"{DUMP}/TIMESTAMP": b"2024-01-01 00:00:03",
        f"{DUMP}/SCHEMA_SEQUENCE": b"1",
        f"{DUMP}/COPYING": b"no listens",
        f"{DUMP}/listens/2023/11.listens": text_of(*lines).encode(),
        f"{DUMP}/listens/2023/12.listens": text_of(listen("v", "Dan")).encode(),
    }


def read(path: Path, **options: Any) -> Records:
    return load(path, LoadOptions(**options))


def rows_of(records: Records) -> list[Row]:
    codes = zip(records.user_codes, records.item_codes, strict=True)
    return sorted((records.user_ids[int(u)], records.item_ids[int(i)]) for u, i in codes)


def names_of(records: Records) -> dict[str, str]:
    return dict(zip(records.items.ids, records.items.names, strict=True))


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path, **options)
    return str(caught.value)


def test_a_folder_and_an_archive_of_a_dump_read_alike(tmp_path: Path) -> None:
    content = members(listen(sent=[ANN]), listen("v", "Bob", TIME + 1))
    for name, text in content.items():
        write(tmp_path / "folder" / name).write_bytes(text)
    archives = [
        pack(tmp_path / f"{DUMP}.tar.zst", content),
        pack(tmp_path / f"{DUMP}.tar", content, ".tar"),
    ]
    expected = [("u", ANN), ("v", "name:Bob"), ("v", "name:Dan")]
    for path in (tmp_path / "folder", *archives):
        records = read(path)
        assert rows_of(records) == expected
        assert names_of(records)[ANN] == "Ann"
        assert records.period == (TIME, TIME + 1)
        assert (records.rows.read, records.rows.dropped) == (3, {})
    assert set(read(archives[0]).sources) == {archives[0].name}
    assert set(read(tmp_path / "folder").sources) == {
        f"{DUMP}/listens/2023/11.listens",
        f"{DUMP}/listens/2023/12.listens",
    }


def test_an_archive_may_be_packed_in_small_blocks(tmp_path: Path) -> None:
    tar = pack(tmp_path / "a.tar", members(listen(sent=[ANN])), ".tar").read_bytes()
    with zstd.open(tmp_path / "b.tar.zst", "wb") as packed:
        for begin in range(0, len(tar), 100):
            packed.write(tar[begin : begin + 100])
            packed.flush()
    assert rows_of(read(tmp_path / "b.tar.zst")) == [("u", ANN), ("v", "name:Dan")]


def test_a_listen_counts_once_although_it_is_in_two_dumps(tmp_path: Path) -> None:
    pack(tmp_path / f"{DUMP}.tar.zst", members(listen(), listen(track="another")))
    write(tmp_path / "listens" / "2023" / "11.listens", listen(), listen("w"))
    records = read(tmp_path)
    assert rows_of(records) == [("u", "name:Ann")] * 2 + [("v", "name:Dan"), ("w", "name:Ann")]
    assert records.rows.dropped == {"the same listen as another one": 1}
    assert records.rows.warning == ""


def test_each_artist_of_a_listen_has_a_play(tmp_path: Path) -> None:
    both = mapping((ANN, "Ann"), (BOB, "Bob B."))
    lines = [
        listen(artist="Ann & Bob", mbid_mapping=both),
        listen("v", artist="Bob & Cat", sent=[BOB, CAT.upper()]),
        listen("w", artist="Ann & Bob", mbid_mapping=mapping((ANN, None), named=False), sent=[CAT]),
        listen("x", artist="Ann & a friend", mbid_mapping=mapping((ANN, "Ann"), (None, "Eve"))),
        listen("y", artist="Ann", sent=[ANN, ANN]),
    ]
    records = read(write(tmp_path / "1.listens", *lines))
    assert rows_of(records) == [
        ("u", ANN),
        ("u", BOB),
        ("v", BOB),
        ("v", CAT),
        ("w", ANN),
        ("x", ANN),
        ("x", "name:Eve"),
        ("y", ANN),
    ]
    # The name of a listen is no name of one of its artists.
    assert names_of(records) == {ANN: "Ann", BOB: "Bob B.", CAT: CAT, "name:Eve": "Eve"}
    assert records.rows.noted["play of one of several artists of a listen"] == 7
    assert records.plays.tolist() == [1.0] * 8


def test_a_name_without_mbid_is_matched_as_in_other_datasets(tmp_path: Path) -> None:
    lines = [listen(sent=[ANN]), listen("v"), listen("w", "Bob"), listen("x", sent=["nonsense"])]
    records = read(write(tmp_path / "1.listens", *lines[:3]))
    assert rows_of(records) == [("u", ANN), ("v", ANN), ("w", "name:Bob")]
    assert records.rows.noted == {
        "name without MBID matched to its only MBID": 1,
        "artist without MBID, known by name": 1,
    }
    assert read(tmp_path, drop_items_without_id=True).item_codes.tolist() == [0, -1, -1]
    records = read(write(tmp_path / "1.listens", lines[-1]))
    assert rows_of(records) == [("x", "nonsense")]
    assert records.rows.noted == {"artist MBID is no UUID, kept as it is": 1}


@pytest.mark.parametrize("block", [2**24, 300])
def test_a_broken_line_is_counted_with_an_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    lines = [listen(f"u{number}") for number in range(30)]
    lines[20] = json.dumps(lines[20])[:100]
    records = read(pack(tmp_path / "a.tar.zst", members(*lines)))
    assert records.rows.read == 31
    assert len(records) == 30
    assert records.rows.dropped == {"line is no JSON object": 1}
    assert records.rows.examples == {
        "line is no JSON object": f"'{lines[20][:80]}…' in row 21 of {tmp_path}/a.tar.zst/{DUMP}"
        "/listens/2023/11.listens"
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7", "line is no JSON object"),
        ('["listen"]', "line is no JSON object"),
        ('{"user_name":"u"} {"user_name":"v"}', "line is no JSON object"),
        ({"a": 1}, "name of the user is missing"),
        (listen(None), "name of the user is missing"),
        (listen("u" * 257), "id longer than 256 bytes"),
        (listen("u\ud800"), "name of the user with invalid UTF-8"),
        (listen(at=0), "timestamp before 1990 or more than a day ahead"),
        (listen(at=4_000_000_000), "timestamp before 1990 or more than a day ahead"),
        (listen(at=None), "timestamp missing or unreadable"),
        (listen(at="soon"), "timestamp missing or unreadable"),
        (listen(artist=None), "neither artist MBID nor name"),
        (listen() | {"track_metadata": "text"}, "neither artist MBID nor name"),
        (listen() | {"track_metadata": [1]}, "neither artist MBID nor name"),
        (listen(artist="x" * 252), "id longer than 256 bytes"),
    ],
)
def test_a_line_that_cannot_be_used_has_its_reason(tmp_path: Path, line: Any, reason: str) -> None:
    records = read(write(tmp_path / "1.listens", listen("v", "Bob"), line))
    assert rows_of(records) == [("v", "name:Bob")]
    assert records.rows.dropped == {reason: 1}
    assert records.rows.read == 2


def test_examples_show_times_as_they_were_written(tmp_path: Path) -> None:
    lines = [listen(at="soon"), listen(at=17), listen(at=18), listen("v")]
    file = write(tmp_path / "1.listens", *lines)
    assert read(file).rows.examples == {
        "timestamp missing or unreadable": f"'soon' of {file}",
        "timestamp before 1990 or more than a day ahead": f"'17' of {file}",
    }


def test_a_field_of_another_type_is_a_missing_one(tmp_path: Path) -> None:
    lines = [
        listen(sent=f"{ANN},{BOB}"),
        listen("v", mbid_mapping="text"),
        listen("w", sent=[None, 7]),
        listen("x", mbid_mapping={"artists": "text", "artist_mbids": [BOB]}),
    ]
    records = read(write(tmp_path / "1.listens", *lines))
    assert rows_of(records) == [("u", "name:Ann"), ("v", "name:Ann"), ("w", "7"), ("x", BOB)]


@pytest.mark.parametrize("name", ["anna", "anna_b_1"])
def test_an_export_as_it_was_downloaded(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"listenbrainz_{name}_1700000000.zip"
    lines = [exported(at=TIME + 0.25, mapping=mapping((ANN, "Ann"))), exported("Bob")]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("listens/2023/11.jsonl", text_of(*lines))
        archive.writestr("listens/2023/12.jsonl", text_of(exported("Cat", TIME + 1)))
        archive.writestr("feedback.jsonl", text_of({"score": 1}))
        archive.writestr("pinned_recording.jsonl", text_of({"created": 1}))

    expected = [(name, ANN), (name, "name:Bob"), (name, "name:Cat")]
    assert rows_of(read(file)) == expected
    assert rows_of(read(tmp_path)) == expected
    assert [user for user, _ in rows_of(read(file, user_id="me too"))] == ["me too"] * 3
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("user.json", '{"user_id": 1, "username": "Anna B."}\n')
    assert read(file).user_ids.to_list() == ["Anna B."]


def test_accounts_are_folders_or_archives(tmp_path: Path) -> None:
    write(tmp_path / "anna" / "listens" / "2023" / "1.jsonl", exported())
    write(tmp_path / "bert" / "user.json", {"user_id": 1, "username": "Bert"})
    write(tmp_path / "bert" / "listens" / "2023" / "1.jsonl", exported())
    write(tmp_path / "bert" / "listens" / "2023" / "2.jsonl", exported(at=TIME + 1))
    records = read(tmp_path)
    assert rows_of(records) == [("Bert", "name:Ann")] * 2 + [("anna", "name:Ann")]
    assert "holds 2 accounts, and --user-id names only one" in refusal(tmp_path, user_id="me")
    assert read(tmp_path / "anna").user_ids.to_list() == ["me"]
    assert read(tmp_path / "bert").user_ids.to_list() == ["Bert"]


def test_listens_of_the_api_name_their_user(tmp_path: Path) -> None:
    lines = [exported() | {"user_name": "anna"}, exported("Bob") | {"user_name": "anna"}]
    file = tmp_path / "anna_lb-2023-11-20.json"
    file.write_text(json.dumps(lines, indent=1))
    assert rows_of(read(file)) == [("anna", "name:Ann"), ("anna", "name:Bob")]
    assert "name their users, for example 'anna', and --user-id is" in refusal(file, user_id="b")
    assert rows_of(read(file, user_id="anna")) == rows_of(read(file))


def test_user_id_is_for_exports(tmp_path: Path) -> None:
    file = write(tmp_path / "1.listens", listen())
    assert "holds no export of an account (*.jsonl), and --user-id" in refusal(file, user_id="me")


def spark(*, unit: str = "ms") -> bytes:
    """A file of a Spark dump, whose users are numbers."""
    file = io.BytesIO()
    frame = pl.DataFrame(
        {
            "listened_at": [
                datetime.fromtimestamp(TIME + n, UTC).replace(tzinfo=None) for n in (0, 1, 2)
            ],
            "created": [None] * 3,
            "user_id": [7, 8, None],
            "recording_msid": ["m"] * 3,
            "artist_name": ["Ann & Bob", "Cat", "Ann"],
            "artist_credit_id": [1, None, 1],
            "recording_name": ["t"] * 3,
            "artist_credit_mbids": [[ANN, BOB], None, [ANN]],
        }
    )
    frame.with_columns(pl.col("listened_at").dt.cast_time_unit(unit)).write_parquet(file)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_spark_dump(tmp_path: Path) -> None:
    name = "listenbrainz-spark-dump-1-20240101-000003-full"
    content = {
        f"{name}/COPYING": b"",
        f"{name}/0.parquet": spark(),
        f"{name}/1.parquet": spark(unit="us"),
    }
    archive = pack(tmp_path / f"{name}.tar", content, ".tar")
    records = read(archive)
    assert rows_of(records) == [("7", ANN), ("7", BOB), ("8", "name:Cat")]
    assert records.period == (TIME, TIME + 1)
    assert records.rows.dropped == {
        "name of the user is missing": 2,
        "the same listen as another one": 3,
    }
    (tmp_path / "0.parquet").write_bytes(spark())
    assert rows_of(read(tmp_path / "0.parquet")) == rows_of(records)
    pl.DataFrame({"user_id": [1], "listened_at": [1]}).write_parquet(tmp_path / "0.parquet")
    assert refusal(tmp_path / "0.parquet").endswith(
        "0.parquet has no column 'artist_name', 'recording_name', 'artist_credit_mbids'; "
        "is it a file of a Spark dump?"
    )


@pytest.mark.parametrize("ending", [".tar.zst", ".tar"])
def test_an_archive_that_ends_in_the_middle_is_refused(tmp_path: Path, ending: str) -> None:
    lines = [listen(f"u{number * 7919 % 1000}", at=TIME + number) for number in range(300)]
    whole = pack(tmp_path / f"a{ending}", members(*lines), ending).read_bytes()
    place = whole.find(b"listens/2023/12.listens")
    cuts = [len(whole) // 2, len(whole) - 30]
    if ending == ".tar":
        # tarfile takes the beginning of a member for the end.
        cuts = [len(whole) // 4, place - len(DUMP) - 1, place + 100]
    for cut in cuts:
        file = tmp_path / f"cut{ending}"
        file.write_bytes(whole[:cut])
        assert "ends in the middle" in refusal(file)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar", members(listen()), ".tar").read_bytes()
    broken = bytearray(whole)
    broken[whole.find(b"listens/2023/12.listens")] ^= 1  # the checksum of a header
    (tmp_path / "b.tar").write_bytes(broken)
    assert "is damaged at byte 4,096 (tar: neither a member nor the" in refusal(tmp_path / "b.tar")
    (tmp_path / "b.tar").write_bytes(whole + whole)
    assert "is damaged at byte" in refusal(tmp_path / "b.tar")  # the second is not left out


def test_hostile_members_are_read_and_never_written(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    content = {"../../evil.listens": text_of(listen()).encode(), "/abs/x.txt": b"x"}
    file = pack(place / "a.tar", content, ".tar")
    with tarfile.open(file, "a") as archive:
        link = tarfile.TarInfo("link.listens")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert rows_of(read(file)) == [("u", "name:Ann")]
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["a.tar"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zstd.compress(b"x"), "1.listens is compressed inside its archive (zstd); unpack it"),
        (text_of(listen()).encode("utf-16"), "1.listens is UTF-16 text; save it as UTF-8"),
    ],
)
def test_members_of_another_kind_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(pack(tmp_path / "a.tar", {"x/1.listens": content}, ".tar"))


def test_what_is_no_listen_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert (
        "holds no *.listens or *.parquet or *.jsonl or *.json, and no archive (*.tar, *.tar.zst) "
        "of such files; it holds notes.txt" in refusal(tmp_path)
    )
    file = write(tmp_path / "feedback.jsonl", {"score": 1, "created": TIME})
    assert refusal(file).startswith(f"{file}: none of its 1 listens can be used (timestamp missing")
    empty = pack(tmp_path / "a.tar", {"x/COPYING": b"x"}, ".tar")
    assert "holds no listens. Are they listens from https://listenbrainz.org/data/" in refusal(
        empty
    )
    assert "does not exist" in refusal(tmp_path / "missing")


@pytest.mark.slow
def test_a_model_is_trained_from_a_dump(tmp_path: Path) -> None:
    lines = [
        listen(f"u{user}", f"Artist {(user + n) % 9}", TIME + n, track=str(n))
        for user in range(12)
        for n in range(6)
    ]
    lines[5] = "{broken"
    archive = pack(tmp_path / f"{DUMP}.tar.zst", members(*lines))
    command = [sys.executable, "-m", "training", "train", "--dataset", "listenbrainz"]
    command += ["--data", str(archive), "--models", str(tmp_path / "models"), "--no-events"]
    command += ["--no-evaluation", "--iterations", "2", "--factors", "4", "--half-life", "30"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "line is no JSON object" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
