"""Runs commands in this process, as a user types them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from training.cli import main

QUICK: Final = ("--factors", "8", "--iterations", "3")
SPACE: Final = 'weighting = ["log", "bm25"]\nfactors = [4, 8]\niterations = 3\n'
N_USERS: Final = 60


def of_sample(sample: Path) -> list[str]:
    """Returns the options that name a generated sample."""
    return ["--dataset", "synthetic", "--data", str(sample)]


def of_table(table: Path) -> list[str]:
    """Returns the options that name a table."""
    return ["--dataset", "table", "--data", str(table)]


def train(sample: Path, models: Path, *more: str) -> int:
    """Trains quickly on a sample."""
    return main(["train", *of_sample(sample), "--models", str(models), *QUICK, *more])


def exit_code(*tokens: str) -> int:
    """Runs tokens that the option parser itself refuses."""
    with pytest.raises(SystemExit) as caught:
        main(tokens)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Returns what was said on stderr, on one line."""
    return " ".join(capsys.readouterr().err.split())


def write_pairs(path: Path, pairs: list[tuple[int, int]]) -> Path:
    """Writes a table of users and artists by number."""
    path.write_text("user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    return path


def write_rows(path: Path, rows: int) -> Path:
    """Writes a table of some rows, ten artists for each user: the beginning of an export."""
    return write_pairs(path, [(row // 10, row % 10 + row // 100) for row in range(rows)])


def flip_a_bit(path: Path) -> None:
    """Changes a file's last byte; its size stays."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
