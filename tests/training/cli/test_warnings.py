"""Odd data on a terminal: no warning of a library is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.training.cli.commands import QUICK

ROOT: Final = Path(__file__).parents[3]
DAY: Final = 1_700_000_000
# Users, artists, plays and times; each is odd in a way of its own.
DATA: Final[dict[str, list[tuple[float, ...]]]] = {
    "equal": [(u, a, 1, DAY) for u in range(2) for a in range(6)],
    "one user is measured": [
        (u, a, 1 + a * u, DAY + a) for u in range(8) for a in range(9 if u == 0 else 2)
    ],
    "one artist": [(u, 0, 1 + u, DAY + u) for u in range(3)],
    "huge": [(u, a, 3e38, DAY + a) for u in range(4) for a in range(7)],
}
# The data and the command of each case, and the beginning of its error, or nothing.
CASES: Final = [
    ("equal", "evaluate --k 1 --repeats 2 --convergence --discovery-curve", ""),
    ("one user is measured", "train --k 1", ""),
    ("one artist", "train", ""),
    ("equal", "tune --k 1 --trials 1 --out {out}/best.toml", "after 1 trial no list has a val"),
    ("huge", "train --no-evaluation", "the median of the plays is 3e+38, and a model holds 1e-30"),
]
# Runs commands one after another, as the first of a process each: importing takes the longest.
RUN: Final = """
import json, sys
from training.cli import main
for tokens in json.loads(sys.argv[1]):
    print("command:", *tokens, file=sys.stderr)
    print("status:", main(tokens), file=sys.stderr)
"""


def write(path: Path, rows: Iterable[tuple[float, ...]]) -> Path:
    lines = ["user_id,item_id,plays,timestamp"]
    lines += [f"u{user},a{artist},{plays},{time}" for user, artist, plays, time in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(commands: Sequence[Sequence[str]]) -> list[str]:
    """Runs commands in a process whose first warning is an error; returns what each said."""
    # The threads of BLAS, about which implicit warns, are ours to limit.
    environment = {key: value for key, value in os.environ.items() if "THREADS" not in key}
    # The terminal never shows what is deprecated in a library, which other versions of it may be.
    warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    ended = subprocess.run(
        [sys.executable, *warnings, "-c", RUN, json.dumps(commands)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    for sign in ("Warning", "Traceback", "Exception ignored", "OPENBLAS", "site-packages"):
        assert sign not in ended.stderr
    assert ended.returncode == 0
    begin, *said = " ".join(ended.stderr.split()).split("command: ")
    assert begin == ""
    return said


@pytest.mark.slow
def test_no_warning_of_a_library_is_shown(tmp_path: Path) -> None:
    commands, errors = [], []
    for data, text, error in CASES:
        table = write(tmp_path / f"{data}.csv", DATA[data])
        tokens = [*text.format(out=tmp_path).split(), "--dataset", "table", "--data", str(table)]
        models = ["--models", f"{table}.models"] if text.startswith("train") else []
        commands.append([*tokens, *models, *([] if text.startswith("tune") else QUICK)])
        errors.append(error)
        if models and not error:
            commands.append(["export", "--out", f"{table}.lists.csv", *models])
            errors.append("")
    said = run(commands)
    assert len(said) == len(errors) == 7
    for one, error in zip(said, errors, strict=True):
        assert one.rpartition("status: ")[2].strip() == ("1" if error else "0"), one
        assert one.partition("error: ")[2].startswith(error)
        assert bool(error) == ("error: " in one)
