"""Publishing: writes a model as an immutable folder and points ``models/current`` at it.

A model of far less data than the current one is written all the same, but the pointer stays where
it is. A folder is removed as it came, in one step.
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
        TrainingError: the model holds vectors that are no numbers.
        InvalidArtifact: what was written does not read back.
        WriteError: the disk is full, or the folder cannot be written; nothing is left of the
            attempt.
    """
    if not (np.isfinite(model.user_factors).all() and np.isfinite(model.item_factors).all()):
        raise TrainingError(
            "the model holds vectors that are no numbers, so it is not published; look at the "
            "plays of the data, and at the parameters"
        )
    folder = WritableModelsFolder(models)
    try:
        folder.make()
        with folder.lock() as workspace:
            # Under the lock to the end: nobody else's version becomes current in between.
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
    """Removes a version, whole or not at all. A service that has it open goes on with it.

    Args:
        models: the models folder.
        version: one that is there.

    Raises:
        TrainingError: it is the current one.
        WriteError: the folder cannot be written.
    """
    folder = WritableModelsFolder(models)
    try:
        with folder.lock() as workspace:
            if version == folder.current():
                raise TrainingError(f"{version} is the current model in {models}, and stays")
            workspace.remove(version)
    except OSError as error:
        raise WriteError(models, error) from error


def _compare(card: Mapping[str, Any], folder: ModelsFolder) -> tuple[Shrinkage | None, str | None]:
    """Returns what shrank since the current version, and why if it cannot be read."""
    try:
        version = folder.current()
        if version is None:
            return None, None
        earlier = folder.manifest(version)
    except (ModelNotFound, InvalidArtifact) as error:
        return None, str(error)
    return shrinkage(card.get("dataset") or {}, earlier.get("dataset") or {}, version), None
