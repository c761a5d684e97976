"""The manifest of a version: its content, and the version name that is made from it.

The folder's name holds a hash of the manifest, and the manifest holds a hash of every file. Errors
name the file, what was expected and what was found.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.artifacts.format import ALS_ALONE, FORMAT_VERSIONS, MANIFEST, WITH_BLOCKS
from app.artifacts.regular import read_at_most
from app.errors import InvalidArtifact

_MAX_MANIFEST_BYTES: Final = 16 * 2**20
_MAX_REPORT_BYTES: Final = 64 * 2**20
_MAX_SHOWN: Final = 80
_MAX_DEPTH: Final = 32
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_OBJECT: Final = ("an object", (dict,))
_OBJECT_OR_NULL: Final = ("an object or null", (dict, type(None)))
_KINDS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "created_at": ("a text", (str,)),
    "code_version": ("a text", (str,)),
    "dataset": _OBJECT_OR_NULL,
    "parameters": _OBJECT,
    "metrics": _OBJECT_OR_NULL,
    "publication": _OBJECT_OR_NULL,
    "event_unit": _OBJECT_OR_NULL,
    "event_watermark": _OBJECT_OR_NULL,
}
# What the formats have each of their own.
_KINDS_OF: Final[Mapping[int, dict[str, tuple[str, tuple[type, ...]]]]] = {
    ALS_ALONE: {"weighting": _OBJECT},
    WITH_BLOCKS: {"blocks": ("a list", (list,))},
}


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
        encoded = read_at_most(path, _MAX_MANIFEST_BYTES, folder.parent)
        if len(encoded) > _MAX_MANIFEST_BYTES:
            raise InvalidArtifact(
                path, expected=f"at most {_MAX_MANIFEST_BYTES} bytes", found="more"
            )
        manifest = json.loads(encoded)
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable manifest", found=error.strerror or "an error"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArtifact(path, expected="a JSON object", found=f"{error}") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise InvalidArtifact(
            path, expected="an object with format_version", found=_shown(manifest)
        )
    if not _is_one_of(manifest["format_version"], FORMAT_VERSIONS):
        raise InvalidArtifact(
            path,
            expected=f"format_version {' or '.join(map(str, FORMAT_VERSIONS))}",
            found=_shown(manifest["format_version"]) + written_by(manifest),
        )
    try:
        version = version_of(manifest)
    except (KeyError, ValueError, RecursionError) as error:
        raise InvalidArtifact(
            path, expected="a whole manifest", found=f"{error!r}"[:_MAX_SHOWN]
        ) from error
    if version != folder.name:
        raise InvalidArtifact(
            path,
            expected=f"the manifest that version {folder.name} was published with",
            found=f"one that belongs to version {_shown(version)[1:-1]}",
        )
    _check_types(path, manifest)
    return manifest


def _check_types(path: Path, manifest: Mapping[str, Any]) -> None:
    """Checks what is shown to people, by ``GET /model`` and ``models list``."""
    of_format = _KINDS_OF[manifest["format_version"]]
    for key, (expected, kinds) in (_KINDS | of_format).items():
        if not isinstance(manifest.get(key), kinds):
            raise InvalidArtifact(
                path, expected=f"{expected} under {key}", found=_shown(manifest.get(key))
            )
    if not _TIME.fullmatch(manifest["created_at"]):
        raise InvalidArtifact(
            path, expected="a time under created_at", found=_shown(manifest["created_at"])
        )
    if _is_deeper(manifest, _MAX_DEPTH):
        raise InvalidArtifact(
            path, expected=f"objects within objects, {_MAX_DEPTH} at most", found="more"
        )


def _is_one_of(found: object, numbers: Iterable[int]) -> bool:
    return type(found) is int and found in numbers


def written_by(manifest: Mapping[str, Any]) -> str:
    """Returns which version of Encore reads what this one does not know, to end a sentence with."""
    version = manifest.get("code_version")
    if not isinstance(version, str):
        return ""
    return f", written by Encore {_shown(version)[1:-1]}; that version or a later one reads it"


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth == 0 or any(_is_deeper(one, depth - 1) for one in inner)
    return False


def _shown(value: object) -> str:
    """Returns the beginning of a value that may be anything, without control characters."""
    return ascii(value)[:_MAX_SHOWN]


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
            folder / MANIFEST, expected="an object of objects under files", found=_shown(files)
        )
    for name, entry in files.items():
        if Path(name).name != name or "\0" in name:
            raise InvalidArtifact(
                folder / MANIFEST, expected="plain file names", found=_shown(name)
            )
        size = entry.get("bytes")
        if type(size) is not int or size < 0 or not isinstance(entry.get("sha256"), str):
            raise InvalidArtifact(
                folder / MANIFEST, expected=f"bytes and sha256 of {name}", found=_shown(entry)
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
        and type(entry.get("bytes")) is int
        and 0 <= entry["bytes"] <= _MAX_REPORT_BYTES
        and isinstance(entry.get("sha256"), str)
    ):
        raise InvalidArtifact(
            folder / MANIFEST,
            expected=f"bytes (at most {_MAX_REPORT_BYTES}) and sha256 of the report",
            found=_shown(entry),
        )
    return entry
