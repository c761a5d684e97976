"""Odd data on a terminal: no warning of a library is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
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
CASES: Final = [
    ("equal", "evaluate --k 1 --repeats 2 --convergence --discovery-curve", ""),
    ("one user is measured", "train --k 1", ""),
    ("one artist", "train", ""),
    ("equal", "tune --k 1 --trials 1 --out {out}/best.toml", "after 1 trial no list has a val"),
    ("huge", "train --no-evaluation", "the median of the plays is 3e+38, and a model holds 1e-30"),
]


def write(path: Path, rows: Iterable[tuple[float, ...]]) -> Path:
    lines = ["user_id,item_id,plays,timestamp"]
    lines += [f"u{user},a{artist},{plays},{time}" for user, artist, plays, time in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(folder: Path, tokens: str, *more: str) -> str:
    """Runs a command whose first warning is an error; returns what it said on stderr."""
    # The threads of BLAS, about which implicit warns, are ours to limit.
    environment = {key: value for key, value in os.environ.items() if "THREADS" not in key}
    # The terminal never shows what is deprecated in a library, which other versions of it may be.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-m", "training"]
    ended = subprocess.run(
        [*command, *tokens.format(out=folder).split(), *more],
        cwd=ROOT,
        env=environment | {"ENCORE_MODELS": str(folder / "models")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = " ".join(ended.stderr.split())
    for sign in ("Warning", "Traceback", "Exception ignored", "OPENBLAS", "site-packages"):
        assert sign not in said
    assert (ended.returncode == 0) == ("error: " not in said)
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("data", "tokens", "error"), CASES)
def test_no_warning_of_a_library_is_shown(
    data: str, tokens: str, error: str, tmp_path: Path
) -> None:
    table = write(tmp_path / "plays.csv", DATA[data])
    quick = () if tokens.startswith("tune") else QUICK
    said = run(tmp_path, tokens, "--dataset", "table", "--data", str(table), *quick)
    assert said.partition("error: ")[2].startswith(error)
    assert bool(error) == ("error: " in said)
    if tokens.startswith("train") and not error:
        run(tmp_path, "export --out {out}/lists.csv")
