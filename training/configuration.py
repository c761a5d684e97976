"""Configuration: a TOML file of hyperparameters; ``tune`` writes it, ``--config`` reads it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import TypeAdapter, ValidationError

from training.errors import TrainingError
from training.files import write_text


def read_configuration(path: Path, options: type) -> dict[str, Any]:
    """Reads the options that a file gives.

    Args:
        path: a TOML file with ``name = value`` in each line; names are those of the options, with
            underscores.
        options: the dataclass of the options.

    Returns:
        The values by name.

    Raises:
        TrainingError: the file cannot be read, or has an unknown name or a wrong value.
    """
    given = read_toml(path)
    known = [field.name for field in fields(options)]
    for name in given:
        if name not in known:
            raise TrainingError(
                f"{path}: there is no option {name!r}; known are {', '.join(known)}"
            )
    try:
        checked: object = TypeAdapter(options).validate_python(given)
    except ValidationError as error:
        raise TrainingError(f"{path}: {explain(error)}") from error
    return {name: getattr(checked, name) for name in given}


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        TrainingError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # neither UTF-8 nor TOML
        raise TrainingError(f"{path} is not TOML: {error}") from error


def explain(error: ValidationError) -> str:
    """Returns what is wrong with the first wrong value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}, found {first['input']!r}"


def write_configuration(path: Path, values: Mapping[str, Any], remarks: list[str]) -> None:
    """Writes options to a file that ``read_configuration`` reads.

    Raises:
        WriteError: the disk is full, or the file cannot be written.
    """
    document = tomlkit.document()
    for remark in remarks:
        document.add(tomlkit.comment(remark))
    for name, value in values.items():
        document.add(name, value)
    write_text(path, tomlkit.dumps(document))
