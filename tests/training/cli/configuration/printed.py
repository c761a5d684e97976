"""Runs ``train --print`` in this process."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from training.cli import main


def printed(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    """Returns what ``train --print`` prints."""
    capsys.readouterr()
    assert main(["train", "--print", *tokens]) == 0
    return capsys.readouterr().out


def holds(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, Any]:
    """Returns the options that hold, of all sections."""
    sections = tomllib.loads(printed(capsys, *tokens))
    return {key: value for options in sections.values() for key, value in options.items()}


def config(folder: Path, text: str) -> Path:
    """Writes a file of options."""
    path = folder / "nightly.toml"
    path.write_text(text)
    return path
