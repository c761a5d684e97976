from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import open_model
from app.artifacts.writable_folder import WritableModelsFolder
from app.model.model import Model
from app.store.address import open_store
from benchmarks.damages import with_manifest
from tests.builders import card_of, publish_small, random_model
from tests.training.cli.commands import (
    QUICK,
    error_of,
    flip_a_bit,
    of_table,
    train,
    write_rows,
)
from training.cli import console, main
from training.publishing.publish import publish


def test_models_list_marks_the_current_one(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models", str(models), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["state"]) for row in rows] == [
        (ModelsFolder(models).current(), "current")
    ]
    assert main(["models", "list", "--models", str(models)]) == 0
    shown = capsys.readouterr().out
    assert str(ModelsFolder(models).current()) in shown
    assert "current" in shown


@pytest.mark.parametrize("columns", [60, 80])
def test_models_list_shows_what_a_version_was_made_of_in_a_narrow_terminal(
    checkerboard_model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: int,
) -> None:
    # Was wrong: six columns next to each other, none of which was k, the preset or the period.
    card = card_of(checkerboard_model)
    period = {"first": "2005-02-14T00:00:00Z", "last": "2009-06-19T12:00:00Z"}
    dataset = {"name": "lastfm-1k", "users": 12_345_678, "artists": 1_234_567, "period": period}
    card |= {"dataset": dataset, "preset": "default"}
    card["metrics"] = {"k": 10, "models": {"als": {"ndcg": 0.25651}}}
    version = publish(checkerboard_model, tmp_path, card=card).version
    monkeypatch.setattr(console, "console_on", lambda _: console.PlainConsole(width=columns))
    assert main(["models", "list", "--models", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    assert [line.split() for line in shown.splitlines()] == [
        [version, "current"],
        ["size", "12,345,678", "users,", "1,234,567", "artists"],
        ["dataset", "lastfm-1k"],
        ["period", "2005-02-14", "to", "2009-06-19"],
        ["preset", "default"],
        ["blocks", "als"],
        ["NDCG@10", "0.2565"],
    ]


def test_a_hostile_manifest_reaches_no_terminal_as_it_is(
    checkerboard_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "x\x1b]0;owned\x07\x9b2J\u202egpj\n[red]y[/]"
    card = card_of(checkerboard_model)
    card["dataset"] = {"name": hostile, "users": 20, "artists": 20}
    publish(checkerboard_model, tmp_path, card=card)
    for tokens in (["models", "list"], ["models", "verify"], ["models", "list", "--json"]):
        main([*tokens, "--models", str(tmp_path)])
        shown = "".join(capsys.readouterr())
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*shown}
    assert json.loads(shown)[0]["dataset"] == hostile


@pytest.mark.slow
def test_models_list_says_what_was_not_made_current_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    for rows, status in ((1000, 0), (300, 3)):
        table = write_rows(tmp_path / "plays.csv", rows)
        tokens = [*of_table(table), "--models", str(models), "--no-evaluation", *QUICK]
        assert main(["train", *tokens]) == status
    capsys.readouterr()
    current = ModelsFolder(models).current()
    (other,) = set(ModelsFolder(models).versions()) - {current}
    assert main(["models", "list", "--models", str(models), "--json"]) == 0
    states = {row["version"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    why = "30 instead of 100 users, 300 instead of 1,000 pairs"
    assert states == {current: "current", other: f"not made current: {why}"}
    WritableModelsFolder(models).set_current(other)  # as an operator does who knows better
    assert main(["models", "list", "--models", str(models), "--json"]) == 0
    states = {row["version"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states == {current: "", other: "current"}


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
    (version,) = ModelsFolder(tmp_path).versions()
    flip_a_bit(tmp_path / version / "item_factors.npy")
    assert main(["models", "verify", version, "--models", str(tmp_path)]) == 1
    message = error_of(capsys)
    assert "item_factors.npy" in message
    assert "SHA-256" in message
    assert main(["models", "verify", "--models", str(tmp_path), "--json"]) == 1
    (broken,) = json.loads(capsys.readouterr().out)
    assert (broken["version"], broken["ok"]) == (version, False)
    assert "item_factors.npy" in broken["error"]


def test_a_manifest_that_no_training_wrote_is_listed_as_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: a traceback, and no other version was listed either.
    model = random_model(np.random.default_rng(1), n_users=6, n_items=5)
    intact = publish_small(model, tmp_path)
    odd = shutil.copytree(tmp_path / intact, tmp_path / "copy").name
    odd = with_manifest(tmp_path, odd, lambda manifest: manifest.update(dataset={"name": 5}))
    assert main(["models", "list", "--models", str(tmp_path), "--json"]) == 0
    rows = {row["version"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert rows[odd].startswith("broken: its manifest is not one of a training")
    assert main(["models", "verify", odd, "--models", str(tmp_path)]) == 0  # it could be served


@pytest.mark.slow
def test_prune_removes_versions_that_hold_erased_users_and_never_the_current_one(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, url = tmp_path / "models", f"sqlite:///{tmp_path / 'encore.db'}"
    assert train(sample, models, "--no-evaluation") == 0
    assert train(sample, models, "--no-evaluation", "--seed", "1") == 0
    first, second = ModelsFolder(models).versions()
    current = ModelsFolder(models).current()
    older = first if current == second else second
    store = open_store(url)
    prune = ["models", "prune", "--erased", "--events", url, "--models", str(models)]
    assert main(prune) == 0
    assert capsys.readouterr().out.count("holds no erased user") == 2

    store.erase(open_model(models / first).users.id(3), 1)
    store.erase("never known", 1)
    assert main([*prune, "--dry-run"]) == 0
    assert f"{older}: would be removed; it holds 1 erased user" in capsys.readouterr().out
    assert ModelsFolder(models).versions() == [first, second]
    assert main([*prune, "--json"]) == 1
    rows = {row["version"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[older] == {"version": older, "erased_users": 1, "removed": True}
    assert rows[current] == {"version": current, "erased_users": 1, "removed": False}
    assert ModelsFolder(models).versions() == [current]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert main(prune) == 1
    assert "Train with --events, then prune again" in capsys.readouterr().out

    assert train(sample, models, "--no-evaluation", "--events", url) == 0
    assert main(prune) == 0
    assert ModelsFolder(models).versions() == [ModelsFolder(models).current()]
    store.close()


def test_prune_says_what_it_cannot_look_into(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, url = tmp_path / "models", f"sqlite:///{tmp_path / 'encore.db'}"
    assert train(sample, models, "--no-evaluation") == 0
    open_store(url).close()
    (version,) = ModelsFolder(models).versions()
    (models / version / "user_ids_data.npy").unlink()
    prune = ["models", "prune", "--erased", "--events", url, "--models", str(models)]
    assert main(prune) == 1
    assert "it is unknown which users it holds" in error_of(capsys)
    assert ModelsFolder(models).versions() == [version]


def test_prune_wants_to_be_told_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--erased"], ["--events", f"sqlite:///{tmp_path / 'encore.db'}"]):
        assert main(["models", "prune", "--models", str(tmp_path), *options]) == 1
        assert "--erased --events URL" in error_of(capsys)


def test_prune_of_a_folder_without_models_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    open_store(url).close()
    # Where the service keeps events is known.
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    assert main(["models", "prune", "--erased", "--models", str(tmp_path / "typo")]) == 1
    assert f"there is no model in {tmp_path / 'typo'} yet" in error_of(capsys)
