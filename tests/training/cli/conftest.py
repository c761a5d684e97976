"""Files that commands read, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.cli.commands import N_USERS, SPACE, train, write_pairs
from training.cli import main


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated sample."""
    folder = tmp_path_factory.mktemp("sample")
    size = ["--users", str(N_USERS), "--artists", "90", "--mean-artists-per-user", "20"]
    assert main(["generate", *size, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def models(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one model of the sample, without a report; not to be written to."""
    folder = tmp_path_factory.mktemp("models")
    assert train(sample, folder, "--no-report", "--no-events") == 0
    return folder


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space of `tune` in which a trial is quick."""
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A small table of plays."""
    path = tmp_path / "plays.csv"
    rows = [
        f"u{user},a{artist},{1 + user * artist}"
        for user in range(12)
        for artist in range(9)
        if (user + artist) % 3
    ]
    path.write_text("\n".join(["user_id,item_id,weight", *rows]) + "\n")
    return path


@pytest.fixture(scope="session")
def timed_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of single plays, one a day, from 1 January 2009 on."""
    rng = np.random.default_rng(9)
    day = np.datetime64("2009-01-01")
    lines = [
        f"u{rng.integers(20)},a{int(rng.random() ** 2 * 25)},{day + number // 10}"
        for number in range(1000)
    ]
    path = tmp_path_factory.mktemp("timed") / "plays.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a ready-made split whose answers are certain.

    Even users play even artists, odd users odd ones. Artist u is hidden from user u; the test file
    has one user and one artist more than training.
    """
    folder = tmp_path_factory.mktemp("parts")
    board = [(user, item) for user in range(12) for item in range(12) if (user + item) % 2 == 0]
    train_file = write_pairs(folder / "train.csv", [pair for pair in board if pair[0] != pair[1]])
    hidden = [(user, user) for user in range(12)]
    test_file = write_pairs(folder / "test.csv", [*hidden, (99, 3), (0, 77)])
    return ["--train", str(train_file), "--test", str(test_file)]
