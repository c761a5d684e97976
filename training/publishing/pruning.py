"""Pruning: removes published models that still hold users who were erased."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.artifacts.models_folder import ModelsFolder
from app.errors import InvalidArtifact
from app.store.interface import EventStore
from training.event_data.erasure import count_erased
from training.publishing.publish import remove


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one version.

    Attributes:
        version: which one.
        erased_users: how many users it holds who were erased, None where it cannot be read.
        removed: whether it is gone.
        is_current: whether it is the current version, which stays whomever it holds.
        error: why it cannot be read; empty where it can.
    """

    version: str
    erased_users: int | None = None
    removed: bool = False
    is_current: bool = False
    error: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether nobody who was erased is left in it."""
        return self.removed or self.erased_users == 0

    def to_json(self) -> dict[str, Any]:
        """Returns the row for ``models prune --json``."""
        fields = asdict(self)
        return {name: fields[name] for name in ("version", "erased_users", "removed")}


def prune_erased(models: Path, store: EventStore, *, dry_run: bool = False) -> list[Pruned]:
    """Removes the versions that hold users who were erased, but for the current one.

    Args:
        models: the models folder.
        store: has the tombstones.
        dry_run: removes nothing.

    Returns:
        What became of each version, oldest first.

    Raises:
        ModelNotFound: the pointer to the current version cannot be read.
        StoreUnavailable: the store cannot be read.
        WriteError: the folder cannot be written.
    """
    folder = ModelsFolder(models)
    current, rows = folder.current(), []
    for version in folder.versions():
        is_current, removed = version == current, False
        try:
            count = count_erased(folder.open(version), store)
        except InvalidArtifact as error:
            rows.append(Pruned(version, is_current=is_current, error=str(error)))
            continue
        if count and not is_current and not dry_run:
            remove(models, version)
            removed = True
        rows.append(Pruned(version, count, removed, is_current))
    return rows
