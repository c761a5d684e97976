"""Reading: from a source to a DataFrame of records, by the dataset's own loader in a task.

Loaders decide by the whole of the data how rows are understood and which artist a name means, so
one task reads them all. What comes of it lies in the partitions of a DataFrame.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from training.data.records import Records, RowCounts
from training.datasets import LoadOptions, load_dataset
from training.errors import DatasetError
from training.event_data.erasure import without_erased

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_ROWS: Final = 100_000
_SCHEMA: Final = "user string, item string, name string, plays float, time long, told string"


@dataclass(frozen=True, slots=True)
class Told:
    """What records say of themselves.

    Attributes:
        rows: counts of rows read and dropped.
        sources: see ``Records``.
        remark, advice, normalized: see ``Records``.
        has_times: whether the times of the records are known.
        dataset: name of the dataset.
    """

    rows: RowCounts
    sources: Mapping[str, Any]
    remark: str
    advice: str
    normalized: tuple[str, ...]
    has_times: bool
    dataset: str

    @classmethod
    def of(cls, records: Records) -> Told:
        """Returns what records say of themselves."""
        return cls(
            records.rows,
            records.sources,
            records.remark,
            records.advice,
            records.normalized,
            records.timestamps is not None,
            records.dataset,
        )

    def to_text(self) -> str:
        """Returns it as JSON."""
        entry = asdict(self)
        entry["rows"]["by_rule"] = sorted(self.rows.by_rule)
        return json.dumps(entry)

    @classmethod
    def from_text(cls, text: str) -> Told:
        """Returns what ``to_text`` wrote."""
        entry = json.loads(text)
        rows = entry.pop("rows")
        rows["by_rule"] = frozenset(rows["by_rule"])
        entry["normalized"] = tuple(entry["normalized"])
        return cls(rows=RowCounts(**rows), **entry)


def read_records(
    session: SparkSession,
    name: str,
    path: Path,
    options: LoadOptions,
    erased: frozenset[bytes] = frozenset(),
) -> tuple[DataFrame, Told]:
    """Reads a dataset.

    Args:
        session: the session of Spark.
        name: of the dataset.
        path: its file or folder, which the workers have to see.
        options: how it is read.
        erased: hashes of users whose records are left out.

    Returns:
        Columns ``user``, ``item`` (null for an artist without an id), ``name``, ``plays`` and
        ``time``; and what the records say of themselves.

    Raises:
        DatasetError: a worker does not see the data, or they cannot be read.
    """
    from pyspark import StorageLevel  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    once = session.range(1, numPartitions=1)
    frame = once.mapInArrow(_Reader(name, str(path), options, erased), _SCHEMA)
    spread = frame.repartition(session.sparkContext.defaultParallelism)
    spread = spread.persist(StorageLevel.DISK_ONLY)
    row = spread.where(F.col("told").isNotNull()).select("told").first()
    if row is None:
        raise AssertionError("a reader says what it has read")
    return spread.where(F.col("told").isNull()).drop("told"), Told.from_text(row["told"])


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a dataset; what a task of Spark runs."""

    name: str
    path: str
    options: LoadOptions
    erased: frozenset[bytes]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        del batches
        path = Path(self.path)
        if not path.parent.exists():
            raise DatasetError(
                f"the worker {socket.gethostname()} does not see {path}; put the data where all "
                "workers see them, under the same path"
            )
        yield from _batches(
            without_erased(load_dataset(self.name, path, self.options), self.erased)
        )


def _batches(records: Records) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(records), _ROWS):
        within = slice(start, start + _ROWS)
        codes = pl.Series(records.item_codes[within])
        known = codes.set(codes < 0, None)
        times = None if records.timestamps is None else pl.Series(records.timestamps[within])
        columns = {
            "user": records.user_ids.gather(records.user_codes[within]),
            "item": records.item_ids.gather(known),
            "name": records.items.names.gather(known),
            "plays": pl.Series(records.plays[within]),
            "time": times,
        }
        yield from _arrow(pl.DataFrame(columns))
    yield from _arrow(pl.DataFrame({"told": [Told.of(records).to_text()]}))


def _arrow(frame: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """Yields the batches of a frame; columns that it lacks are null."""
    types = {"plays": pl.Float32, "time": pl.Int64}
    names = ("user", "item", "name", "plays", "time", "told")
    whole = frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None))
        .cast(types.get(name, pl.String))
        .alias(name)
        for name in names
    )
    yield from whole.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches()
