"""Pruning: removes published models that still hold erased users."""

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
    """The result for one version.

    Attributes:
        version: its name.
        erased_users: number of erased users that it holds, None where it cannot be read.
        removed: whether it was removed.
        is_current: whether it is the current version, which is never removed.
        error: the reason why it cannot be read; empty where it can.
    """

    version: str
    erased_users: int | None = None
    removed: bool = False
    is_current: bool = False
    error: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether no erased user is left in it."""
        return self.removed or self.erased_users == 0

    def to_json(self) -> dict[str, Any]:
        """Returns the row for ``models prune --json``."""
        fields = asdict(self)
        return {name: fields[name] for name in ("version", "erased_users", "removed")}


def prune_erased(models: Path, store: EventStore, *, dry_run: bool = False) -> list[Pruned]:
    """Removes the versions that hold erased users, except the current one.

    Args:
        models: the models folder.
        store: the store with the tombstones.
        dry_run: whether to remove nothing.

    Returns:
        The result for each version, oldest first.

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
