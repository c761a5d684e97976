"""Shrinkage: how much less data a model has than the one that it would replace.

A truncated export can be trained on like any other, but leaves most users without their history. So
counts are compared with those of the current model if both have the same dataset by name. The
made-up sample may have any size and is never compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from training.datasets import DATASETS
from training.numbers import count

_COUNTS: Final = ("users", "artists", "pairs")


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """Counts of a dataset that are less than half of those of an earlier version.

    Attributes:
        version: the earlier version.
        counts: name (users, artists, pairs) to the earlier count and the present one.
    """

    version: str
    counts: Mapping[str, tuple[int, int]]

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> Self:
        """Restores it from the manifest's entry."""
        counts = entry["counts"].items()
        return cls(entry["version"], {name: (one["before"], one["now"]) for name, one in counts})

    def to_manifest(self) -> dict[str, Any]:
        """Returns it for the manifest; ``share`` is the present count / the earlier one."""
        counts = {
            name: {"before": before, "now": now, "share": now / before}
            for name, (before, now) in self.counts.items()
        }
        return {"version": self.version, "counts": counts}

    def __str__(self) -> str:
        return ", ".join(
            f"{count(now)} instead of {count(before)} {name}"
            for name, (before, now) in self.counts.items()
        )


def shrinkage(
    dataset: Mapping[str, Any], earlier: Mapping[str, Any], version: str
) -> Shrinkage | None:
    """Compares the data of a model with those of an earlier version.

    Args:
        dataset: the manifest's entry ``dataset`` of the new model. Counts that are missing, as in
            old manifests, are not compared.
        earlier: that entry of the earlier version.
        version: the earlier version.

    Returns:
        The counts that shrank to less than half; None if there are none, if the names of the
        datasets differ, or for the made-up sample.
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
