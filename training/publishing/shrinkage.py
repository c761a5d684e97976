"""Shrinkage: how much less data a model was trained on than the one that it would replace.

An export that was cut short trains like any other, and leaves most users without their history. So
counts are held against those of the current model, where both are of the same dataset by name. The
made-up sample has whatever size was asked for, and is held against nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from training.datasets import DATASETS

_COUNTS: Final = ("users", "artists", "pairs")


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """Counts of a dataset that are less than half of those that an earlier version has.

    Attributes:
        version: the earlier version.
        counts: by name (users, artists, pairs), what the earlier version has and what there is now.
    """

    version: str
    counts: Mapping[str, tuple[int, int]]

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> Self:
        """Restores it from the manifest's entry."""
        counts = entry["counts"].items()
        return cls(entry["version"], {name: (one["before"], one["now"]) for name, one in counts})

    def to_manifest(self) -> dict[str, Any]:
        """Returns what the manifest holds of it; ``share`` is what is left, 0 to 0.5."""
        counts = {
            name: {"before": before, "now": now, "share": now / before}
            for name, (before, now) in self.counts.items()
        }
        return {"version": self.version, "counts": counts}

    def __str__(self) -> str:
        return ", ".join(
            f"{now:,} instead of {before:,} {name}" for name, (before, now) in self.counts.items()
        )


def shrinkage(
    dataset: Mapping[str, Any], earlier: Mapping[str, Any], version: str
) -> Shrinkage | None:
    """Holds the data of a model against those of an earlier version.

    Args:
        dataset: the manifest's entry ``dataset`` of the new model. Counts that are missing, as in
            old manifests, are not compared.
        earlier: that of the earlier version.
        version: the earlier version.

    Returns:
        What shrank to less than half; None if nothing did, if the names differ, or for the sample.
    """
    name = dataset.get("name")
    known = DATASETS.get(name) if isinstance(name, str) else None
    if name != earlier.get("name") or (known is not None and known.is_made_up):
        return None
    counts = {
        name: (earlier[name], dataset[name])
        for name in _COUNTS
        if name in earlier and name in dataset and 2 * dataset[name] < earlier[name]
    }
    return Shrinkage(version, counts) if counts else None
