"""Which data a command measures, as the options name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.artifacts.manifest import read_manifest
from app.artifacts.models_folder import ModelsFolder
from tests.training.cli.commands import QUICK, error_of, of_table, write_pairs
from training.cli import main
from training.cli.console import STDOUT, Output
from training.cli.options import (
    BaseOptions,
    ColumnOptions,
    DataOptions,
    PartOptions,
    SourceOptions,
)
from training.cli.reading import Data, read_data
from training.datasets import DATASETS
from training.errors import DatasetError


def read(train: Path, test: Path | None, *, test_optional: bool = True) -> Data:
    data = DataOptions(parts=PartOptions(train_file=train, test_file=test))
    return read_data(Output(STDOUT), BaseOptions(), data, test_optional=test_optional)


@pytest.mark.slow
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
    assert "60 training pairs, 14 test pairs; not in training: 1 test user and 1 test artist" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_a_ready_made_split_says_what_was_read_of_both_files(tmp_path: Path) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    pairs = [(1, 3), (3, 1), (3, 2), (3, 3), (2, 3)]
    test = write_pairs(tmp_path / "test.csv", pairs)
    with test.open("a") as file:
        file.write(",5\n")
    data = read(train, test)
    assert data.has_test
    assert data.warning == "1 of 6 rows (16.7%) cannot be read (user id is missing: 1)"
    assert data.name == data.manifest["name"] == "table"
    assert set(data.manifest["sources"]) == {"train.csv", "test.csv"}
    counts = {name: data.manifest[name] for name in ("rows_read", "users", "artists", "pairs")}
    assert counts == {"rows_read": 9, "users": 3, "artists": 3, "pairs": 8}
    assert data.manifest["rows_dropped"] == {"user id is missing": 1}
    assert data.interactions.user_items.nnz == 8


def test_training_alone_will_do_where_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    data = read(train, None)
    assert not data.has_test
    assert data.interactions.user_items.nnz == 3
    assert main(["evaluate", "--train", str(train)]) == 1
    assert "needs both --train FILE and --test FILE" in error_of(capsys)


def test_without_a_dataset_those_that_are_known_are_named() -> None:
    with pytest.raises(DatasetError, match=r"which dataset\? Give --dataset, one of lastfm-360k, "):
        read_data(Output(STDOUT), BaseOptions(), DataOptions(source=SourceOptions()))


def probably(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Returns which dataset the command line takes a path for that no --dataset names."""
    assert main(["train", "--data", str(path), "--models", str(path.parent / "models")]) == 1
    told = error_of(capsys)
    assert f"which dataset? Give --dataset, one of {', '.join(DATASETS)}; --data {path} " in told
    return told.partition("is probably ")[2]


def test_data_without_a_dataset_are_recognised_by_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sample: Path
) -> None:
    assert probably(tmp_path / "x.csv", capsys) == "table"
    assert probably(tmp_path, capsys) == "table"
    assert probably(tmp_path / "usersha1-artmbid-artname-plays.tsv", capsys) == "lastfm-360k"
    assert probably(sample, capsys) == "synthetic"
    assert probably(tmp_path / "StreamingHistory0.json", capsys) == "spotify"
    inside = tmp_path / "lastfm-dataset-1K"
    inside.mkdir()
    (inside / "userid-timestamp-artid-artname-traid-traname.tsv").touch()
    assert probably(inside, capsys) == probably(tmp_path, capsys) == "lastfm-1k"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "tune", "report"])
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--test", "y.csv"], "needs both --train FILE and --test FILE"),
        (["--train", "x", "--test", "y", "--dataset", "table"], "give either --dataset"),
        (["--train", "x", "--test", "y", "--data", "z"], "give either --dataset"),
        (["--train", "x", "--test", "y", "--top-users", "9"], "leave --top-users out"),
        (["--train", "x", "--test", "y", "--split", "k-fold"], "leave --split out"),
        (["--train", "x", "--test", "y", "--test-fraction", "0.1"], "leave --test-fraction out"),
        (["--train", "/no/such.csv", "--test", "y"], "/no/such.csv does not exist"),
        (["--folds", "3"], "takes no --folds"),
        ([], "which dataset? Give --dataset, one of lastfm-360k"),
        (["--dataset", "spotty", "--data", "x"], "lastfm-360k"),
        (
            ["--dataset", "lastfm-360k", "--user-column", "who"],
            "--user-column is an option of the dataset table; lastfm-360k does not take it",
        ),
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
        assert (
            "take a dataset with times (lastfm-1k, listenbrainz, yambda, or a table whose column "
            "of times --timestamp-column names) or another split"
        ) in error_of(capsys)


