"""The command line as a user meets it, on files in a temporary folder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.artifact import open_model
from app.recommender import Query, Recommender
from app.versions import current_version, list_versions
from training.cli import main

QUICK = ["--factors", "8", "--iterations", "3"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated sample."""
    folder = tmp_path_factory.mktemp("sample")
    assert main(["generate", "--users", "300", "--artists", "400", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def models(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one model of the sample."""
    folder = tmp_path_factory.mktemp("models")
    assert train(sample, folder) == 0
    return folder


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


def train(sample: Path, models: Path, *more: str) -> int:
    source = ["--dataset", "synthetic", "--data", str(sample), "--models", str(models)]
    return main(["train", *source, *QUICK, *more])


def exit_code(*tokens: str) -> int:
    """Runs tokens that the option parser itself refuses."""
    with pytest.raises(SystemExit) as caught:
        main(tokens)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_train_publishes_a_model_that_answers_and_names_its_data(models: Path) -> None:
    version = current_version(models)
    assert version is not None
    model = open_model(models / version)
    answer = Recommender(model).recommend(Query(user_id=model.users.id(0)))
    assert len(answer.items) == 10
    assert answer.source == "als"
    card = model.card
    assert card["dataset"]["name"] == "synthetic"
    assert card["dataset"]["users"] == 300
    assert card["parameters"]["confidence"] == "1 + alpha * weight"
    assert card["metrics"]["measured_on"].startswith("a split of the same data")
    assert (
        card["metrics"]["models"]["als"]["ndcg"] > card["metrics"]["models"]["popularity"]["ndcg"]
    )
    assert model.top_lists is not None
    assert model.top_lists.items.shape == (300, 100)


def test_train_shows_what_was_read_and_measured(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path, "--top-lists", "0") == 0
    shown = capsys.readouterr()
    assert "rows in the files" in shown.out
    assert "NDCG" in shown.out
    assert f"published {current_version(tmp_path)}" in shown.out
    assert "ALS iterations" in shown.err
    version = current_version(tmp_path)
    assert version is not None
    assert open_model(tmp_path / version).top_lists is None


def test_train_json_is_one_object_on_stdout(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path, "--json", "--no-evaluation") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["version"] == current_version(tmp_path)
    assert result["metrics"] is None
    assert result["parameters"]["factors"] == 8


def test_same_data_and_seed_give_the_same_arrays_and_another_seed_others(
    sample: Path, models: Path, tmp_path: Path
) -> None:
    assert train(sample, tmp_path / "same") == 0
    assert train(sample, tmp_path / "other", "--seed", "1") == 0

    def arrays(folder: Path) -> dict[str, bytes]:
        version = current_version(folder)
        assert version is not None
        return {path.name: path.read_bytes() for path in (folder / version).glob("*.npy")}

    first = arrays(models)
    assert arrays(tmp_path / "same") == first
    assert arrays(tmp_path / "other")["item_factors.npy"] != first["item_factors.npy"]


def test_models_list_marks_the_current_one(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models", str(models), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["state"]) for row in rows] == [
        (current_version(models), "current")
    ]
    assert main(["models", "list", "--models", str(models)]) == 0
    shown = capsys.readouterr().out
    assert str(current_version(models)) in shown
    assert "current" in shown


def test_models_list_of_an_empty_folder_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models", str(tmp_path)]) == 0
    assert "no model" in capsys.readouterr().out
    assert main(["models", "verify", "--models", str(tmp_path)]) == 1
    assert "no model" in error_of(capsys)


def test_models_verify_finds_a_flipped_bit_and_names_the_file(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path, "--no-evaluation") == 0
    assert main(["models", "verify", "--models", str(tmp_path)]) == 0
    assert "as published" in capsys.readouterr().out
    assert main(["models", "verify", "--models", str(tmp_path), "--json"]) == 0
    (intact,) = json.loads(capsys.readouterr().out)
    assert intact["ok"] is True
    assert intact["bytes"] > 10_000
    (version,) = list_versions(tmp_path)
    path = tmp_path / version / "item_factors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["models", "verify", version, "--models", str(tmp_path)]) == 1
    message = error_of(capsys)
    assert "item_factors.npy" in message
    assert "SHA-256" in message
    assert main(["models", "verify", "--models", str(tmp_path), "--json"]) == 1
    (broken,) = json.loads(capsys.readouterr().out)
    assert (broken["version"], broken["ok"]) == (version, False)
    assert "item_factors.npy" in broken["error"]


def test_export_writes_the_lists_of_the_current_model(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists.parquet"
    assert main(["export", "--models", str(models), "--out", str(out), "--n", "3"]) == 0
    assert "300 users" in capsys.readouterr().out
    assert pl.read_parquet(out).height == 900
    tokens = ["export", "--models", str(models), "--out", str(out), "--n", "2", "--json"]
    assert main(tokens) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": current_version(models),
        "users": 300,
        "n": 2,
        "path": str(out),
    }


def test_export_of_an_unknown_version_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["export", "--models", str(models), "--version", "../x", "--out"]
    assert main([*tokens, str(tmp_path / "x.csv")]) == 1
    assert "no version '../x'" in error_of(capsys)


def test_evaluate_writes_the_figures_as_json(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    source = ["--dataset", "synthetic", "--data", str(sample)]
    assert main(["evaluate", *source, *QUICK, "--repeats", "2", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["dataset"] == "synthetic"
    assert result["k"] == 10
    assert result["users"] > 200
    assert set(result["models"]) == {"popularity", "als"}
    measures = {"precision", "recall", "ndcg", "map", "mrr", "hit_rate", "coverage"}
    assert measures | {"coverage_items"} <= set(result["models"]["als"])
    mean = np.mean([one["als"]["ndcg"] for one in result["repeats"]])
    assert result["models"]["als"]["ndcg"] == pytest.approx(mean)
    assert result["parameters"]["factors"] == 8
    assert result["split"]["repeats"] == 2


def test_evaluate_json_dash_prints_nothing_but_json(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--dataset", "synthetic", "--data", str(sample)]
    assert main(["evaluate", *source, *QUICK, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "synthetic"


def test_evaluate_measures_a_ready_made_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_file, test_file = tmp_path / "train.csv", tmp_path / "test.csv"
    board = [(u, i) for u in range(12) for i in range(12) if (u + i) % 2 == 0]
    pairs = {"train": [(u, i) for u, i in board if u != i], "test": [(u, u) for u in range(12)]}
    pairs["test"] += [(99, 3), (0, 77)]
    for path, name in ((train_file, "train"), (test_file, "test")):
        path.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in pairs[name]))
    out = tmp_path / "out.json"
    files = ["--train", str(train_file), "--test", str(test_file), "--json", str(out)]
    assert main(["evaluate", *files, "--factors", "2", "--k", "1"]) == 0
    result: dict[str, Any] = json.loads(out.read_text())
    assert result["users"] == 13
    assert result["split"]["users_without_training"] == 1
    assert result["split"]["items_without_training"] == 1
    # Twelve users find their artist; the unknown one is answered by popularity and misses.
    assert result["models"]["als"]["precision"] == pytest.approx(12 / 13)
    assert "1 test users and 1 test artists are not in training" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--train", "x.csv"], "wants both --train FILE and --test FILE"),
        (["--train", "x", "--test", "y", "--dataset", "table"], "give either --dataset"),
        (["--train", "x", "--test", "y", "--repeats", "2"], "measured once"),
        (["--train", "x", "--test", "y", "--top-users", "9"], "leave --top-users out"),
        (["--regularization", "1", "--relative-regularization", "1"], "not both"),
        (["--json", "/no/such/folder/x.json"], "/no/such/folder: there is no such folder"),
        ([], "which dataset? Give --dataset, one of lastfm-360k"),
        (["--dataset", "spotify", "--data", "x"], "lastfm-360k"),
        (["--dataset", "table", "--data", "/no/such/file.csv"], "/no/such/file.csv"),
    ],
)
def test_contradicting_or_missing_sources_are_explained(
    tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *tokens]) == 1
    assert message in error_of(capsys)


@pytest.mark.parametrize(
    "tokens",
    [
        ["train", "--prest", "default"],
        ["train", "--preset", "best"],
        ["train", "--factors", "0"],
        ["train", "--factors", "many"],
        ["train", "--b", "1.5"],
        ["train", "--k1", "0"],
        ["train", "--regularization", "0"],
        ["train", "--top-lists", "501"],
        ["evaluate", "--k", "0"],
        ["evaluate", "--repeats", "0"],
        ["generate", "--users", "0", "--out", "x"],
        ["export"],
        ["trian"],
    ],
)
def test_wrong_options_exit_with_2_and_touch_nothing(
    tokens: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(*tokens) == 2
    assert list(tmp_path.iterdir()) == []


def test_filters_that_leave_nothing_publish_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    source = ["--dataset", "table", "--data", str(table), "--models", str(models)]
    assert main(["train", *source, "--min-user-records", "50"]) == 1
    assert "--min-user-records 50" in error_of(capsys)
    assert not models.exists()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("u1,a\nu1,b\nu2,b\n", "no user has the 5 artists"),
        ("".join(f"u{u},a{a}\n" for u in range(3) for a in range(8)), "between 1 and the 8"),
    ],
    ids=["short histories", "few artists"],
)
def test_too_few_data_are_trained_on_but_not_measured(
    rows: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: a first try with a handful of rows was refused.
    table = tmp_path / "short.csv"
    table.write_text(f"user_id,item_id\n{rows}")
    source = ["--dataset", "table", "--data", str(table)]
    assert main(["train", *source, *QUICK, "--models", str(tmp_path / "models")]) == 0
    message = error_of(capsys)
    assert "note: nothing is measured: " in message
    assert reason in message
    version = current_version(tmp_path / "models")
    assert version is not None
    assert open_model(tmp_path / "models" / version).card["metrics"] is None
    assert main(["evaluate", *source, *QUICK]) == 1
    assert reason in error_of(capsys)


@pytest.mark.parametrize("name", ["a file", "dangling link", "below a file"])
def test_a_models_folder_that_cannot_be_is_refused_before_anything_is_read(
    name: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    if name == "dangling link":
        models.symlink_to(tmp_path / "nowhere")
    else:
        models.write_text("a file")
    where = models / "below" if name == "below a file" else models
    source = ["--dataset", "table", "--data", str(table), "--models", str(where)]
    assert main(["train", *source]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{where} cannot be written" in " ".join(shown.err.split())


def test_an_empty_variable_counts_as_unset(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: the model was published into the current folder itself.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCORE_MODELS", "")
    assert main(["train", "--dataset", "table", "--data", str(table), *QUICK]) == 0
    assert current_version(tmp_path / "models") is not None


def test_brackets_in_a_path_are_no_markup(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: rich read them as markup, and raised after the model was published.
    folder = tmp_path / "x[bold]" / "q[/z]"
    folder.mkdir(parents=True)
    data = folder / "plays[bold].csv"
    data.write_bytes(table.read_bytes())
    source = ["--dataset", "table", "--data", str(data), "--models", str(folder)]
    assert main(["train", *source, *QUICK]) == 0
    assert f"published {current_version(folder)} in {folder};" in capsys.readouterr().out


def test_export_refuses_a_damaged_model(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: only sizes were looked at, and the lists were not those of the service.
    assert train(sample, tmp_path, "--no-evaluation") == 0
    (version,) = list_versions(tmp_path)
    path = tmp_path / version / "top_items.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    out = tmp_path / "lists.csv"
    assert main(["export", "--models", str(tmp_path), "--out", str(out)]) == 1
    assert "top_items.npy: expected SHA-256" in error_of(capsys)
    assert not out.exists()


def test_piped_sentences_are_one_line(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    source = ["--dataset", "synthetic", "--data", str(sample), "--models", str(folder)]
    command = [sys.executable, "-m", "training", "train", *source, *QUICK, "--no-evaluation"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == (
        f"published {current_version(folder)} in {folder}; it is the current model now"
    )


def test_reference_preset_takes_the_studys_steps(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--dataset", "synthetic", "--data", str(sample)]
    assert main(["evaluate", *source, "--preset", "reference", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parameters"]["weighting"] == "raw"
    assert result["asked"]["popularity"] == {
        "strategy": "popularity",
        "popularity_by": "plays",
        "include_seen": True,
    }
    # Seen artists stay in: everyone gets the same ten.
    assert result["models"]["popularity"]["coverage_items"] == 10


def test_datasets_states_source_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "--json"]) == 0
    known = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"lastfm-360k", "hetrec-lastfm-2k", "table", "synthetic"} <= set(known)
    assert all(one["licence"] and one["source"] for one in known.values())
    assert main(["datasets"]) == 0
    assert "lastfm-360k" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "publishing"])
@pytest.mark.parametrize(
    "signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]
)
def test_a_training_that_is_stopped_leaves_nothing_in_the_models_folder(
    sample: Path, tmp_path: Path, signal_number: signal.Signals, moment: str
) -> None:
    models = tmp_path / "models"
    source = ["--dataset", "synthetic", "--data", str(sample), "--models", str(models)]
    length = ["--iterations", "100000"] if moment == "training" else QUICK
    # A last check that does not end gives time to be stopped between writing and publishing.
    script = (
        "import runpy, sys, time; from training import publishing\n"
        "publishing.verify_checksums = lambda _: time.sleep(60)\n"
        f"sys.argv = {['training', 'train', *source, *length, '--no-evaluation']!r}\n"
        "runpy.run_module('training', run_name='__main__')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + (4 if moment == "training" else 60)
    while not list(tmp_path.glob(".models-building-*/2*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    # It is in the state that it is to be stopped in, not still starting and not over.
    assert process.poll() is None
    assert bool(list(tmp_path.glob(".models-building-*/2*"))) == (moment == "publishing")
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    left = {path.name for path in models.iterdir()} if models.exists() else set()
    assert left <= {".lock"}
    is_left = moment == "publishing" and signal_number == signal.SIGKILL
    assert bool(list(tmp_path.glob(".*building*"))) == is_left
    assert train(sample, models, "--no-evaluation") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"models"}
