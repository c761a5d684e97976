"""The manifest of a version: its content, and the version name that is made from it.

The folder's name holds a hash of the manifest, and the manifest holds a hash of every file. Errors
name the file, what was expected and what was found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.artifacts.format import FORMAT_VERSION, MANIFEST
from app.errors import InvalidArtifact

_MAX_MANIFEST_BYTES: Final = 16 * 2**20
_MAX_REPORT_BYTES: Final = 64 * 2**20


def version_of(manifest: Mapping[str, Any]) -> str:
    """Returns the version that a manifest belongs to: its time and a hash of its content."""
    canonical = json.dumps(manifest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    stamp = str(manifest["created_at"]).replace("-", "").replace(":", "")
    return f"{stamp}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads and checks the manifest of a version folder.

    Raises:
        InvalidArtifact: it is missing, not JSON, of another format version, or does not match the
            folder's name.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InvalidArtifact(
                path,
                expected=f"at most {_MAX_MANIFEST_BYTES} bytes",
                found=f"{path.stat().st_size} bytes",
            )
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable manifest", found=error.strerror or "an error"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArtifact(path, expected="a JSON object", found=f"{error}") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise InvalidArtifact(
            path, expected="an object with format_version", found=str(manifest)[:80]
        )
    if manifest["format_version"] != FORMAT_VERSION:
        raise InvalidArtifact(
            path,
            expected=f"format_version {FORMAT_VERSION}",
            found=f"{manifest['format_version']!r}",
        )
    try:
        version = version_of(manifest)
    except (KeyError, ValueError) as error:
        raise InvalidArtifact(path, expected="a whole manifest", found=f"{error!r}") from error
    if version != folder.name:
        raise InvalidArtifact(
            path,
            expected=f"the manifest that version {folder.name} was published with",
            found=f"one that belongs to version {version}",
        )
    return manifest


def total_bytes(manifest: Mapping[str, Any]) -> int:
    """Returns the size of all files that the manifest lists."""
    entries = [*manifest["files"].values(), manifest.get("report") or {"bytes": 0}]
    return sum(int(entry["bytes"]) for entry in entries)


def file_entries(
    folder: Path, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the names of the arrays that a manifest lists, with their entries.

    Raises:
        InvalidArtifact: an entry lacks a field that every entry has.
    """
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise InvalidArtifact(
            folder / MANIFEST, expected="an object of objects under files", found=str(files)[:80]
        )
    for name, entry in files.items():
        if Path(name).name != name or "\0" in name:
            raise InvalidArtifact(folder / MANIFEST, expected="plain file names", found=repr(name))
        if not (isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)):
            raise InvalidArtifact(
                folder / MANIFEST, expected=f"bytes and sha256 of {name}", found=str(entry)[:80]
            )
        yield name, entry


def report_entry(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the manifest's entry for the report; None where there is none.

    Raises:
        InvalidArtifact: the entry is not that of a report.
    """
    entry = manifest.get("report")
    if entry is None:
        return None
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and 0 <= entry["bytes"] <= _MAX_REPORT_BYTES
        and isinstance(entry.get("sha256"), str)
    ):
        raise InvalidArtifact(
            folder / MANIFEST,
            expected=f"bytes (at most {_MAX_REPORT_BYTES}) and sha256 of the report",
            found=str(entry)[:80],
        )
    return entry
