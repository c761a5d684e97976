from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

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
