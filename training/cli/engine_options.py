"""The options that choose an engine, and where it works."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cyclopts import Parameter

from training.cli.configuration.sections import ENGINE
from training.engines.engine import Engine
from training.engines.in_memory import InMemory
from training.engines.spark.engine import InSpark
from training.engines.spark.settings import SparkSettings
from training.errors import TrainingError


class EngineName(StrEnum):
    """The values of ``--engine``."""

    MEMORY = "memory"
    SPARK = "spark"


# The table of engines.
ENGINES: Final[Mapping[EngineName, Callable[[SparkSettings], Engine]]] = MappingProxyType(
    {EngineName.MEMORY: lambda _settings: InMemory(), EngineName.SPARK: InSpark}
)


@Parameter(name="*", group=ENGINE)
@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work is done."""

    engine: EngineName = EngineName.MEMORY
    "In the memory of this machine, or in jobs of Spark, which data may outgrow."
    spark_master: str | None = None
    "Master of Spark: local[N] for N cores of this machine, or the address of a cluster, such as \
spark://HOST:7077. Default: that of `spark-submit`, or else all cores of this machine."
    spark_conf: str | None = None
    "Options of Spark, with spaces between, such as 'spark.executor.memory=8g \
spark.local.dir=/mnt/large'."

    def chosen(self) -> Engine:
        """Returns the engine.

        Raises:
            TrainingError: an option has no effect, or is no option of Spark.
        """
        given = {"--spark-master": self.spark_master, "--spark-conf": self.spark_conf}
        for option, value in given.items():
            if value is not None and self.engine is not EngineName.SPARK:
                raise TrainingError(f"{option} does nothing without --engine spark; leave it out")
        return ENGINES[self.engine](SparkSettings(self.spark_master, self._conf()))

    def _conf(self) -> dict[str, str]:
        try:
            words = shlex.split(self.spark_conf or "")
        except ValueError as error:
            raise TrainingError(f"--spark-conf {self.spark_conf!r}: {error}") from None
        pairs = [word.partition("=") for word in words]
        for name, sign, _ in pairs:
            if not sign or not name.startswith("spark."):
                raise TrainingError(
                    f"--spark-conf takes options such as spark.executor.memory=8g, not {name!r}"
                )
        return {name: value for name, _, value in pairs}
