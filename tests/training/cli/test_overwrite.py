"""Files that are there already: no command replaces one unless it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cyclopts import App

from tests.training.cli.commands import error_of, of_table
from training.cli import cli, main

# What each command that writes a file cannot do without. None of it is there, so that a command
# which looked at it first would say so.
NEEDED: Final = {
    "generate": ["--users", "9"],
    "report": of_table(Path("/missing/plays.csv")),
    "tune": of_table(Path("/missing/plays.csv")),
    "export": ["--models", "/missing"],
    "events export": ["--events", "sqlite:////missing/events.db"],
    "events backup": ["--events", "sqlite:////missing/events.db"],
}
NAMES: Final = {"report": "a.html", "tune": "a.toml", "export": "a.csv", "events export": "a.jsonl"}


def commands(app: App = cli, before: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """Yields all commands by name."""
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command is None:
            yield from commands(app[name], (*before, name))
        else:
            yield " ".join((*before, name)), app[name]


def options_of(command: App) -> set[str]:
    return {one.name for one in command.assemble_argument_collection()}


def test_each_command_that_writes_a_file_can_be_told_to_replace_it() -> None:
    writing = {name for name, command in commands() if options_of(command) & {"--out", "OUT"}}
    assert writing == NEEDED.keys()
    # Any of them may write its result to a file, by --json FILE.
    assert [name for name, command in commands() if "--overwrite" not in options_of(command)] == []


def tokens_of(command: str, out: Path) -> list[str]:
    words = command.split()
    place = [str(out)] if words[0] == "events" else ["--out", str(out)]
    return [*words, *place, *NEEDED[command]]


@pytest.mark.parametrize("command", sorted(NEEDED.keys() - {"generate"}))
def test_a_file_is_not_written_to_twice(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures used to replace the result, or the other way round."""
    out = tmp_path / NAMES.get(command, "a.db")
    assert main([*tokens_of(command, out), "--json", str(tmp_path / "." / out.name)]) == 1
    assert f"{out} is named for two outputs; name two different files" in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(NEEDED.keys() - {"generate"}))
def test_a_file_that_is_there_is_not_replaced(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / NAMES.get(command, "a.db")
    out.write_text("mine")
    assert main(tokens_of(command, out)) == 1
    refusal = "exists; replace it with --overwrite, or name another file"
    assert error_of(capsys) == f"error: {out} {refusal}"
    # Allowed to replace it, the command goes on to its data, and leaves the file until the end.
    assert main([*tokens_of(command, out), "--overwrite"]) == 1
    assert "missing" in error_of(capsys)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(out.name, "mine")]


# The commands that only write a result, with what they cannot do without; none of it is there.
STORE: Final = ["--events", "sqlite:////missing/events.db"]
RESULTS: Final = {
    "train": of_table(Path("/missing/plays.csv")),
    "evaluate": of_table(Path("/missing/plays.csv")),
    "models verify": ["--models", "/missing"],
    "models prune": ["--models", "/missing", "--erased", *STORE],
    "events import": ["/missing/events.jsonl", *STORE],
    "events prune": ["--older-than", "9", *STORE],
    "events show": STORE,
    "events renew": STORE,
    "events compact": STORE,
}
# These need nothing that could be missing.
ALWAYS: Final = {"datasets": [], "models list": ["--models", "/missing"]}


@pytest.mark.parametrize("command", sorted({*NEEDED, *RESULTS, *ALWAYS}))
def test_a_result_is_not_written_over_another_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: `train --json FILE` replaced the figures of an earlier training, hours later.
    file = tmp_path / "figures.json"
    file.write_text("mine")
    if command in NEEDED:
        tokens = tokens_of(command, tmp_path / NAMES.get(command, "a.db"))
    else:
        tokens = [*command.split(), *(RESULTS | ALWAYS)[command]]
    tokens += ["--json", str(file)]
    assert main(tokens) == 1
    refusal = "exists; replace it with --overwrite, or name another file"
    assert error_of(capsys) == f"error: {file} {refusal}"
    assert file.read_text() == "mine"
    if command == "generate":
        return
    assert main([*tokens, "--overwrite"]) == (0 if command in ALWAYS else 1)
    assert "--overwrite" not in error_of(capsys)
    assert (file.read_text() == "mine") == (command not in ALWAYS)


def test_a_sample_that_is_there_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tokens_of("generate", tmp_path)
    assert main([*tokens, "--seed", "1"]) == 0
    made = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(tokens) == 1
    refusal = "holds a sample already; replace it with --overwrite, or name another folder"
    assert error_of(capsys).endswith(f"error: {tmp_path} {refusal}")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == made
    assert main([*tokens, "--overwrite"]) == 0
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} != made


def test_a_search_that_goes_on_replaces_its_own_winner_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, state = tmp_path / "best.toml", tmp_path / "best.search"
    out.touch()
    assert main(tokens_of("tune", out)) == 1
    assert f"{out} exists; replace it" in error_of(capsys)
    state.touch()
    figures = tmp_path / "best.json"
    figures.touch()
    assert main([*tokens_of("tune", out), "--json", str(figures)]) == 1
    assert "plays.csv does not exist" in error_of(capsys)


def test_a_link_to_nothing_is_a_file_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.csv"
    out.symlink_to(tmp_path / "nothing.csv")
    assert main(tokens_of("export", out)) == 1
    assert f"{out} exists; replace it" in error_of(capsys)
