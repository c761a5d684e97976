"""Publishing: writes a model as an immutable folder and points ``models/current`` at it.

A model of far less data than the current one is written too, but the pointer does not change.
A folder is removed in one step, as it was added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.writable_folder import WritableModelsFolder
from app.errors import InvalidArtifact, ModelNotFound
from app.model.model import Model
from training.errors import TrainingError, WriteError
from training.publishing.shrinkage import Shrinkage, shrinkage


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing.

    Attributes:
        version: the new version.
        is_current: whether it was made current.
        shrinkage: its counts that are less than half of those of the former current version; None
            if there are none.
        not_compared: the reason why the former version cannot be read; None if it can.
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

    It is not made current if its dataset has less than half of the counts of the current version.

    Args:
        model: the model.
        models: the models folder; made if it is missing.
        card: the manifest without the format: ``dataset``, ``parameters``, ``metrics``…
        report: the report as HTML; None for none.
        created_at: time of the version, by default now.
        force: whether to make it current even if its dataset shrank.

    Returns:
        The new version, and whether it is current.

    Raises:
        TrainingError: the model has vectors that are not finite.
        InvalidArtifact: the written files cannot be read again.
        WriteError: the disk is full, or the folder cannot be written; nothing is left of the
            attempt.
    """
    if not (np.isfinite(model.user_factors).all() and np.isfinite(model.item_factors).all()):
        raise TrainingError(
            "the model has vectors that are not finite, so it is not published; check the plays of "
            "the data, and the parameters"
        )
    folder = WritableModelsFolder(models)
    try:
        folder.make()
        with folder.lock() as workspace:
            # All under the lock, so that no other version becomes current in between.
            shrunk, not_compared = _compare(card, folder)
            is_current = force or shrunk is None
            publication = {
                "made_current": is_current,
                "force": force,
                "shrinkage": shrunk and shrunk.to_manifest(),
            }
            version = workspace.write(
                model,
                card={**card, "publication": publication},
                report=report,
                created_at=created_at or datetime.now(UTC),
            )
            workspace.publish(version, make_current=is_current)
    except OSError as error:
        raise WriteError(models, error) from error
    return Published(version, is_current, shrunk, not_compared)


def remove(models: Path, version: str) -> None:
    """Removes a version, whole or not at all. A service that has it open keeps using it.

    Args:
        models: the models folder.
        version: an existing version.

    Raises:
        TrainingError: it is the current version.
        WriteError: the folder cannot be written.
    """
    folder = WritableModelsFolder(models)
    try:
        with folder.lock() as workspace:
            if version == folder.current():
                raise TrainingError(
                    f"{version} is the current model in {models} and cannot be removed"
                )
            workspace.remove(version)
    except OSError as error:
        raise WriteError(models, error) from error


def _compare(card: Mapping[str, Any], folder: ModelsFolder) -> tuple[Shrinkage | None, str | None]:
    """Returns what shrank since the current version, and the reason if that cannot be read."""
    try:
        version = folder.current()
        if version is None:
            return None, None
        earlier = folder.manifest(version)
    except (ModelNotFound, InvalidArtifact) as error:
        return None, str(error)
    return shrinkage(card.get("dataset") or {}, earlier.get("dataset") or {}, version), None