def test_filters_that_leave_nothing_are_named(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *of_table(table), "--min-user-records", "50"]) == 1
    assert "--min-user-records 50" in error_of(capsys)


@pytest.mark.slow
def test_test_pairs_that_training_has_as_well_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    test = write_pairs(tmp_path / "test.csv", [(1, 1), (2, 2)])
    parts = ["--train", str(train), "--test", str(test), *QUICK, "--k", "1"]
    assert main(["evaluate", *parts]) == 0
    assert "also in training, so that no list has them: 1 test pair" in capsys.readouterr().out
    parts[3] = str(train)
    assert main(["evaluate", *parts]) == 1
    assert "is it the same file?" in error_of(capsys)


def write_plays(path: Path, rows: int, unreadable: int, *, zero: int = 0) -> Path:
    """Writes a table in which the plays of some rows are no numbers, and of some zero."""
    plays = ["many"] * unreadable + ["0"] * zero + ["2"] * (rows - unreadable - zero)
    lines = [f'u{n % 7},x{n % 11},"{one}"' for n, one in enumerate(plays)]
    path.write_text("\n".join(["user_id,item_id,plays", *lines, ""]))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unreadable", "zero", "warned"),
    [(1, 150, False), (2, 0, False), (3, 150, True), (40, 0, True)],
)
def test_more_than_a_hundredth_of_unreadable_rows_is_warned_of_in_the_last_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unreadable: int,
    zero: int,
    warned: bool,
) -> None:
    table = write_plays(tmp_path / "plays.csv", 200, unreadable, zero=zero)
    tokens = [*of_table(table), *QUICK, "--no-evaluation", "--models", str(tmp_path / "models")]
    assert main(["train", *tokens]) == 0
    last = capsys.readouterr().err.strip().splitlines()[-1]
    expected = (
        f"warning: {unreadable} of 200 rows ({unreadable / 200:.1%}) cannot be read (plays missing "
        f"or no number: {unreadable}, for example 'many' in row 1 after the header)"
    )
    assert (last == expected) == warned
    assert last.startswith("warning") == warned


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "evaluate", "tune", "report"])
def test_more_than_a_fifth_of_unreadable_rows_is_refused_unless_allowed(
    tmp_path: Path, space: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    table = write_plays(tmp_path / "plays.csv", 200, 41)
    out = tmp_path / "out"
    where = {"train": ["--models", str(out)], "evaluate": ["--json", str(out)]}
    tokens = [command, *of_table(table), *where.get(command, ["--out", str(out)])]
    if command == "tune":
        tokens += ["--trials", "1", "--space", str(space)]
    assert main(tokens) == 1
    said = error_of(capsys)
    assert f"{table}: 41 of 200 rows (20.5%) cannot be read" in said
    assert "'many' in row 1" in said
    assert "--allow-unreadable" in said
    assert list(out.glob("*")) == []

    quick = {"tune": (), "train": (*QUICK, "--no-report")}.get(command, QUICK)
    assert main([*tokens, *quick, "--k", "1", "--allow-unreadable"]) == 0
    assert "warning: 41 of 200 rows (20.5%) cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_numbers_with_two_meanings_are_refused_and_nothing_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    # Was wrong: a thousands separator lost most rows, and what was left was published.
    table = tmp_path / "plays.csv"
    lines = [f'u{n % 7},x{n % 11},"{900 + 50 * n:,}"' for n in range(50)]
    table.write_text("\n".join(["user_id,item_id,plays", *lines, ""]))
    where = {"train": "--models", "evaluate": "--json"}
    tokens = [command, *of_table(table), where[command], str(tmp_path / "out")]
    assert main(tokens) == 1
    assert error_of(capsys) == (
        f"error: {table}: '1,000' in the column 'plays' can be 1 or 1000; --decimal \",\" or "
        '--thousands "," says which'
    )
    assert not (tmp_path / "out").exists()


def test_of_both_parts_of_a_ready_made_split_most_rows_have_to_be_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    test = write_plays(tmp_path / "test.csv", 200, 41)
    parts = ["evaluate", "--train", str(train), "--test", str(test), *QUICK, "--k", "1"]
    assert main(parts) == 1
    assert f"{test}: 41 of 200 rows" in error_of(capsys)


@pytest.mark.slow
def test_how_columns_were_understood_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "plays.csv"
    table.write_text("user_id,item_id,hours\nu,x,3\nu,y,4\nv,x,5\n")
    train = ["train", *of_table(table), *QUICK, "--no-evaluation", "--models", str(tmp_path / "m")]
    assert main([*train, "--json"]) == 0
    (line,) = [
        one for one in capsys.readouterr().err.splitlines() if one.startswith(f"note: {table}: ")
    ]
    assert line.startswith(f"note: {table}: each row counts as one play, since no column is called")
    assert "the file also has 'hours'" in line


@pytest.mark.slow
def test_the_period_is_shown_and_stands_in_manifest_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, models = tmp_path / "plays.csv", tmp_path / "models"
    lines = [f"u{n % 5},x{n % 7},{1241478537 + 86_400 * n}" for n in range(60)]
    table.write_text("\n".join(["user_id,item_id,timestamp", *lines, ""]))
    assert main(["train", *of_table(table), *QUICK, "--k", "1", "--models", str(models)]) == 0
    shown = capsys.readouterr().out
    assert "The records are from 2009-05-04T23:08:57Z to 2009-07-02T23:08:57Z" in shown
    version = ModelsFolder(models).current()
    assert version is not None
    period = read_manifest(models / version)["dataset"]["period"]
    assert period == {"first": "2009-05-04T23:08:57Z", "last": "2009-07-02T23:08:57Z"}
    report = (models / version / "report.html").read_text()
    assert "2009-05-04T23:08:57Z to 2009-07-02T23:08:57Z" in report


@pytest.mark.slow
def test_a_half_life_says_which_time_took_the_times_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "plays.csv"
    table.write_text("user_id,item_id,timestamp\nu,x,1241478537\nu,y,14.11.2023\nv,x,1241478537\n")
    tokens = ["train", *of_table(table), "--half-life", "30", "--models", str(tmp_path / "models")]
    assert main(tokens) == 1
    said = error_of(capsys)
    assert "'14.11.2023' in row 2 after the header" in said
    assert "With --timestamp-column only those rows are left out" in said
    assert main([*tokens, "--timestamp-column", "timestamp", "--allow-unreadable"]) == 0


def test_ids_of_one_part_that_differ_by_little_from_the_other_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    test = tmp_path / "test.csv"
    test.write_text("user_id,item_id\n1.0,3\n2,3\n")
    data = read(train, test)
    assert data.manifest["users"] == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "together: 1 user id differs from another by very little; --normalize-ids float" in said

    columns = ColumnOptions(normalize_ids="float")
    options = DataOptions(parts=PartOptions(train_file=train, test_file=test), columns=columns)
    data = read_data(Output(STDOUT), BaseOptions(), options)
    assert data.manifest["users"] == 2
    assert data.manifest["ids_normalized"] == ["float"]
    assert "--normalize-ids" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_notes_ids_and_the_artifact_says_how_they_were_normalised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{user}{'.0' * (item % 2)},a{item},1" for user in range(12) for item in range(12)]
    table = tmp_path / "plays.csv"
    table.write_text("user_id, item_id ,weight\n" + "\n".join([*rows, "NULL,a1,1"]) + "\n")

    tokens = ["train", *of_table(table), "--models", str(tmp_path / "models"), *QUICK]
    assert main([*tokens, "--normalize-ids", "float,nulls"]) == 1
    assert "'nulls' is not known; it takes some of nfc,strip,float,null" in error_of(capsys)
    assert not (tmp_path / "models").exists()

    assert main([*tokens, "--normalize-ids", "float,null"]) == 0
    folder = ModelsFolder(tmp_path / "models")
    version = folder.current()
    assert version is not None
    dataset = read_manifest(tmp_path / "models" / version)["dataset"]
    assert dataset["ids_normalized"] == ["float", "null"]
    note = "user id joined with another that differs only in a trailing .0"
    assert dataset["users_noted"] == {note: 12}
    assert dataset["rows_noted"] == {note: 72}
    assert dataset["users"] == 12
    page = (tmp_path / "models" / version / "report.html").read_text(encoding="utf-8")
    assert f"kept, although {note}" in page
