"""The models folder: published versions and the pointer to the current one."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from app.artifact import MANIFEST
from app.errors import ModelNotFound
from app.files import sync_folder

POINTER: Final = "current"
_VERSION: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)


def is_version(name: str) -> bool:
    """Says whether a name has the form of a version."""
    return _VERSION.fullmatch(name) is not None


def list_versions(models: Path) -> list[str]:
    """Returns the published versions, oldest first; none if the folder is missing."""
    if not models.is_dir():
        return []
    return sorted(
        entry.name
        for entry in models.iterdir()
        if is_version(entry.name) and (entry / MANIFEST).is_file()
    )


def current_version(models: Path) -> str | None:
    """Returns the version that the pointer names, None where nothing has been published.

    Raises:
        ModelNotFound: the pointer names no version, or cannot be read.
    """
    path = models / POINTER
    try:
        with path.open(errors="replace") as file:
            text = file.read(200).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelNotFound(f"{path}: expected a readable file, found: {error.strerror}") from error
    if not is_version(text):
        raise ModelNotFound(
            f"{path}: expected one version such as 20261123T150405Z-3f9c2a1b, found {text!r}"
        )
    return text


def set_current_version(models: Path, version: str) -> None:
    """Points ``models/current`` at a version, atomically.

    Raises:
        ModelNotFound: there is no such version.
    """
    if version not in list_versions(models):
        raise ModelNotFound(f"{models}: there is no version {version}")
    # Neither threads nor containers, where everyone is process 1, may share a temporary file.
    temporary = models / f".{POINTER}-{secrets.token_hex(8)}"
    try:
        with temporary.open("w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(models / POINTER)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(models)
