from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import open_model, read_report
from app.events.event import MICROSECONDS, Event
from app.events.event_types import EventType
from app.model.weighting import WEIGHTINGS
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from app.store.address import open_store
from tests.builders import als_of
from tests.training.cli.commands import (
    N_USERS,
    QUICK,
    error_of,
    exit_code,
    of_sample,
    of_table,
    train,
    write_rows,
)
from training.cli import main


def current(models: Path) -> Path:
    """The folder of the current model."""
    version = ModelsFolder(models).current()
    assert version is not None
    return models / version


@pytest.mark.slow
def test_train_publishes_a_model_that_answers_and_names_its_data(models: Path) -> None:
    model = open_model(current(models))
    answer = Recommender(model).recommend(Query(user_id=model.users.id(0)))
    assert len(answer.items) == 10
    assert answer.source == "als"
    card = model.card
    assert card["dataset"]["name"] == "synthetic"
    assert card["dataset"]["users"] == N_USERS
    assert card["preset"] == "default"
    assert card["parameters"]["confidence"] == "1 + alpha * weight"
    assert card["metrics"]["measured_on"].startswith("a split of the same data")
    assert card["metrics"]["split"]["name"] == "random per user"
    assert card["metrics"]["models"]["als"]["ndcg"] > 0.1
    assert model.top_lists is not None
    assert model.top_lists.items.shape == (N_USERS, 100)


def test_the_card_says_what_the_regularization_came_to(models: Path) -> None:
    model = open_model(current(models))
    parameters = model.card["parameters"]
    assert parameters["relative_regularization"] is not None
    regularization = als_of(model).regularization
    assert parameters["regularization"] * parameters["fold_in_share"] == pytest.approx(
        regularization
    )


def test_an_absolute_regularization_stands_in_the_card_as_it_was_given(
    sample: Path, tmp_path: Path
) -> None:
    # Was wrong: 0.03 came back as 0.029999999999999995.
    tokens = ["--regularization", "0.03", "--fold-in-share", "0.01", "--no-evaluation"]
    assert train(sample, tmp_path, *tokens) == 0
    model = open_model(current(tmp_path))
    assert model.card["parameters"]["regularization"] == 0.03
    assert model.card["parameters"]["relative_regularization"] is None
    assert als_of(model).regularization == pytest.approx(0.0003)


@pytest.mark.slow
def test_train_shows_what_was_read_and_measured(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path, "--top-lists", "0", "--no-report") == 0
    shown = capsys.readouterr()
    assert "rows in the files" in shown.out
    assert "NDCG" in shown.out
    assert f"published {ModelsFolder(tmp_path).current()}" in shown.out
    assert "report" not in shown.out
    assert "ALS iterations" in shown.err
    assert open_model(current(tmp_path)).top_lists is None


