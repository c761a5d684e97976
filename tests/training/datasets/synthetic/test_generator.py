from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.training.datasets.synthetic.files import contents
from training.datasets import load_dataset
from training.datasets.synthetic.generator import PLAYS, PROFILES, generate
from training.datasets.synthetic.sample_files import CARD
from training.datasets.synthetic.world import (
    COUNTRIES,
    GENRES,
    build_world,
)
from training.errors import DatasetError

USERS, ARTISTS = 600, 500


UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    generate(folder, users=USERS, artists=ARTISTS)
    return folder


@pytest.fixture(scope="module")
def plays(sample: Path) -> pl.DataFrame:
    return pl.read_csv(
        sample / PLAYS,
        separator="\t",
        has_header=False,
        quote_char=None,
        new_columns=["user", "mbid", "name", "plays"],
    )


@pytest.fixture(scope="module")
def profiles(sample: Path) -> pl.DataFrame:
    return pl.read_csv(
        sample / PROFILES,
        separator="\t",
        has_header=False,
        quote_char=None,
        new_columns=["user", "gender", "age", "country", "signup"],
    )


def test_the_same_arguments_give_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path, users=USERS, artists=ARTISTS, seed=0)

    assert contents(tmp_path) == contents(sample)


def test_another_seed_gives_other_people(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path, users=USERS, artists=ARTISTS, seed=1)

    assert (tmp_path / PLAYS).read_bytes() != (sample / PLAYS).read_bytes()
    assert (tmp_path / PROFILES).read_bytes() != (sample / PROFILES).read_bytes()


def test_every_line_of_plays_has_the_format_of_the_real_file(sample: Path) -> None:
    line = re.compile(rf"[0-9a-f]{{40}}\t(|{UUID})\t[^\t]+\t\d+")

    for text in (sample / PLAYS).read_text().removesuffix("\n").split("\n"):
        assert line.fullmatch(text), text


def test_every_line_of_profiles_has_the_format_of_the_real_file(sample: Path) -> None:
    line = re.compile(r"[0-9a-f]{40}\t[mf]?\t(\d\d)?\t[A-Z][^\t]+\t[A-Z][a-z]{2} \d\d?, 200\d")

    for text in (sample / PROFILES).read_text().removesuffix("\n").split("\n"):
        assert line.fullmatch(text), text


def test_profiles_and_plays_have_the_same_users_in_the_same_ascending_order(
    plays: pl.DataFrame, profiles: pl.DataFrame
) -> None:
    users = profiles["user"].to_list()

    assert len(users) == USERS
    assert users == sorted(set(users))
    assert plays["user"].unique(maintain_order=True).to_list() == users
    assert plays["user"].rle_id().max() == USERS - 1


def test_profiles_leave_out_some_ages_and_genders(profiles: pl.DataFrame) -> None:
    assert set(profiles["gender"].unique()) == {"m", "f", None}
    assert 0.1 < profiles["age"].null_count() / USERS < 0.3
    assert profiles["age"].drop_nulls().cast(pl.Int64).to_numpy().min() >= 13
    assert set(profiles["country"]) <= set(COUNTRIES)
    assert profiles["country"].n_unique() > 10


def test_a_pair_comes_once_and_an_artist_has_one_name_and_one_id(plays: pl.DataFrame) -> None:
    artists = plays.unique(["mbid", "name"])

    assert plays.select("user", "name").is_duplicated().sum() == 0
    assert artists["name"].n_unique() == len(artists)
    assert artists["mbid"].drop_nulls().is_duplicated().sum() == 0
    assert 0.005 < artists["mbid"].null_count() / len(artists) < 0.06


def test_plays_descend_within_a_user(plays: pl.DataFrame) -> None:
    within = plays["user"].to_numpy()[1:] == plays["user"].to_numpy()[:-1]

    assert (np.diff(plays["plays"].to_numpy())[within] <= 0).all()


def test_every_artist_is_heard_where_rows_suffice(plays: pl.DataFrame) -> None:
    assert plays["name"].n_unique() == ARTISTS


def test_the_report_counts_what_was_written(tmp_path: Path) -> None:
    sample = generate(tmp_path, users=40, artists=700, mean_artists_per_user=10)

    lines = [line.split("\t") for line in (tmp_path / PLAYS).read_text().split("\n")[:-1]]
    assert sample.paths == (tmp_path / PLAYS, tmp_path / PROFILES, tmp_path / CARD)
    assert sample.rows == len(lines)
    assert sample.users == len({line[0] for line in lines}) == 40
    # 400 rows cannot name 700 artists.
    assert sample.artists == len({line[2] for line in lines}) < 700
    assert json.loads((tmp_path / CARD).read_text()) == {
        "generator": {
            "recipe": 1,
            "users": 40,
            "artists": 700,
            "mean_artists_per_user": 10.0,
            "seed": 0,
        },
        "written": {"rows": sample.rows, "users": 40, "artists": sample.artists},
    }


