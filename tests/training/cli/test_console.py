from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from training.cli.console import Bars, Output

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
    output.json({"k": 10})
    output.note("worth knowing")
    output.error("it is [red]wrong[/]")
    with output.bars() as bars:
        bars.step("a [step]", 3)(3)
    shown = capsys.readouterr()
    assert shown.out == 'a result\n{\n  "k": 10\n}\n'
    assert shown.err.startswith("note: worth knowing\nerror: it is [red]wrong[/]\n")
    assert "a [step]" in shown.err


def test_quiet_leaves_tables_and_sentences_out(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.show("a sentence")
    output.show(Table("column"))
    output.json([])
    assert capsys.readouterr().out == "[]\n"
