"""Writing a version: every file flushed to the disk, and listed in the manifest with its hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from app import __version__
from app.artifacts.blocks import block_entries
from app.artifacts.format import (
    ALS_ALONE,
    ARRAYS,
    MANIFEST,
    REPORT,
    array_path,
    arrays_of,
    format_of,
)
from app.artifacts.manifest import version_of
from app.files import sync_folder
from app.model.model import Model


def write_model(
    model: Model,
    folder: Path,
    *,
    card: Mapping[str, Any],
    report: str | None,
    created_at: datetime,
) -> str:
    """Writes a model into a folder.

    Args:
        model: the model.
        folder: the folder to write to; made here.
        card: further fields of the manifest; they do not replace those that come from the model.
        report: the report, HTML; None for none.
        created_at: time of the version.

    Returns:
        The version; the folder can be read only after it is renamed to it.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    folder.mkdir()
    files = {
        name: _write_array(array_path(folder, name), name, array)
        for name, array in arrays_of(model).items()
    }
    manifest = _manifest(model, card, created_at, files)
    manifest["report"] = None if report is None else _write_report(folder / REPORT, report)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    _write_flushed(folder / MANIFEST, text.encode())
    sync_folder(folder)
    return version_of(json.loads(text))


def _manifest(
    model: Model, card: Mapping[str, Any], created_at: datetime, files: Mapping[str, Any]
) -> dict[str, Any]:
    """Builds the manifest; fields that come from the model win over those of the card."""
    head = {
        "format_version": format_of(model),
        "created_at": created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "code_version": __version__,
    }
    return {
        **head,
        **card,
        **head,
        **_how_to_fold_in(model, card.get("parameters", {})),
        "event_watermark": None if model.watermark is None else asdict(model.watermark),
        "files": files,
    }


def _how_to_fold_in(model: Model, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the fields that say how to fold in, and in which unit events count."""
    als, (unit, *_) = model.als, model.event_units
    if format_of(model) == ALS_ALONE and als is not None:
        solve = {"alpha": als.alpha, "fold_in_regularization": als.regularization}
        return {
            "parameters": {**parameters, **solve},
            "weighting": als.weighting.to_manifest(),
            "event_unit": asdict(unit),
        }
    return {
        "parameters": {**parameters},
        "blocks": block_entries(model),
        "event_unit": {"multiple": unit.multiple},
    }


def _write_array(path: Path, name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    spec = ARRAYS[name]
    array = np.ascontiguousarray(array, dtype=spec.dtype)
    with path.open("wb") as file:
        # Not numpy's write_array, whose errors do not say why a write failed.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data if array.size else b"")
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entry = {
        "dtype": spec.dtype,
        "shape": list(array.shape),
        "bytes": path.stat().st_size,
        "sha256": digest,
    }
    return entry | ({"optional": True} if spec.may_be_ignored else {})


def _write_report(path: Path, report: str) -> dict[str, Any]:
    encoded = report.encode()
    _write_flushed(path, encoded)
    return {"bytes": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