def test_plays_and_listeners_are_heavy_tailed(plays: pl.DataFrame) -> None:
    counts = plays["plays"].to_numpy()
    listeners = plays.group_by("name").len()["len"].to_numpy()

    assert 60 < np.median(counts) < 150
    assert counts.mean() > 1.6 * np.median(counts)
    assert counts.max() > 50 * np.median(counts)
    assert listeners.max() > 5 * np.median(listeners)
    assert 0.15 < listeners.max() / USERS < 0.6


def test_histories_have_the_length_asked_for(plays: pl.DataFrame) -> None:
    lengths = plays.group_by("user").len()["len"].to_numpy()

    assert lengths.mean() == pytest.approx(48.9, rel=0.03)
    assert lengths.min() < 15
    assert 80 < lengths.max() <= 165


def test_people_stay_within_a_few_genres(plays: pl.DataFrame) -> None:
    world = build_world(ARTISTS, 48.9, np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0]))
    genre = pl.DataFrame({"name": world.names, "genre": world.genre})
    shares = (
        plays.join(genre, on="name")
        .group_by("user", "genre")
        .len()
        .with_columns(share=pl.col("len") / pl.col("len").sum().over("user"))
    )
    together = shares.group_by("user").agg((pl.col("share") ** 2).sum())["share"].mean()
    overall = np.bincount(plays.join(genre, on="name")["genre"], minlength=len(GENRES)) / len(plays)

    # The chance that two artists of a user are of one genre, against two rows of anybody's.
    assert isinstance(together, float)
    assert together > 3 * (overall**2).sum()


def test_the_loader_reads_every_row_back(sample: Path, plays: pl.DataFrame) -> None:
    records = load_dataset("synthetic", sample)

    unplayed = int((plays["plays"] == 0).sum())
    assert records.dataset == "synthetic"
    assert len(records) == len(plays) - unplayed
    assert len(records.item_ids) == plays.filter(pl.col("plays") > 0)["name"].n_unique()
    assert records.sources["generator"]["users"] == USERS
    assert PLAYS in records.sources


def test_the_loader_takes_the_file_and_does_without_the_card(sample: Path, tmp_path: Path) -> None:
    copy = tmp_path / PLAYS
    copy.write_bytes((sample / PLAYS).read_bytes())

    records = load_dataset("synthetic", copy)

    assert records.dataset == "synthetic"
    assert "generator" not in records.sources


@pytest.mark.parametrize(("users", "artists", "mean"), [(1, 1, 1), (3, 60, 60), (50, 60, 48)])
def test_the_smallest_and_densest_samples_work(
    tmp_path: Path, users: int, artists: int, mean: float
) -> None:
    sample = generate(tmp_path, users=users, artists=artists, mean_artists_per_user=mean)

    assert sample.users == users
    assert users <= sample.rows <= users * artists


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"users": 0}, "at least 1 user"),
        ({"artists": 0}, "at least 1 user and 1 artist, not 30 and 0"),
        ({"users": 2**33}, "at most"),
        ({"mean_artists_per_user": 41}, "41 artists a user cannot be drawn from 40"),
        ({"mean_artists_per_user": 0.5}, "from 1 to the number of artists"),
        ({"mean_artists_per_user": float("nan")}, "from 1 to the number of artists"),
        ({"seed": -1}, "seed must be 0 or above, not -1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {
        "users": 30,
        "artists": 40,
        "mean_artists_per_user": 10,
        "seed": 0,
    } | changed
    with pytest.raises(DatasetError, match=re.escape(message)):
        generate(tmp_path / "out", **arguments)

    assert not (tmp_path / "out").exists()


def test_progress_is_told_of_every_user(tmp_path: Path) -> None:
    done: list[int] = []
    report: Callable[[int], None] = done.append

    generate(tmp_path, users=5000, artists=50, mean_artists_per_user=2, progress=report)

    assert len(done) > 1
    assert sum(done) == 5000


@pytest.mark.slow
def test_memory_stays_flat_whatever_the_number_of_users(tmp_path: Path) -> None:
    peaks = []
    for users in (10_000, 60_000):
        measured = (
            "import resource\n"
            "from pathlib import Path\n"
            "from training.datasets.synthetic.generator import generate\n"
            f"generate(Path({str(tmp_path / str(users))!r}), users={users}, artists=5000)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", measured], check=True, capture_output=True, text=True
        )
        peaks.append(int(run.stdout))

    assert peaks[1] < 1.25 * peaks[0]


def test_a_folder_without_a_sample_names_the_command_that_writes_one(tmp_path: Path) -> None:
    # Was wrong: it sent people to the page of the real Last.fm 360K.
    with pytest.raises(DatasetError, match=rf"generate --out {tmp_path}` writes one"):
        load_dataset("synthetic", tmp_path)
