"""Publishing: writes a model as an immutable folder and points ``models/current`` at it.

A model of far less data than the current one is written all the same, but the pointer stays where
it is. A folder is removed as it came, in one step.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from app import __version__
from app.artifact import (
    ARRAYS,
    FORMAT_VERSION,
    MANIFEST,
    REPORT,
    model_arrays,
    open_model,
    read_manifest,
    verify_checksums,
    version_of,
)
from app.errors import InvalidArtifact, ModelNotFound
from app.files import sync_folder
from app.model import Model
from app.versions import current_version, set_current_version
from training.errors import TrainingError, WriteError
from training.shrinkage import Shrinkage, shrinkage

_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Published:
    """What came of publishing.

    Attributes:
        version: the new version.
        is_current: whether it was made current.
        shrinkage: which of its counts are less than half of the former current version's.
        not_compared: why nothing is known of the former one's, where it cannot be read.
    """

    version: str
    is_current: bool = True
    shrinkage: Shrinkage | None = None
    not_compared: str | None = None


def publish(
    model: Model,
    models: Path,
    *,
    card: Mapping[str, Any],
    report: str | None = None,
    created_at: datetime | None = None,
    force: bool = False,
) -> Published:
    """Writes a model beside the models folder, verifies it, moves it there and makes it current.

    It is not made current if its dataset shrank to less than half of the current version's.

    Args:
        model: what to publish.
        models: the models folder; made if it is missing.
        card: what the manifest says besides the format: ``dataset``, ``parameters``, ``metrics``…
        report: HTML that shows how the model came about and how good it is; None for none.
        created_at: time of the version, default now.
        force: makes it current whatever shrank.

    Returns:
        The new version, and whether it is current.

    Raises:
        InvalidArtifact: what was written does not read back.
        WriteError: the disk is full, or the folder cannot be written; nothing is left of the
            attempt.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _locked(models), _workspace(models) as workspace:
            # Under the lock to the end: nobody else's version becomes current in between.
            shrunk, not_compared = _compare(card, models)
            is_current = force or shrunk is None
            publication = {
                "made_current": is_current,
                "force": force,
                "shrinkage": shrunk and shrunk.to_manifest(),
            }
            card = {**card, "publication": publication}
            version = _write(model, workspace, card, report, created_at or datetime.now(UTC))
            _move(workspace / version, models, make_current=is_current)
    except OSError as error:
        raise WriteError(models, error) from error
    return Published(version, is_current, shrunk, not_compared)


def remove(models: Path, version: str) -> None:
    """Removes a version, whole or not at all. A service that has it open goes on with it.

    Args:
        models: the models folder.
        version: one that is there.

    Raises:
        TrainingError: it is the current one.
        WriteError: the folder cannot be written.
    """
    try:
        with _locked(models), _workspace(models) as workspace:
            if version == current_version(models):
                raise TrainingError(f"{version} is the current model in {models}, and stays")
            # What is left of it after a kill is removed as that of a killed training is.
            (models / version).rename(workspace / version)
            sync_folder(models)
    except OSError as error:
        raise WriteError(models, error) from error


def _compare(card: Mapping[str, Any], models: Path) -> tuple[Shrinkage | None, str | None]:
    """Returns what shrank since the current version, and why if it cannot be read."""
    try:
        version = current_version(models)
        if version is None:
            return None, None
        earlier = read_manifest(models / version)
    except (ModelNotFound, InvalidArtifact) as error:
        return None, str(error)
    return shrinkage(card.get("dataset") or {}, earlier.get("dataset") or {}, version), None


def _write(
    model: Model, folder: Path, card: Mapping[str, Any], report: str | None, created_at: datetime
) -> str:
    """Writes a model into a folder of its own and reads it back; returns its version."""
    if not (np.isfinite(model.user_factors).all() and np.isfinite(model.item_factors).all()):
        raise TrainingError(
            "the model holds vectors that are no numbers, so it is not published; look at the "
            "plays of the data, and at the parameters"
        )
    content = folder / "content"
    content.mkdir()
    files = {}
    for name, array in model_arrays(model).items():
        files[name] = _write_array(content / f"{name}.npy", name, array)
    manifest = _manifest(model, card, created_at, files)
    manifest["report"] = None if report is None else _write_report(content / REPORT, report)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    _write_flushed(content / MANIFEST, text.encode())
    sync_folder(content)
    version = version_of(json.loads(text))
    # Under its name, but where nobody looks for versions.
    staged = content.rename(folder / version)
    open_model(staged)
    verify_checksums(staged)
    return version


def _move(staged: Path, models: Path, *, make_current: bool) -> None:
    """Moves a finished version to its place, and points to it if wanted: both or nothing."""
    final = models / staged.name
    is_new = not final.exists()  # the same content in the same second is the same version
    if is_new:
        staged.rename(final)
        sync_folder(models)
    if not make_current:
        return
    try:
        set_current_version(models, final.name)
    except OSError:
        if is_new:
            shutil.rmtree(final, ignore_errors=True)
        raise


def _manifest(
    model: Model, card: Mapping[str, Any], created_at: datetime, files: Mapping[str, Any]
) -> dict[str, Any]:
    """Puts the manifest together; a card, even another manifest, cannot overrule the model."""
    head = {
        "format_version": FORMAT_VERSION,
        "created_at": created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "code_version": __version__,
    }
    solve = {"alpha": model.alpha, "fold_in_regularization": model.regularization}
    return {
        **head,
        **card,
        **head,
        "parameters": {**card.get("parameters", {}), **solve},
        "weighting": model.weighting.to_manifest(),
        "event_unit": asdict(model.event_unit),
        "event_watermark": None if model.watermark is None else asdict(model.watermark),
        "files": files,
    }


@contextmanager
def _locked(models: Path) -> Iterator[None]:
    """Lets one process at a time write into the models folder; the kernel frees a killed one's."""
    with (models / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _workspace(models: Path) -> Iterator[Path]:
    """Makes a folder to write in, outside the models folder: a kill leaves nothing half there."""
    models = models.resolve()
    prefix = f".{models.name}-building-"
    # Under the lock, whatever is there was left behind by a training that was killed.
    for place in (models, models.parent):
        for leftover in place.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    name = f"{prefix}{os.getpid()}"
    folder = (models.parent if _can_move_into(models, name) else models) / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _can_move_into(models: Path, name: str) -> bool:
    """Tries whether a folder beside the models folder can be renamed into it.

    Not so where the models folder is a mount point, or its parent is not ours.
    """
    outside, inside = models.parent / name, models / name
    try:
        outside.mkdir()
        outside.rename(inside)
    except OSError:
        return False
    finally:
        for probe in (outside, inside):
            with suppress(OSError):
                probe.rmdir()
    return True


def _write_array(path: Path, name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    spec = ARRAYS[name]
    array = np.ascontiguousarray(array, dtype=spec.dtype)
    with path.open("wb") as file:
        # Not numpy's write_array, which hides why a write fails.
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
    return entry | ({"optional": True} if spec.optional and not spec.essential else {})


def _write_report(path: Path, report: str) -> dict[str, Any]:
    encoded = report.encode()
    _write_flushed(path, encoded)
    return {"bytes": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
