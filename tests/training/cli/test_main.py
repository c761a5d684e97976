"""What all commands have in common: exit codes, streams, wrong options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import __version__
from app.artifacts.models_folder import ModelsFolder
from tests.training.cli.commands import (
    QUICK,
    error_of,
    exit_code,
    of_sample,
    of_table,
)
from training.cli import cli, main

COMMAND = (sys.executable, "-m", "training")


@pytest.mark.parametrize(
    "tokens",
    [
        ["train", "--prest", "default"],
        ["train", "--preset", "best"],
        ["train", "--factors", "-1"],
        ["train", "--linear-rank", "-1"],
        ["train", "--linear-rank", "8", "--linear-weight", "0"],
        ["train", "--linear-rank", "8", "--linear-weighting", "bm25"],
        ["train", "--factors", "many"],
        ["train", "--factors", "4", "--factors", "8"],
        ["train", "--b", "1.5"],
        ["train", "--k1", "0"],
        ["train", "--regularization", "0"],
        ["train", "--fold-in-share", "0"],
        ["train", "--fold-in-share", "1.1"],
        ["train", "--patience", "0"],
        ["train", "--top-lists", "501"],
        ["train", "--train", "x.csv"],
        ["evaluate", "--k", "0"],
        ["evaluate", "--k", "501"],
        ["evaluate", "--repeats", "0"],
        ["evaluate", "--split", "by-moon"],
        ["evaluate", "--folds", "1"],
        ["evaluate", "--test-fraction", "0"],
        ["evaluate", "--test-fraction", "1"],
        ["evaluate", "--at", "yesterday"],
        ["evaluate", "--sample-users", "0"],
        ["evaluate", "--json", "a.json", "--json", "b.json"],
        ["tune"],
        ["tune", "--out", "x.toml", "--trials", "0"],
        ["tune", "--out", "x.toml", "--minutes", "0"],
        ["tune", "--out", "x.toml", "--validation-users", "0"],
        ["tune", "--out", "x.toml", "--factors", "8"],
        ["report"],
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


@pytest.mark.slow
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    commands = ["datasets", "evaluate", "export", "generate", "report", "train", "tune"]
    for command in commands:
        assert main([command, "--help"]) == 0
        assert f"Usage: python -m training {command}" in capsys.readouterr().out
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"│ {command} " in shown for command in commands)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_is_in_groups_and_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal has 80 columns
    monkeypatch.setenv("COLUMNS", str(width))
    for app in (cli, cli["train"]):  # it may have the width of a test before
        monkeypatch.setattr(app, "_fallback_console", None)
    assert main(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= width
    titles = [line.strip("╭─╮ ") for line in lines if line.startswith("╭")]
    assert titles == ["Data", "Recipe", "Evaluation", "Engine", "Publishing", "File of options"]


@pytest.mark.parametrize(
    ("tokens", "nearest", "commands"),
    [
        (["trian"], "train", "datasets, evaluate, events, export, generate, models, report, "),
        (["events", "shwo"], "show", "backup, compact, export, import, prune, renew, show."),
    ],
)
def test_a_misspelt_command_is_answered_with_all(
    tokens: list[str], nearest: str, commands: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: only the first eight were listed.
    assert exit_code(*tokens) == 2
    told = error_of(capsys).replace("│ ", "").replace(" │", "")
    assert f'Did you mean "{nearest}"? Commands: {commands}' in " ".join(told.split())


def test_an_empty_variable_counts_as_unset(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: the model was published into the current folder itself.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCORE_MODELS", "")
    assert main(["train", *of_table(table), *QUICK, "--no-evaluation"]) == 0
    assert ModelsFolder(tmp_path / "models").current() is not None


@pytest.mark.slow
def test_brackets_in_a_path_are_no_markup(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: rich read them as markup, and raised after the model was published.
    folder = tmp_path / "x[bold]" / "q[/z]"
    folder.mkdir(parents=True)
    data = folder / "plays[bold].csv"
    data.write_bytes(table.read_bytes())
    tokens = [*of_table(data), "--models", str(folder), "--no-evaluation"]
    assert main(["train", *tokens, *QUICK]) == 0
    assert f"published {ModelsFolder(folder).current()} in {folder};" in capsys.readouterr().out


@pytest.mark.slow
def test_a_system_error_names_the_file_and_has_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("x" * 300 + ".json")
    assert main(["evaluate", "--json", str(out), *of_table(tmp_path / "x.csv")]) == 1
    message = error_of(capsys)
    assert message.startswith("error: ")
    assert "Traceback" not in message


@pytest.mark.slow
def test_piped_sentences_are_one_line(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    tokens = [*of_sample(sample), "--models", str(folder), *QUICK, "--no-evaluation"]
    ended = subprocess.run([*COMMAND, "train", *tokens], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == (
        f"published {ModelsFolder(folder).current()} in {folder}; it is the current model now"
    )


def interrupt(tokens: list[str], *, when: str) -> subprocess.CompletedProcess[str]:
    """Presses Ctrl-C when a text appears on stderr."""
    process = subprocess.Popen(
        [*COMMAND, *tokens],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    told = ""
    deadline = time.monotonic() + 60
    try:
        while when not in told and time.monotonic() < deadline:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    return subprocess.CompletedProcess(tokens, process.returncode, out, told + rest)


@pytest.mark.slow
def test_ctrl_c_in_a_search_says_how_to_go_on(sample: Path, space: Path, tmp_path: Path) -> None:
    # Was wrong: it ended without a word.
    out, state = tmp_path / "best.toml", tmp_path / "best.search"
    tokens = ["tune", *of_sample(sample), "--out", str(out), "--space", str(space)]
    tokens += ["--trials", "1000"]
    stopped = interrupt(tokens, when="trial 1:")
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    said = " ".join(stopped.stderr.split())
    assert f"trials saved in {state}: the same command continues the search" in said
    assert said.endswith("error: interrupted")
    assert not out.exists()
    count = said.partition(" trials saved")[0].split()[-1]
    assert int(count) >= 2
    tokens[-1] = count
    ended = subprocess.run([*COMMAND, *tokens], capture_output=True, text=True, check=True)
    best_of = ended.stdout.partition("The best of ")[2].split()[0]
    # One more where it was stopped between saving a trial and showing it.
    assert int(best_of) - int(count) in {0, 1}
    assert out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("delay", "presses"), [(0.3, 1), (1.0, 2), (2.5, 1)])
def test_ctrl_c_at_any_moment_is_one_line(delay: float, presses: int, sample: Path) -> None:
    # Was wrong: while modules were loaded it was a traceback, and threads that were still in
    # compiled code when the interpreter went aborted it.
    tokens = ["evaluate", *of_sample(sample), "--iterations", "1000000"]
    with subprocess.Popen(
        [*COMMAND, *tokens], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(delay)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in said


@pytest.mark.parametrize("status", [128 + signal.SIGINT, 128 + signal.SIGTERM, 3])
def test_a_stopped_command_does_not_wait_for_threads(status: int) -> None:
    # Was wrong: an interpreter that ends around threads in compiled code may abort the process.
    code = (
        "import sys, threading, time\n"
        "from training.__main__ import leave\n"
        "def last():\n"
        f"    time.sleep({20 if status > 128 else 0.1})\n"
        "    print('thread has ended', flush=True)\n"
        "threading.Thread(target=last).start()\n"
        "print('written before')\n"
        f"leave({status})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == status
    waited = ["thread has ended"] if status == 3 else []
    assert ended.stdout.splitlines() == ["written before", *waited]


@pytest.mark.parametrize("module", ["cyclopts", "polars"])
def test_without_the_extra_one_sentence_says_how_to_install_it(module: str, tmp_path: Path) -> None:
    # Was wrong: a traceback.
    script = (
        f"import runpy, sys; sys.modules[{module!r}] = None\n"
        "runpy.run_module('training', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: `python -m training` needs the extra `training`, of which {module} is not "
        "installed: in the folder of Encore, run pip install '.[training]'\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "publishing"])
@pytest.mark.parametrize(
    "signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]
)
def test_a_training_that_is_stopped_leaves_nothing_in_the_models_folder(
    sample: Path, tmp_path: Path, signal_number: signal.Signals, moment: str
) -> None:
    models = tmp_path / "models"
    source = [*of_sample(sample), "--models", str(models), "--no-evaluation"]
    length = ["--iterations", "1000000"] if moment == "training" else list(QUICK)
    begun = tmp_path / "begun"
    # A last check that does not end gives time to be stopped between writing and publishing.
    script = (
        "import runpy, sys, time; from app.artifacts import writable_folder\n"
        "writable_folder.verify_checksums = lambda _: time.sleep(60)\n"
        "from implicit.cpu.als import AlternatingLeastSquares as Als; fit = Als.fit\n"
        f"Als.fit = lambda *a, **k: (open({str(begun)!r}, 'w').close(), fit(*a, **k))[1]\n"
        f"sys.argv = {['training', 'train', *source, *length]!r}\n"
        "runpy.run_module('training', run_name='__main__')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    awaited = "begun" if moment == "training" else ".models-building-*/2*"
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(awaited)) and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.unlink()
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
    assert main(["train", *source, *QUICK]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"models"}


def test_a_misspelt_variable_ends_a_command_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCORE_DATABASE_ULR", "sqlite:///x.db")
    assert main(["datasets"]) == 2
    assert error_of(capsys) == (
        "error: ENCORE_DATABASE_ULR is not a setting: do you mean ENCORE_DATABASE_URL?"
    )


def test_another_variable_of_this_prefix_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCORE_FOOBAR", "x")
    monkeypatch.setenv("ENCORE_SERVICE_HOST", "10.0.0.1")
    assert main(["datasets"]) == 0
    assert error_of(capsys) == "warning: nothing reads ENCORE_FOOBAR"


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"
