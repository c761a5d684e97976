from __future__ import annotations

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
