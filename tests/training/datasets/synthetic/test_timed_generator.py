from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.filters import Filters, preprocess
from training.datasets import LoadOptions, load_dataset
from training.datasets.lastfm_1k import PLAYS_FILE
from training.datasets.synthetic.generator import PLAYS, PROFILES, generate
from training.datasets.synthetic.sample_files import CARD
from training.datasets.synthetic.timed_generator import generate_timed
from training.errors import DatasetError

LINE = re.compile(
    r"user_\d{6}\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t([0-9a-f-]{36})?\t[^\t]+\t\tTrack \d+"
)
COLUMNS = ("user", "time", "mbid", "name", "track_mbid", "track")


def make(out: Path, drift: float = 1.0, users: int = 150, seed: int = 0) -> Path:
    generate_timed(out, users=users, artists=400, drift=drift, seed=seed)
    return out


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("timed"))


def read(folder: Path) -> pl.DataFrame:
    return pl.read_csv(
        folder / PLAYS_FILE,
        has_header=False,
        separator="\t",
        quote_char=None,
        new_columns=COLUMNS,
    )


def test_every_line_has_the_format_of_the_real_file(sample: Path) -> None:
    lines = (sample / PLAYS_FILE).read_text().splitlines()
    assert len(lines) > 20_000
    assert all(LINE.fullmatch(line) for line in lines)


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(
    sample: Path, tmp_path: Path
) -> None:
    content = (sample / PLAYS_FILE).read_bytes()
    assert (make(tmp_path / "again") / PLAYS_FILE).read_bytes() == content
    assert (make(tmp_path / "other", seed=1) / PLAYS_FILE).read_bytes() != content
    # Sizes beyond a chunk have streams of their own.
    assert len(read(make(tmp_path / "large", users=1100))["user"].unique()) == 1100


def test_the_loader_reads_every_row_with_its_time(sample: Path) -> None:
    plays = read(sample)
    records = load_dataset("synthetic", sample, LoadOptions())
    assert len(records) == len(plays) == json.loads((sample / CARD).read_text())["written"]["rows"]
    assert records.rows.dropped == {}
    assert records.timestamps is not None
    times = plays["time"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("s")
    assert sorted(records.timestamps) == sorted(times)
    assert times.min() >= 1_108_339_200  # type: ignore[operator] # 14 February 2005
    assert times.max() < 1_241_481_600  # type: ignore[operator] # 5 May 2009
    assert len(records.user_ids) == 150
    assert records.sources["generator"]["drift"] == 1.0


def test_users_come_and_go_and_play_some_artists_often(sample: Path) -> None:
    plays = read(sample)
    of_users = plays.group_by("user", maintain_order=True).agg(
        pl.col("time").is_sorted(descending=True),
        pl.col("time").first().alias("last"),
        pl.col("name").n_unique(),
    )
    assert of_users["user"].is_sorted()
    assert of_users["time"].all()
    assert 40 < of_users["name"].mean() < 58  # type: ignore[operator]
    assert 0.05 < (of_users["last"] < "2009-03").mean() < 0.4  # type: ignore[operator]
    often = plays.group_by("user", "name").len()["len"]
    assert often.median() <= 4  # type: ignore[operator]
    assert often.max() > 20  # type: ignore[operator]


def overlap_of_ends(folder: Path) -> float:
    """How much of the scenes of a user's last discoveries are those of the first, by co-listening.

    The mean cosine between the sum of the vectors of the first and of the last third of a user's
    artists; the vectors are from a truncated SVD of who listens to what.
    """
    interactions, _ = preprocess(load_dataset("synthetic", folder, LoadOptions()), Filters())
    user_items, timed = interactions.user_items, interactions.timed
    assert timed is not None
    table = np.zeros((user_items.n_users, user_items.n_items))
    table[user_items.row_of_each_pair(), user_items.indices] = 1
    table -= table.mean(axis=0)
    vectors = np.linalg.svd(table, full_matrices=False)[2][:20].T
    first_times, cosines = timed.first_times(), []
    for user in range(user_items.n_users):
        span = slice(int(user_items.indptr[user]), int(user_items.indptr[user + 1]))
        order = user_items.indices[span][np.argsort(first_times[span])]
        third = len(order) // 3
        one, other = vectors[order[:third]].sum(axis=0), vectors[order[-third:]].sum(axis=0)
        cosines.append(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return float(np.mean(cosines))


@pytest.mark.slow
def test_tastes_drift_as_fast_as_asked_for(tmp_path: Path) -> None:
    still, drifting, fast = (
        overlap_of_ends(make(tmp_path / str(drift), drift=drift, users=400))
        for drift in (0.0, 1.0, 3.0)
    )
    assert still > drifting + 0.1
    assert drifting > fast + 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": 1_000_000}, "at most 999,999 and 16,777,216 are made"),
        ({"users": 0}, "at least 1 user"),
        ({"artists": 20}, "cannot be drawn from 20 artists"),
        ({"drift": -0.1}, "drift must be 0 or above, not -0.1"),
        ({"drift": float("nan")}, "drift must be 0 or above"),
        ({"seed": -1}, "seed must be 0 or above"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    tmp_path: Path, change: dict[str, float], message: str
) -> None:
    arguments = {"users": 5, "artists": 60} | change
    with pytest.raises(DatasetError, match=message):
        generate_timed(tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def one(out: Path, *, overwrite: bool = False) -> None:
    generate(out, users=4, artists=60, overwrite=overwrite)


def other(out: Path, *, overwrite: bool = False) -> None:
    generate_timed(out, users=4, artists=60, overwrite=overwrite)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [(one, other, {CARD, PLAYS_FILE}), (other, one, {CARD, PROFILES, PLAYS})],
)
def test_a_sample_of_the_other_format_is_replaced_only_when_asked(
    tmp_path: Path, first: Callable[..., None], second: Callable[..., None], left: set[str]
) -> None:
    first(tmp_path)
    with pytest.raises(DatasetError, match="holds a sample already"):
        second(tmp_path)
    second(tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == left
    assert len(load_dataset("synthetic", tmp_path, LoadOptions())) > 0


def test_small_worlds_and_single_artists_work(tmp_path: Path) -> None:
    generate_timed(tmp_path, users=3, artists=1, mean_artists_per_user=1, drift=5)
    assert len(load_dataset("synthetic", tmp_path, LoadOptions()).item_ids) == 1
