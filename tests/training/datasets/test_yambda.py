"""Yambda: flat and sequential files, artists of tracks, likes and dislikes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.yambda import load
from training.errors import DatasetError

# User, track, time, percentage of the track that was played.
LISTENS: Final = [
    (100, 7, 0, 100),
    (100, 7, 5, 49),
    (100, 8, 10, 50),
    (200, 9, 15, 159),
    (200, 10, 20, 100),
]
# Tracks 7 and 8 are of one artist, and 8 of another one as well; 10 has none.
ARTISTS: Final = [(1, 7), (1, 8), (2, 8), (3, 9), (3, 9)]

Row = tuple[str, str, int]


def events(*rows: tuple[int, ...], more: bool = False) -> pl.DataFrame:
    names = ["uid", "item_id", "timestamp", *(["played_ratio_pct"] if more else [])]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.UInt32), orient="row")
    length = [pl.lit(180, pl.UInt32).alias("track_length_seconds")] if more else []
    return frame.with_columns(pl.lit(1, pl.UInt8).alias("is_organic"), *length)


def write(folder: Path, *listens: tuple[int, ...], **others: pl.DataFrame) -> Path:
    """Writes a size as it is published."""
    size = folder / "flat" / "50m"
    size.mkdir(parents=True)
    events(*(listens or LISTENS), more=True).write_parquet(size / "listens.parquet")
    for name, frame in others.items():
        frame.write_parquet(size / f"{name}.parquet")
    columns = {"artist_id": pl.UInt32, "item_id": pl.UInt32}
    artists = pl.DataFrame(ARTISTS, schema=columns, orient="row")
    artists.write_parquet(folder / "artist_item_mapping.parquet")
    return folder


def read(path: Path, **options: Any) -> Records:
    return load(path, LoadOptions(**options))


def rows_of(records: Records) -> list[Row]:
    assert records.timestamps is not None
    codes = zip(records.user_codes, records.item_codes, records.timestamps, strict=True)
    return sorted((records.user_ids[int(u)], records.item_ids[int(i)], int(t)) for u, i, t in codes)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path, **options)
    return str(caught.value)


EXPECTED: Final = [("100", "1", 0), ("100", "1", 10), ("100", "2", 10), ("200", "3", 15)]


def test_each_artist_of_a_track_has_a_play(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for path in (folder, folder / "flat" / "50m", folder / "flat" / "50m" / "listens.parquet"):
        records = read(path)
        assert rows_of(records) == EXPECTED
        assert records.rows.read == 6
        assert records.rows.dropped == {
            "less than 50 % played": 1,
            "track without an artist in artist_item_mapping.parquet": 1,
        }
        assert records.rows.warning == ""
        assert records.rows.noted == {"play of one of several artists of a track": 2}
        assert records.period == (0, 15)
        assert "shown as if it were 1970" in records.remark
        names = {Path(name).name for name in records.sources}
        assert names == {"listens.parquet", "artist_item_mapping.parquet"}


def test_the_items_may_be_tracks_and_the_share_is_an_option(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "artist_item_mapping.parquet").unlink()
    assert "Put it beside listens.parquet, or give --items tracks" in refusal(folder)
    records = read(folder, items="tracks", least_played=0.0)
    assert rows_of(records) == sorted((str(u), str(i), t) for u, i, t, _ in LISTENS)
    assert records.rows.dropped == {}
    assert len(read(folder, items="tracks", least_played=100.0)) == 3
    for wrong in (-1.0, 101.0, float("nan")):
        assert "--least-played has to be a percentage" in refusal(folder, least_played=wrong)


@pytest.mark.parametrize("plural", [True, False])
def test_a_sequential_file_reads_as_a_flat_one(tmp_path: Path, *, plural: bool) -> None:
    folder = write(tmp_path)
    file = folder / "flat" / "50m" / "listens.parquet"
    lists = pl.read_parquet(file).group_by("uid", maintain_order=True).agg(pl.all())
    if plural:
        lists = lists.rename({"item_id": "item_ids", "timestamp": "timestamps"})
    file.unlink()
    (folder / "sequential" / "50m").mkdir(parents=True)
    lists.write_parquet(folder / "sequential" / "50m" / "listens.parquet")
    assert rows_of(read(folder)) == EXPECTED


def test_likes_that_were_taken_back_do_not_count(tmp_path: Path) -> None:
    likes = events((100, 7, 0), (100, 9, 5), (200, 7, 10), (200, 9, 10), (200, 9, 30))
    unlikes = events((100, 7, 5), (200, 9, 20), (200, 7, 5))
    folder = write(tmp_path, likes=likes, unlikes=unlikes)
    records = read(folder, interactions="likes")
    # The like of track 9 by user 200 was repeated after it was taken back.
    assert rows_of(records) == [
        ("100", "3", 5),
        ("200", "1", 10),
        ("200", "3", 10),
        ("200", "3", 30),
    ]
    assert records.rows.dropped == {"like that was taken back": 1}
    assert "likes have no length" in refusal(folder, interactions="likes", least_played=10.0)
    (folder / "flat" / "50m" / "unlikes.parquet").unlink()
    assert len(read(folder, interactions="likes")) == 5


def test_tracks_that_are_disliked_may_be_left_out(tmp_path: Path) -> None:
    dislikes, undislikes = events((100, 8, 99), (200, 9, 50)), events((200, 9, 60))
    folder = write(tmp_path, dislikes=dislikes, undislikes=undislikes)
    assert rows_of(read(folder)) == EXPECTED
    records = read(folder, disliked=False)
    assert rows_of(records) == [("100", "1", 0), ("200", "3", 15)]
    assert records.rows.dropped["track that the user dislikes"] == 2
    (folder / "flat" / "50m" / "dislikes.parquet").unlink()
    assert "--no-disliked needs dislikes.parquet beside" in refusal(folder, disliked=False)


def test_missing_values_are_counted(tmp_path: Path) -> None:
    folder = write(tmp_path)
    file = folder / "flat" / "50m" / "listens.parquet"
    frame = pl.read_parquet(file)
    columns = ("uid", "item_id", "timestamp", "played_ratio_pct")
    broken = [frame[:1].with_columns(pl.lit(None, pl.UInt32).alias(name)) for name in columns]
    pl.concat([frame, *(one.cast(frame.schema) for one in broken)]).write_parquet(file)
    records = read(folder)
    assert rows_of(records) == EXPECTED
    assert records.rows.dropped == {
        "user or track id missing": 2,
        "timestamp missing": 1,
        "played percentage missing": 1,
        "less than 50 % played": 1,
        "track without an artist in artist_item_mapping.parquet": 1,
    }


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "holds no listens.parquet" in refusal(tmp_path)
    folder = write(tmp_path / "a")
    size = folder / "flat" / "50m"
    write(tmp_path / "b")
    assert "holds several listens.parquet" in refusal(tmp_path)
    assert "holds no likes.parquet; it holds" in refusal(folder, interactions="likes")
    pl.DataFrame({"uid": [1], "timestamp": [1]}).write_parquet(size / "listens.parquet")
    assert (
        "has no column 'item_id', 'played_ratio_pct'; it has uid, timestamp. Is it a file of"
        in refusal(folder)
    )
    frame = events(*LISTENS, more=True).with_columns(pl.col("uid").cast(pl.String))
    frame.write_parquet(size / "listens.parquet")
    assert "the column 'uid' holds String, not numbers" in refusal(folder)
    (size / "listens.parquet").write_text("uid,item_id\n")
    assert "listens.parquet cannot be read" in refusal(folder)


@pytest.mark.slow
def test_a_model_is_measured_on_the_last_day(tmp_path: Path) -> None:
    day = 24 * 3600
    rows = [
        (user, track, day * track + 7 * user, 100)
        for user in range(1, 30)
        for track in range(7, 10)
        if (user + track) % 3
    ]
    rows += [(user, 11, 11 * day + user, 100) for user in range(1, 30, 2)]
    write(tmp_path, *rows)
    command = [sys.executable, "-m", "training", "evaluate", "--dataset", "yambda"]
    command += ["--data", str(tmp_path), "--items", "tracks", "--split", "yambda", "--json", "-"]
    command += ["--k", "1", "--iterations", "2", "--factors", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["split"] == {"name": "yambda", "at": None, "test_days": 1, "gap_minutes": 30}
    assert result["users"] == 15
