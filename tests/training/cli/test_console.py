from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from training.cli.console import STDOUT, Bars, Output
from training.errors import TrainingError

LINE = "trial 1: 0.1956, best 0.1960 (trial 0); weighting [bold], factors 157"


def said(*, terminal: bool) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=40, force_terminal=terminal, color_system=None)
    Bars(Progress(console=console)).say(LINE)
    return stream.getvalue().splitlines()


def test_a_line_beside_the_bars_is_broken_at_words_on_a_terminal_only() -> None:
    # Was wrong: a terminal broke it in the middle of a word.
    assert said(terminal=False) == [LINE]
    wrapped = said(terminal=True)
    assert len(wrapped) == 2
    assert [word for line in wrapped for word in line.split()] == LINE.split()


def test_results_go_to_stdout_and_all_else_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.show("a result")
    output.result({"k": 10})
    output.note("worth knowing")
    output.error("it is [red]wrong[/]")
    with output.bars() as bars:
        bars.step("a [step]", 3)(3)
    shown = capsys.readouterr()
    assert shown.out == "a result\n"
    assert shown.err.startswith("note: worth knowing\nerror: it is [red]wrong[/]\n")
    assert "a [step]" in shown.err


HOSTILE = "x\x1b]0;owned\x07\x9b2J\u202egpj\nERROR: forged \udc80[red]y[/]"
SHOWN = r"x\u001b]0;owned\u0007\u009b2J\u202egpj"


def test_names_reach_the_terminal_through_no_door_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Was wrong: the name of a data set in a manifest could clear a terminal and write on it.
    output = Output()
    table = Table("name")
    table.add_row(HOSTILE)
    doors: list[Callable[[], object]] = [
        lambda: output.show(HOSTILE),
        lambda: output.show(Text(HOSTILE)),
        lambda: output.show(table),
        lambda: output.note(HOSTILE),
        lambda: output.warn(HOSTILE),
        lambda: output.error(HOSTILE),
        lambda: Output(STDOUT).result({HOSTILE: HOSTILE}),
    ]
    for door in doors:
        door()
        shown = "".join(capsys.readouterr())
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\udc80"} & {*shown}, shown
        assert "owned" in shown
        assert "[red" in shown
    with output.bars() as bars:
        bars.say(HOSTILE)
        bars.step(HOSTILE, 3)(3)
    assert SHOWN in capsys.readouterr().err


def test_json_on_stdout_has_its_value_whatever_the_names_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = HOSTILE.replace("\udc80", "\U000e0041")
    Output(STDOUT).result({name: name})
    assert json.loads(capsys.readouterr().out) == {name: name}


def test_json_on_stdout_leaves_tables_and_sentences_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: where the working directory was read-only, not even stdout could be asked for.
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    output = Output(STDOUT)
    output.show("a sentence")
    output.show(Table("column"))
    output.result([])
    assert capsys.readouterr().out == "[]\n"
    assert output.json_file is None


def test_json_in_a_file_stands_beside_tables_and_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(tmp_path / "out.json")
    output.show("a sentence")
    output.result({"k": 10}, "the figures are")
    assert capsys.readouterr().out == f"a sentence\nthe figures are in {tmp_path}/out.json\n"
    assert (tmp_path / "out.json").read_text() == '{\n  "k": 10\n}\n'


def test_a_file_for_json_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no such folder"):
        Output(tmp_path / "none" / "out.json")
