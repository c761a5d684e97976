"""Publishing: writes a model as an immutable folder and points ``models/current`` at it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from app import __version__
from app.artifact import (
    ARRAYS,
    FORMAT_VERSION,
    MANIFEST,
    model_arrays,
    open_model,
    verify_checksums,
    version_of,
)
from app.model import Model
from app.versions import set_current_version, sync_folder

_BUILDING: Final = ".building-"
_LOCK: Final = ".lock"


def publish(
    model: Model, models: Path, *, card: Mapping[str, Any], created_at: datetime | None = None
) -> str:
    """Writes a model beside its final place, verifies it, renames it and makes it current.

    Args:
        model: what to publish.
        models: the models folder; made if it is missing.
        card: what the manifest says besides the format: ``dataset``, ``parameters``, ``metrics``…
        created_at: time of the version, default now.

    Returns:
        The new version.

    Raises:
        InvalidArtifact: what was written does not read back.
        OSError: the disk is full, or the folder cannot be written; nothing is left of the attempt.
    """
    models.mkdir(parents=True, exist_ok=True)
    with _locked(models), _building_folder(models) as folder:
        content = folder / "content"
        content.mkdir()
        files = {}
        for name, array in model_arrays(model).items():
            files[name] = _write_array(content / f"{name}.npy", name, array)
        manifest = _manifest(model, card, created_at or datetime.now(UTC), files)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        _write_flushed(content / MANIFEST, text.encode())
        sync_folder(content)
        version = version_of(json.loads(text))
        # Read back under its name, but where nobody looks for versions yet.
        staged = content.rename(folder / version)
        open_model(staged)
        verify_checksums(staged)
        if not (models / version).exists():  # the same content in the same second is the same
            staged.rename(models / version)
            sync_folder(models)
        set_current_version(models, version)
    return version


def _manifest(
    model: Model, card: Mapping[str, Any], created_at: datetime, files: Mapping[str, Any]
) -> dict[str, Any]:
    """Puts the manifest together; a card, even another manifest, cannot overrule the model."""
    head = {
        "format_version": FORMAT_VERSION,
        "created_at": created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "code_version": __version__,
    }
    solve = {"alpha": model.alpha, "regularization": model.regularization}
    return {
        **head,
        **card,
        **head,
        "parameters": {**card.get("parameters", {}), **solve},
        "weighting": model.weighting.to_manifest(),
        "event_watermark": None,
        "files": files,
    }


@contextmanager
def _locked(models: Path) -> Iterator[None]:
    """Lets one process at a time write into the models folder; the kernel frees a killed one's."""
    with (models / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _building_folder(models: Path) -> Iterator[Path]:
    # Under the lock, whatever is there was left behind by a training that was killed.
    for leftover in models.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = models / f"{_BUILDING}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_array(path: Path, name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    spec = ARRAYS[name]
    with path.open("wb") as file:
        np.lib.format.write_array(
            file, np.ascontiguousarray(array, dtype=spec.dtype), allow_pickle=False
        )
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
    return entry | ({"optional": True} if spec.optional else {})


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
