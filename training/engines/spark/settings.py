"""Where and how Spark runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LOCAL: Final = "local[*]"


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """Where and how Spark runs.

    Attributes:
        master: the address of a cluster, or ``local[N]`` for N cores of this machine; None for the
            one that ``spark-submit`` names, or else for all cores of this machine.
        conf: options of Spark by name (``spark.executor.memory``).
    """

    master: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
