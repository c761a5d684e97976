"""``--json [FILE|-]``, of every command that has a result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cyclopts import App

from app.artifacts.models_folder import ModelsFolder
from app.events.event import Event
from app.store.address import open_store
from tests.training.cli.commands import QUICK, of_sample, of_table
from training.cli import cli, main

COMMANDS: Final = (
    "datasets",
    "generate",
    "train",
    "evaluate",
    "report",
    "tune",
    "export",
    "models list",
    "models verify",
    "models prune",
    "events show",
    "events export",
    "events import",
    "events prune",
    "events backup",
    "events renew",
    "events compact",
)
Options = Callable[[str], list[str]]


@pytest.fixture
def options_of(sample: Path, models: Path, table: Path, space: Path, tmp_path: Path) -> Options:
    """Gives the options that a command cannot do without, so that it succeeds twice."""
    url = f"sqlite:///{tmp_path}/encore.db"
    store = open_store(url)
    store.append([Event("u1", "a", timestamp=1)], 1)
    store.close()
    dump = tmp_path / "dump.jsonl"
    assert main(["events", "export", str(dump), "--events", url]) == 0
    own = ["--models", str(tmp_path / "models"), "--no-evaluation", *QUICK]
    needed = {
        "generate": ["--users", "9", "--out", str(tmp_path / "made"), "--overwrite"],
        "train": [*of_table(table), *own],
        "evaluate": [*of_sample(sample), *QUICK, "--k", "3"],
        "report": [
            *of_sample(sample),
            *QUICK,
            "--k",
            "3",
            "--out",
            str(tmp_path / "report.html"),
            "--overwrite",
        ],
        "tune": [
            *of_table(table),
            "--k",
            "3",
            "--trials",
            "1",
            "--space",
            str(space),
            "--out",
            str(tmp_path / "best.toml"),
        ],
        "export": [
            "--models",
            str(models),
            "--out",
            str(tmp_path / "lists.csv"),
            "--n",
            "1",
            "--overwrite",
        ],
        "models list": ["--models", str(models)],
        "models verify": ["--models", str(models)],
        "models prune": ["--models", str(models), "--erased", "--events", url],
        "events import": [str(dump), "--events", url],
        "events export": [str(tmp_path / "again.jsonl"), "--overwrite", "--events", url],
        "events backup": [str(tmp_path / "backup.db"), "--overwrite", "--events", url],
        "events prune": ["--older-than", "30000", "--events", url],
    }
    return lambda command: needed.get(command, [] if command == "datasets" else ["--events", url])


def keys_of(value: Any) -> Any:
    """What a result has whenever it is made."""
    first = value[0] if isinstance(value, list) else value
    return type(value), set(first)


@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=pytest.mark.slow) if one == "tune" else one for one in COMMANDS],
)
def test_it_goes_to_stdout_or_to_a_file(
    command: str, options_of: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, options = command.split(), options_of(command)
    capsys.readouterr()
    # Positional arguments come first: whatever follows --json is its file.
    assert main([*words, *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    file = tmp_path / "out.json"
    assert main([*words, *options, "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f" in {file}\n")
    assert len(shown.splitlines()) > 1
    assert keys_of(json.loads(file.read_text(encoding="utf-8"))) == keys_of(printed)


def commands_of(app: App, *words: str) -> Iterator[tuple[str, App]]:
    """Yields the commands of a command line by their names, with those of its groups."""
    for name in app:
        if not name.startswith("-"):
            own = app[name]
            if own.default_command:
                yield " ".join([*words, name]), own
            else:
                yield from commands_of(own, *words, name)


def test_no_command_is_without_it() -> None:
    having = {
        name: {option for one in app.assemble_argument_collection() for option in one.names}
        for name, app in commands_of(cli)
    }
    assert having.keys() == {*COMMANDS}
    assert [name for name, options in having.items() if "--json" not in options] == []


@pytest.mark.parametrize(
    "tokens",
    [
        ["--json", "--models", "MODELS"],
        ["--json", "-", "--models", "MODELS"],
        ["--json=-", "--models", "MODELS"],
        ["--models", "MODELS", "--json"],
        ["VERSION", "--json", "--models", "MODELS"],
        ["--models", "MODELS", "--json", "--", "VERSION"],
    ],
    ids=" ".join,
)
def test_without_a_file_it_is_stdout_wherever_it_stands(
    tokens: list[str], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = ModelsFolder(models).find()
    meant = {"MODELS": str(models), "VERSION": version}
    assert main(["models", "verify", *(meant.get(token, token) for token in tokens)]) == 0
    assert [row["version"] for row in json.loads(capsys.readouterr().out)] == [version]


def test_what_follows_it_is_its_file(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCORE_MODELS", str(models))
    for name, tokens in {"out": ["--json", "out"], "-odd": ["--json=-odd"]}.items():
        assert main(["models", "verify", *tokens]) == 0
        assert "as published" in capsys.readouterr().out
        assert json.loads((tmp_path / name).read_text())[0]["ok"] is True
