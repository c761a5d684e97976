from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest

import encore
from app.events.event import Event
from app.store.address import open_store
from app.store.clock import now

SECONDS = [1_262_304_000, 1_262_304_060, 1_262_390_400]
FRAME = pl.DataFrame(
    {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["a", "b", "a"],
        "name": ["A", "B", "A"],
        "plays": [3, 1, 2],
        "timestamp": SECONDS,
    }
)


def rows_of(plays: encore.Plays) -> list[tuple[Any, ...]]:
    """User, artist, name, plays and time of each record."""
    records = plays.records
    users, items = records.user_ids.to_list(), records.items
    times = [None] * len(records) if records.timestamps is None else records.timestamps.tolist()
    return [
        (users[user], items.ids[item], items.names[item], count, time)
        for user, item, count, time in zip(
            records.user_codes.tolist(),
            records.item_codes.tolist(),
            records.plays.tolist(),
            times,
            strict=True,
        )
    ]


EXPECTED = [
    ("u1", "a", "A", 3.0, SECONDS[0]),
    ("u1", "b", "B", 1.0, SECONDS[1]),
    ("u2", "a", "A", 2.0, SECONDS[2]),
]


class FromArrow:
    """A table of another library, of which only the export to Arrow is known."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return FRAME.__arrow_c_stream__(requested_schema)


def frame_of_pandas() -> pandas.DataFrame:
    return pandas.DataFrame(FRAME.to_dict(as_series=False))


@pytest.mark.parametrize(
    "source",
    [FRAME, FRAME.lazy(), frame_of_pandas(), FromArrow()],
    ids=["polars", "lazy", "pandas", "arrow"],
)
def test_a_frame_is_read_whatever_made_it(source: Any) -> None:
    assert rows_of(encore.read(source)) == EXPECTED


def test_pairs_have_the_time_of_the_last_play() -> None:
    again = FRAME.with_columns(timestamp=pl.col("timestamp") + 5)
    pairs = encore.prepare(encore.read(pl.concat([again, FRAME]))).pairs
    assert pairs["plays"].to_list() == [6, 2, 4]
    assert pairs["last_played"].dt.epoch("s").to_list() == [one + 5 for one in SECONDS]
    assert pairs.schema["last_played"] == pl.Datetime("us", "UTC")
    without = encore.prepare(encore.read(FRAME.drop("timestamp"))).pairs
    assert without.columns == ["user_id", "artist_id", "name", "plays"]


def test_a_frame_is_read_as_a_file_with_the_same_columns(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "x.parquet")
    FRAME.write_csv(tmp_path / "x.csv")
    assert rows_of(encore.read(tmp_path / "x.parquet")) == EXPECTED
    assert rows_of(encore.read(str(tmp_path / "x.csv"))) == EXPECTED


@pytest.mark.parametrize(
    "times",
    [
        pandas.to_datetime(SECONDS, unit="s"),
        pandas.to_datetime(SECONDS, unit="s", utc=True).tz_convert("Asia/Tokyo"),
        [datetime.fromtimestamp(one, UTC).isoformat() for one in SECONDS],
        np.array(SECONDS, dtype=float),
    ],
    ids=["naive", "zoned", "text", "float"],
)
def test_times_of_pandas_have_every_form(times: Any) -> None:
    source = frame_of_pandas().assign(timestamp=times)
    assert rows_of(encore.read(source)) == EXPECTED


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float64", "object", "category", "string"])
def test_whole_numbers_of_pandas_are_ids(dtype: str) -> None:
    ids = pandas.Series([7, 8, 7], dtype="int64").astype(dtype)
    plays = encore.read(frame_of_pandas().assign(item_id=ids))
    assert plays.records.item_ids.to_list() == ["7", "8"]


def test_ids_that_pandas_made_floats_since_one_is_missing_stay_whole() -> None:
    source = frame_of_pandas().assign(item_id=[7, None, 2**40], name=None)
    plays = encore.read(source, allow_unreadable=True)
    assert plays.records.item_ids.to_list() == ["1099511627776", "7"]
    assert plays.records.rows.dropped == {"item id is missing": 1}


@pytest.mark.parametrize("ids", [[7.5, 8.0, 9.0], [7.0, 8.0, 2.0**60], [{}, [], 7], [b"7", {}, 1]])
def test_other_ids_are_refused(ids: list[Any]) -> None:
    with pytest.raises(encore.EncoreError, match=r"the column 'item_id' holds .* whole numbers"):
        encore.read(frame_of_pandas().assign(item_id=ids))


def test_what_a_grouping_of_pandas_leaves_is_read() -> None:
    grouped = frame_of_pandas().groupby(["user_id", "item_id", "name", "timestamp"]).sum()
    assert rows_of(encore.read(grouped)) == EXPECTED


def test_columns_without_use_may_hold_anything() -> None:
    things = [{"a": 1}, object(), [1]]
    assert rows_of(encore.read(frame_of_pandas().assign(more=things))) == EXPECTED


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (FRAME.rename({"user_id": "who"}), {}, "no column 'user_id'; it has 'who'.*user_column"),
        (FRAME, {"user_colum": "who"}, "takes no user_colum; did you mean user_column"),
        (FRAME, {"quoting": True}, "^quoting is not for DataFrames; leave it out$"),
        (FRAME, {"dataset": "movielens"}, "a DataFrame is read as table"),
        (FRAME.clear(), {}, "the DataFrame is empty"),
        (FRAME.with_columns(plays=pl.lit("x")), {}, "none of its 3 rows can be used"),
        (pandas.concat([frame_of_pandas()] * 2, axis=1), {}, "2 columns 'user_id'"),
        (None, {}, "read what.*movielens"),
        (frame_of_pandas()["plays"], {}, "is one column; a DataFrame has users and artists"),
        (7, {}, "a DataFrame or a path is read, and this is int"),
        ("no-such.csv", {}, "no-such.csv does not exist"),
        ("x", {"dataset": "lastfm"}, "there is no dataset 'lastfm'"),
    ],
)
def test_what_cannot_be_read_is_refused(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(encore.EncoreError, match=message):
        encore.read(source, **options)


def test_plays_that_are_text_take_the_options_of_numbers() -> None:
    # Was wrong: the message named these options, which were refused.
    frame = FRAME.with_columns(plays=pl.lit("1,234"))
    with pytest.raises(encore.EncoreError, match='decimal "," or thousands "," would read it'):
        encore.read(frame)
    assert set(encore.read(frame, thousands=",").records.plays) == {1234}


def test_unreadable_rows_are_counted_and_noted() -> None:
    more = pl.concat([FRAME] * 10)
    bad = more.with_columns(
        plays=pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise(pl.col("plays"))
    )
    plays = encore.read(bad)
    assert len(plays) == 28
    assert "2 of 30 rows (6.7%) cannot be read (plays missing" in plays.notes[-1]
    assert "left out: plays missing or no number" in repr(plays)
    assert plays.notes[-1] in repr(plays)


def test_a_notebook_shows_a_table_in_which_names_are_only_text() -> None:
    plays = encore.read(FRAME.with_columns(item_id=pl.lit("<script>")))
    assert "<td>rows read</td><td>3</td>" in plays._repr_html_()
    assert "<script>" not in plays._repr_html_()


def test_erased_users_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/encore.db"
    store = open_store(url)
    event = Event("u1", "a")
    store.append([event], now())
    store.erase("u1", now())
    store.close()
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    plays = encore.read(FRAME)
    assert rows_of(plays) == EXPECTED[2:]
    assert any("left out, of users who were erased" in note for note in plays.notes)


def test_a_store_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encore.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("ENCORE_DATABASE_URL", f"sqlite:///{tmp_path}/encore.db")
    with pytest.raises(encore.EncoreError, match="unknown who was erased"):
        encore.read(FRAME)
