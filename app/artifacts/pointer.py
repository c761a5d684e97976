"""The pointer of a models folder: a small file with the version that is current."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from app.artifacts.regular import read_at_most
from app.errors import ModelNotFound

POINTER: Final = "current"
_MAX_BYTES: Final = 200
_VERSION: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)


def is_version(name: str) -> bool:
    """Says whether a name has the form of a version."""
    return _VERSION.fullmatch(name) is not None


def read_pointer(models: Path) -> str | None:
    """Returns the version that the pointer of a models folder names, None where it is missing.

    Raises:
        ModelNotFound: the pointer names no version, or cannot be read.
    """
    path = models / POINTER
    try:
        text = read_at_most(path, _MAX_BYTES, models).decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelNotFound(f"{path}: expected a readable file, found: {error.strerror}") from error
    if not is_version(text):
        # Not quoted: whoever can place a file here could have others shown in answers and logs.
        raise ModelNotFound(
            f"{path}: expected one version such as 20261123T150405Z-3f9c2a1b, "
            f"found {len(text)} other characters"
        )
    return text