@pytest.mark.slow
def test_a_report_is_published_with_the_model(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path) == 0
    folder = current(tmp_path)
    assert capsys.readouterr().out.endswith(f"the report is in {folder / 'report.html'}\n")
    page = read_report(folder)
    assert page == (folder / "report.html").read_bytes()
    assert page.startswith(b"<!DOCTYPE html>")
    metrics = open_model(folder).card["metrics"]
    assert len(metrics["convergence"]["ndcg"]) == 3
    assert f"{metrics['models']['als']['ndcg']:.3f}".encode() in page
    assert main(["models", "verify", "--models", str(tmp_path)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--no-report", "--no-evaluation"])
def test_a_report_can_be_left_out(sample: Path, tmp_path: Path, option: str) -> None:
    assert train(sample, tmp_path, option) == 0
    assert not (current(tmp_path) / "report.html").exists()


def test_train_json_is_one_object_on_stdout(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sample, tmp_path, "--json", "--no-evaluation") == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {
        *("version", "path", "current", "shrinkage"),
        *("dataset", "parameters", "metrics"),
    }
    assert (result["current"], result["shrinkage"]) == (True, None)
    assert result["version"] == ModelsFolder(tmp_path).current()
    assert result["metrics"] is None
    assert result["parameters"]["factors"] == 8


@pytest.mark.slow
def test_early_stopping_decides_what_is_published(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = [*of_sample(sample), "--models", str(tmp_path), "--no-report", "--json"]
    tokens = ["--factors", "8", "--iterations", "50", "--patience", "2"]
    assert main(["train", *source, *tokens]) == 0
    result = json.loads(capsys.readouterr().out)
    iterations = result["metrics"]["convergence"]["iterations"]
    assert iterations < 50
    assert result["parameters"]["iterations"] == iterations
    card = open_model(current(tmp_path)).card
    assert card["parameters"]["iterations"] == iterations
    assert main(["train", *source[:-1], *tokens]) == 0
    said = f"Early stopping: the model is trained for {iterations} iterations"
    assert said in capsys.readouterr().out
    # A training of so many iterations gives the same model.
    short = tmp_path / "short"
    told = ["--factors", "8", "--iterations", str(iterations), "--no-evaluation"]
    assert main(["train", *of_sample(sample), "--models", str(short), *told]) == 0
    one, other = (open_model(current(folder)) for folder in (tmp_path, short))
    assert one.item_factors.tobytes() == other.item_factors.tobytes()


@pytest.mark.slow
def test_the_model_is_trained_on_everything_whatever_the_split(
    sample: Path, models: Path, tmp_path: Path
) -> None:
    assert train(sample, tmp_path, "--split", "k-fold", "--folds", "2", "--no-report") == 0
    one, other = (open_model(current(folder)) for folder in (models, tmp_path))
    assert one.item_factors.tobytes() == other.item_factors.tobytes()
    assert other.card["metrics"]["split"]["name"] == "k-fold"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--no-evaluation", "--k", "20"], "--k does nothing without an evaluation"),
        (["--no-evaluation", "--patience", "2"], "--patience does nothing without an evaluation"),
        (["--no-evaluation", "--sample-users", "9"], "--sample-users does nothing without"),
        (["--no-evaluation", "--split", "k-fold"], "--split does nothing without an evaluation"),
        (["--no-evaluation", "--search", "x"], "--search does nothing without an evaluation"),
        (["--no-report", "--search", "x"], "--search does nothing without a report"),
        (["--search", "/no/such.search"], "/no/such.search: there is no such search"),
        (["--search", "5 minutes"], "5 minutes: there is no such search; `tune` makes one, and a"),
        (["--search", "0s"], "--search has to be longer than 0 s; give it a time such as 5m"),
        (["--search", "5m", "--no-evaluation"], "--search needs the evaluation"),
        (["--search", "5m", "--alpha", "3"], "--alpha does nothing beside a search"),
        (["--search", "5m", "--linear-rank", "0"], "--linear-rank does nothing beside a search"),
        (["--config", "/no/such.toml"], "/no/such.toml: No such file"),
    ],
)
def test_options_that_would_do_nothing_are_refused_before_the_data_are_read(
    tokens: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: they were taken without a word.
    source = [*of_table(tmp_path / "missing.csv"), "--models", str(tmp_path / "models")]
    assert main(["train", *source, *tokens]) == 1
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_same_data_and_seed_give_the_same_arrays_and_another_seed_others(
    sample: Path, models: Path, tmp_path: Path
) -> None:
    assert train(sample, tmp_path / "same", "--no-report") == 0
    assert train(sample, tmp_path / "other", "--seed", "1", "--no-evaluation") == 0

    def arrays(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in current(folder).glob("*.npy")}

    first = arrays(models)
    assert arrays(tmp_path / "same") == first
    assert arrays(tmp_path / "other")["item_factors.npy"] != first["item_factors.npy"]


def test_filters_that_leave_nothing_publish_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    source = [*of_table(table), "--models", str(models)]
    assert main(["train", *source, "--min-user-records", "50"]) == 1
    assert "--min-user-records 50" in error_of(capsys)
    assert not models.exists()


@pytest.mark.slow
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
    assert main(["train", *of_table(table), *QUICK, "--models", str(tmp_path / "models")]) == 0
    message = error_of(capsys)
    assert "note: nothing is measured: " in message
    assert reason in message
    folder = current(tmp_path / "models")
    assert open_model(folder).card["metrics"] is None
    assert not (folder / "report.html").exists()
    assert main(["evaluate", *of_table(table), *QUICK]) == 1
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
    assert main(["train", *of_table(table), "--models", str(where)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{where} cannot be written" in " ".join(shown.err.split())


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store with events of one new user and an opinion."""
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    store = open_store(url)
    at = 1_795_000_000 * MICROSECONDS
    store.append(
        [
            Event("new", "a1", plays=3, timestamp=at),
            Event("new", "a2", plays=2, timestamp=at + 1),
            Event("u0", "a4", EventType.DISLIKE),
        ],
        at,
    )
    store.close()
    return url


def test_events_alone_train_a_model(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    tokens = ["train", "--events", store_url, "--models", str(models), "--no-evaluation", *QUICK]
    assert main(tokens) == 0
    shown = capsys.readouterr().out
    assert "events in the store 3" in " ".join(shown.split())
    assert "rows in the files" not in shown
    model = open_model(current(models))
    assert (model.card["dataset"]["name"], len(model.users), len(model.items)) == ("events", 1, 2)
    assert model.watermark is not None
    assert model.watermark.sequence == 3


def test_events_are_added_to_a_dataset_and_shown(
    store_url: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--events", store_url, "--models", str(models), *QUICK]
    tokens += ["--data-until", "2026-11-18T11:06:40", "--event-unit", "1.5", "--no-evaluation"]
    assert main(tokens) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "plays that the dataset holds already 2" in shown
    assert "disliked artists 1" in shown
    card = open_model(current(models)).card
    assert card["dataset"]["events"]["plays_in_data"] == 2
    assert (card["dataset"]["users"], card["event_unit"]["multiple"]) == (12, 1.5)


@pytest.mark.slow
def test_a_training_takes_the_rules_of_the_service(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: the default rules counted, whatever the variables of the service said.
    url = f"sqlite:///{tmp_path / 'opinions.db'}"
    with closing(open_store(url)) as store:
        store.append([Event("new", "a0"), Event("new", "a0", EventType.LIKE)], 1)

    def plays(name: str) -> float:
        models = tmp_path / name
        tokens = ["train", *of_table(table), "--events", url, "--models", str(models), *QUICK]
        assert main([*tokens, "--data-until", "never", "--no-evaluation"]) == 0
        model = open_model(current(models))
        user = model.users.index("new")
        assert user is not None
        return float(model.user_items.row(user)[1].item())

    assert plays("default") == 2 * 4 - 1
    monkeypatch.setenv("ENCORE_LIKE_UNITS", "3")
    monkeypatch.setenv("ENCORE_HOST", "0.0.0.0")  # noqa: S104 - no business of a training
    assert plays("liked more") == 2 * 8 - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("ENCORE_LIKE_UNITS=many", "ENCORE_LIKE_UNITS is 'many': expected a valid number"),
        ("ENCORE_SKIP_UNITS=-1", "ENCORE_SKIP_UNITS is '-1': expected"),
        ("ENCORE_PLAY_UNITS=0", "ENCORE_PLAY_UNITS is 0"),
    ],
)
def test_rules_that_cannot_be_used_are_refused_before_anything_is_read(
    variable: str,
    reason: str,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(*variable.split("="))
    models = ["--models", str(table.parent / "models")]
    assert main(["train", *of_table(table), *models, "--events", "sqlite:///nowhere.db"]) == 1
    assert reason in error_of(capsys)
    # Without events they do not matter.
    assert main(["train", *of_table(table), *models, *QUICK, "--no-evaluation"]) == 0


@pytest.mark.slow
def test_events_of_the_service_are_trained_on_unless_told_otherwise(
    store_url: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--models", str(models), "--no-evaluation", *QUICK]
    monkeypatch.setenv("ENCORE_DATABASE_URL", store_url)
    assert main([*tokens, "--data-until", "never"]) == 0
    assert open_model(current(models)).watermark is not None
    assert main([*tokens, "--no-events"]) == 0
    assert open_model(current(models)).watermark is None
    assert main(["train", "--models", str(models), "--no-evaluation", *QUICK]) == 0
    assert open_model(current(models)).card["dataset"]["name"] == "events"


def test_a_store_of_the_service_that_is_missing_is_refused_with_the_way_around(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ENCORE_DATABASE_URL", f"sqlite:///{tmp_path}/typo.db")
    assert main(["train", *of_table(table), "--models", str(tmp_path / "models")]) == 1
    assert "typo.db; is its name right? Or go on without one: --no-events" in error_of(capsys)
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_what_is_measured_holds_the_events_too(
    store_url: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["train", *of_table(table), "--events", store_url, "--no-report", "--k", "3"]
    tokens += ["--data-until", "never"]
    assert main([*tokens, "--models", str(tmp_path / "models"), "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"]["users"] == 13


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--events", "sqlite:///nowhere/encore.db"], "no event store nowhere/encore.db"),
        (["--events", "mysql://me:secret@host/db"], "expected sqlite:///FILE"),
        (["--events", "postgresql://me:secret@127.0.0.1:1/db"], "127.0.0.1:1/db"),
        (["--data-until", "2026-01-01"], "--data-until does nothing without --events"),
        (["--event-unit", "0"], "Must be > 0"),
        (["--data-until", "soon"], "--data-until"),
        (["--events", "sqlite:///any.db", "--data-until", "2999-01-01"], "lies in the future"),
    ],
)
def test_event_options_that_cannot_be_used_are_refused(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    hint: str,
) -> None:
    tokens = ["train", *of_table(table), "--models", str(tmp_path / "models"), *options]
    by_the_parser = "Must be" in hint or "soon" in options
    assert exit_code(*tokens) == 2 if by_the_parser else main(tokens) == 1
    message = error_of(capsys)
    assert hint in message
    assert "secret" not in message
    assert not (tmp_path / "models").exists()


def test_data_without_times_need_the_time_up_to_which_they_hold_the_events(
    store_url: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: plays that both held counted twice, and nothing was said.
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--models", str(models), "--no-evaluation", *QUICK]
    assert main([*tokens, "--events", store_url]) == 1
    message = error_of(capsys)
    assert "the data have no times" in message
    assert all(way in message for way in ("--data-until 2", "--data-until never", "--no-events"))
    assert not models.exists() or not ModelsFolder(models).versions()
    assert main([*tokens, "--events", store_url, "--data-until", "never"]) == 0
    counts = open_model(current(models)).card["dataset"]["events"]
    assert (counts["plays_in_data"], counts["plays_in_both"]) == (0, 0)


def test_an_empty_store_asks_for_no_time(table: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    open_store(url).close()
    tokens = ["train", *of_table(table), "--models", str(tmp_path / "models"), *QUICK]
    assert main([*tokens, "--no-evaluation", "--events", url]) == 0


def test_a_generated_sample_holds_none_of_the_events(
    store_url: str, sample: Path, tmp_path: Path
) -> None:
    tokens = ["--no-evaluation", "--events", store_url]
    assert train(sample, tmp_path / "models", *tokens) == 0


def test_plays_that_data_and_events_hold_count_once_and_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_store(url := f"sqlite:///{tmp_path / 'both.db'}")) as store:
        store.append([Event("u1", "a1", timestamp=1_600_000_000_000_000)], 1_700_000_000_000_000)
    lines = [f"u{n % 5},a{n % 7},{1_600_000_000 + n - 36}" for n in range(70)]
    table = tmp_path / "timed.csv"
    table.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--timestamp-column", "timestamp", "--events", url]
    assert main([*tokens, "--models", str(models), "--k", "3", *QUICK]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "plays of a second in which the dataset has them, counted once 1" in shown
    assert open_model(current(models)).card["dataset"]["events"]["plays_in_both"] == 1
    page = read_report(current(models)).decode()
    assert "plays of events at a second in which the data have them, counted once" in page


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_without_events_too_erased_users_are_left_out(
    command: str,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Was wrong: --no-events put erased users into the next model.
    url = f"sqlite:///{tmp_path / 'erasures.db'}"
    erased = table.read_text().splitlines()[1].split(",")[0]
    with closing(open_store(url)) as store:
        store.erase(erased, 1)
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    models = tmp_path / "models"
    tokens = [command, *of_table(table), *QUICK]
    only = {"train": ["--no-events", "--models", str(models), "--no-evaluation"]}
    tokens += only.get(command, ["--k", "3"])
    assert main(tokens) == 0
    captured = capsys.readouterr()
    assert "left out: user was erased" in captured.out
    assert "left out, of users who were erased from the event store" in captured.err
    if command == "train":
        assert open_model(current(models)).users.index(erased) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("sqlite:///{folder}/none.db", 0, "nobody is known to be erased"),
        ("sqlite:///{folder}/broken.db", 1, "it is unknown who was erased"),
        ("postgresql://me:secret@127.0.0.1:1/db", 1, "it is unknown who was erased"),
        ("mysql://me:secret@host/db", 1, "ENCORE_DATABASE_URL: expected sqlite:///FILE"),
    ],
)
def test_without_events_a_store_that_cannot_be_read_stops_the_training(  # noqa: PLR0917
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    code: int,
    said: str,
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("ENCORE_DATABASE_URL", url.format(folder=tmp_path))
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--no-events", "--models", str(models), *QUICK]
    assert main([*tokens, "--no-evaluation"]) == code
    message = error_of(capsys)
    assert said in message
    assert "secret" not in message
    assert bool(ModelsFolder(models).versions()) == (code == 0)


def test_data_until_wants_a_dataset(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--events", store_url, "--data-until", "2026-01-01"]) == 1
    assert "does nothing without a dataset" in error_of(capsys)


def test_a_half_life_fades_data_without_times_by_when_they_end(
    store_url: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    tokens = ["train", *of_table(table), "--models", str(models), "--no-evaluation", *QUICK]
    tokens += ["--half-life", "10"]
    assert main(tokens) == 1
    assert "a half-life needs the time of each record" in error_of(capsys)
    assert main([*tokens, "--events", store_url, "--data-until", "2026-11-08T11:06:40Z"]) == 0
    model = open_model(current(models))
    assert model.card["parameters"]["half_life"] == 10
    assert model.user_items.recency is not None
    # The events are ten days younger than the data.
    assert set(model.user_items.recency.tolist()) == {0.5, 1.0}
    new = model.users.index("new")
    assert new is not None
    assert model.user_items.recency_of(new).tolist() == [1.0, 1.0]  # type: ignore[union-attr]


def train_rows(folder: Path, rows: int, *more: str) -> int:
    """Trains on the beginning of an export of 1,000 rows, 100 users and 19 artists."""
    table = write_rows(folder / "plays.csv", rows)
    source = [*of_table(table), "--models", str(folder / "models")]
    return main(["train", *source, "--no-evaluation", *QUICK, *more])


@pytest.mark.slow
def test_a_truncated_export_does_not_go_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: it did, with exit status 0.
    models = tmp_path / "models"
    assert train_rows(tmp_path, 1000) == 0
    former = ModelsFolder(models).current()
    capsys.readouterr()
    assert train_rows(tmp_path, 300) == 3
    (version,) = set(ModelsFolder(models).versions()) - {former}
    assert ModelsFolder(models).current() == former
    shown = capsys.readouterr()
    assert shown.out.endswith(f"published {version} in {models}; it is not the current model\n")
    said = shown.err.splitlines()[-1]
    assert "30 instead of 100 users, 300 instead of 1,000 pairs. " in said
    assert f"{former} stays in service. " in said
    assert "train again with --force, or point to this model: echo " in said
    assert main(["models", "verify", "--models", str(models)]) == 0
    # What it says to type does what it says.
    subprocess.run(["sh", "-c", said.rpartition("model: ")[2]], check=True)
    assert ModelsFolder(models).current() == version


@pytest.mark.slow
def test_force_makes_a_shrunk_model_current_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_rows(tmp_path, 1000) == 0
    former = ModelsFolder(tmp_path / "models").current()
    assert train_rows(tmp_path, 300, "--force") == 0
    assert ModelsFolder(tmp_path / "models").current() != former
    shown = capsys.readouterr()
    assert shown.out.endswith("it is the current model now\n")
    assert "note: --force made it current with 30 instead of 100 users" in shown.err
    publication = open_model(current(tmp_path / "models")).card["publication"]
    assert (publication["force"], publication["shrinkage"]["version"]) == (True, former)
    assert publication["shrinkage"]["counts"]["users"] == {"before": 100, "now": 30, "share": 0.3}


@pytest.mark.slow
def test_json_says_that_a_model_is_not_current_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_rows(tmp_path, 1000) == 0
    former = ModelsFolder(tmp_path / "models").current()
    capsys.readouterr()
    assert train_rows(tmp_path, 300, "--json") == 3
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert result["current"] is False
    assert result["shrinkage"] == {
        "version": former,
        "counts": {
            "users": {"before": 100, "now": 30, "share": 0.3},
            "pairs": {"before": 1000, "now": 300, "share": 0.3},
        },
    }
    assert "is not made current" in shown.err
    assert train_rows(tmp_path, 300, "--json", "--force") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["current"] is True
    assert result["shrinkage"]["version"] == former


@pytest.mark.slow
def test_half_of_an_export_and_the_same_once_more_go_live(tmp_path: Path) -> None:
    for rows in (1000, 500, 500):
        assert train_rows(tmp_path, rows) == 0
        dataset = open_model(current(tmp_path / "models")).card["dataset"]
        assert (dataset["users"], dataset["pairs"]) == (rows // 10, rows)


@pytest.mark.slow
def test_the_sample_replaces_a_larger_table_and_a_table_a_larger_sample(
    sample: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    assert train_rows(tmp_path, 1000) == 0
    assert train(sample, models, "--no-evaluation") == 0
    assert open_model(current(models)).card["dataset"]["name"] == "synthetic"
    assert train_rows(tmp_path, 30) == 0
    assert open_model(current(models)).card["dataset"]["users"] == 3


@pytest.mark.slow
def test_a_training_on_events_alone_is_compared_with_another_such(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    alone = ["train", "--events", store_url, "--models", str(models), "--no-evaluation", *QUICK]
    assert train_rows(tmp_path, 1000) == 0
    assert main(alone) == 0  # of another name than the table
    both = ["--events", store_url, "--data-until", "never"]
    assert train_rows(tmp_path, 1000, *both) == 0
    assert train_rows(tmp_path, 300, *both) == 3
    assert main(alone) == 0
    store = open_store(store_url)
    at = 1_795_000_000 * MICROSECONDS
    store.append([Event(f"u{user}", "a1", timestamp=at) for user in range(9)], at)
    assert main(alone) == 0
    for user in range(9):
        store.erase(f"u{user}", at)
    store.close()
    assert main(alone) == 3
    assert "1 instead of 10 users" in error_of(capsys)


@pytest.mark.slow
def test_a_current_model_that_cannot_be_read_is_replaced_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_rows(tmp_path, 1000) == 0
    pointer = tmp_path / "models" / "current"
    pointer.write_text("nonsense\n")
    assert train_rows(tmp_path, 300) == 0
    said = error_of(capsys)
    assert "note: this model is not compared with the former one, which cannot be read: " in said
    assert f"{pointer}: expected one version" in said
    assert open_model(current(tmp_path / "models")).card["dataset"]["users"] == 30


def test_the_help_of_train_says_what_force_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    words = "".join(one if one.isascii() else " " for one in capsys.readouterr().out)
    shown = " ".join(words.split())
    assert "less than half of the users, artists or pairs" in shown
    assert "the exit status is 3" in shown
    assert "--no-force" not in shown


def test_the_help_of_train_says_what_each_weighting_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    printed = " ".join(re.sub(r"[│\s]+", " ", capsys.readouterr().out).split())
    for name, rule in WEIGHTINGS.items():
        assert f"{name}: {rule.words}" in printed


def test_a_single_account_cannot_train_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: a model was published that had nothing to recommend to its only user.
    lines = [f"artist {number},album,track,31 Jan 2024 12:00" for number in range(20)]
    (tmp_path / "anna.csv").write_text("\n".join(lines))
    models = tmp_path / "models"
    data = ["--dataset", "lastfm-export", "--data", str(tmp_path / "anna.csv"), "--no-events"]

    assert main(["train", *data, "--models", str(models)]) == 1

    message = error_of(capsys)
    assert "the data hold only the user 'anna', and a model learns from what many" in message
    assert "each account is a folder or a file of its own" in message
    assert not models.exists()
