"""TOML files: reading any, and writing one of options, which ``--config`` reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from training.errors import TrainingError
from training.files import write_text


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        TrainingError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # neither UTF-8 nor TOML
        raise TrainingError(f"{path} is not TOML: {error}") from error


def explain(error: ValidationError) -> str:
    """Returns what is wrong with the first wrong value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}, found {first['input']!r}"


def write_configuration(
    path: Path, sections: Mapping[str, Mapping[str, Any]], remarks: list[str]
) -> None:
    """Writes options by section to a file that ``--config`` reads.

    Raises:
        WriteError: the disk is full, or the file cannot be written.
    """
    document = tomlkit.document()
    for remark in remarks:
        document.add(tomlkit.comment(remark))
    for name, values in sections.items():
        table = tomlkit.table()
        for key, value in values.items():
            table.add(key, str(value) if isinstance(value, str) else value)
        document.add(name, table)
    write_text(path, tomlkit.dumps(document))
