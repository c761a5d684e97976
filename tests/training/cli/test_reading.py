"""Which data a command measures, as the options name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.cli.commands import QUICK, error_of, of_table, write_pairs
from training.cli import main
from training.cli.console import Output
from training.cli.options import BaseOptions, DataOptions, PartOptions, SourceOptions
from training.cli.reading import Data, read_data
from training.errors import DatasetError


def read(train: Path, test: Path | None, *, test_optional: bool = True) -> Data:
    data = DataOptions(parts=PartOptions(train_file=train, test_file=test))
    return read_data(Output(quiet=True), BaseOptions(), data, test_optional=test_optional)


def test_evaluate_measures_a_ready_made_split(
    parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    tokens = [*parts, "--json", str(out), "--factors", "2", "--k", "1"]
    assert main(["evaluate", *tokens]) == 0
    result = json.loads(out.read_text())
    assert result["users"] == 13
    assert result["split"] == {
        "name": "ready-made",
        "users_without_training": 1,
        "items_without_training": 1,
        "pairs_in_training": 0,
    }
    # Twelve users find their artist; the unknown one is answered by popularity and misses.
    assert result["models"]["als"]["precision"] == pytest.approx(12 / 13)
    assert "60 training and 14 test pairs; 1 test users and 1 test artists are not in training" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_a_ready_made_split_says_what_was_read_of_both_files(tmp_path: Path) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    test = write_pairs(tmp_path / "test.csv", [(1, 3), (3, 1)])
    with test.open("a") as file:
        file.write(",5\n")
    data = read(train, test)
    assert data.has_test
    assert data.name == data.manifest["name"] == "table"
    assert set(data.manifest["sources"]) == {"train.csv", "test.csv"}
    counts = {name: data.manifest[name] for name in ("rows_read", "users", "artists", "pairs")}
    assert counts == {"rows_read": 6, "users": 3, "artists": 3, "pairs": 5}
    assert data.manifest["rows_dropped"] == {"user id is missing": 1}
    assert data.interactions.user_items.nnz == 5


def test_training_alone_will_do_where_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    data = read(train, None)
    assert not data.has_test
    assert data.interactions.user_items.nnz == 3
    assert main(["evaluate", "--train", str(train)]) == 1
    assert "wants both --train FILE and --test FILE" in error_of(capsys)


def test_without_a_dataset_those_that_are_known_are_named() -> None:
    with pytest.raises(DatasetError, match=r"which dataset\? Give --dataset, one of lastfm-360k, "):
        read_data(Output(quiet=True), BaseOptions(), DataOptions(source=SourceOptions()))


@pytest.mark.parametrize("command", ["evaluate", "tune", "report"])
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--test", "y.csv"], "wants both --train FILE and --test FILE"),
        (["--train", "x", "--test", "y", "--dataset", "table"], "give either --dataset"),
        (["--train", "x", "--test", "y", "--data", "z"], "give either --dataset"),
        (["--train", "x", "--test", "y", "--top-users", "9"], "leave --top-users out"),
        (["--train", "x", "--test", "y", "--split", "k-fold"], "leave --split out"),
        (["--train", "x", "--test", "y", "--test-fraction", "0.1"], "leave --test-fraction out"),
        (["--train", "/no/such.csv", "--test", "y"], "/no/such.csv does not exist"),
        (["--folds", "3"], "takes no --folds"),
        ([], "which dataset? Give --dataset, one of lastfm-360k"),
        (["--dataset", "spotify", "--data", "x"], "lastfm-360k"),
        (["--dataset", "table", "--data", "/no/such/file.csv"], "/no/such/file.csv"),
    ],
)
def test_contradicting_or_missing_sources_are_explained(
    command: str,
    tokens: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = [] if command == "evaluate" else ["--out", str(tmp_path / "out.toml")]
    assert main([command, *out, *tokens]) == 1
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_split_by_time_wants_times(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("global-time", "leave-last-out"):
        assert main(["evaluate", *of_table(table), *QUICK, "--split", split]) == 1
        assert "--timestamp-column" in error_of(capsys)


def test_filters_that_leave_nothing_are_named(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *of_table(table), "--min-user-records", "50"]) == 1
    assert "--min-user-records 50" in error_of(capsys)


def test_test_pairs_that_training_has_as_well_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    test = write_pairs(tmp_path / "test.csv", [(1, 1), (2, 2)])
    parts = ["--train", str(train), "--test", str(test), *QUICK, "--k", "1"]
    assert main(["evaluate", *parts]) == 0
    assert "1 test pairs are in training too, so no list hits them" in capsys.readouterr().out
    parts[3] = str(train)
    assert main(["evaluate", *parts]) == 1
    assert "is it the same file?" in error_of(capsys)
