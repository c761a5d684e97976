"""Files of results: written whole or not at all."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.errors import TrainingError, WriteError


def check_place(path: Path) -> None:
    """Refuses a file that could not be written, before work is done for it.

    Raises:
        TrainingError: its folder is missing, or it is a folder itself.
        WriteError: its folder cannot be written to.
    """
    if not path.parent.is_dir():
        raise TrainingError(f"{path.parent}: there is no such folder; make it first")
    if path.is_dir():
        raise TrainingError(f"{path} is a folder; name a file in it")
    check_writable(path.parent)


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuses a file that could not be written, or that is there, before work is done for it.

    Args:
        path: the file.
        overwrite: whether a file that is there may be replaced.

    Raises:
        TrainingError: it is there; its folder is missing, or it is a folder itself.
        WriteError: its folder cannot be written to.
    """
    check_place(path)
    if os.path.lexists(path) and not overwrite:
        raise TrainingError(already_there(path))


def check_apart(*places: Path) -> None:
    """Refuses files of the same name.

    Raises:
        TrainingError: two of them are the same.
    """
    for number, place in enumerate(places):
        if place.absolute() in [other.absolute() for other in places[:number]]:
            raise TrainingError(f"{place} is named for two outputs; name two different files")


def already_there(path: Path, state: str = "exists", what: str = "file") -> str:
    """Returns the sentence that refuses to replace something."""
    return f"{path} {state}; replace it with --overwrite, or name another {what}"


def check_writable(folder: Path) -> None:
    """Refuses a folder, existing or not, that could not be written to.

    Raises:
        WriteError: it is no folder, or cannot be written to.
    """
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise WriteError(folder, NotADirectoryError(f"{place} is no folder"))
    if not os.access(place, os.W_OK | os.X_OK):
        raise WriteError(folder, PermissionError(f"no permission to write in {place}"))


def write_text(path: Path, text: str) -> None:
    """Writes a temporary file in the same folder and renames it.

    Raises:
        WriteError: the disk is full, or the file cannot be written; nothing is left of it.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON for people to read.

    Raises:
        WriteError: the disk is full, or the file cannot be written; nothing is left of it.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
