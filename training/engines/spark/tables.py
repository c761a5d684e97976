"""From records to the matrix of plays: filters, sums, numbers for ids, and rows in partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.data.filters import Filters, Step, nothing_left
from training.errors import TrainingError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

# So many pairs are in a partition of rows, about; a task holds a few times their 16 bytes.
_PAIRS: Final = 1_000_000
_DAY_SECONDS: Final = 24 * 3600
_MOST_HALVINGS: Final = 40
_LOW_BITS: Final = 33


@dataclass(frozen=True, slots=True)
class Matrix:
    """The plays of all pairs, in the partitions of a DataFrame.

    Attributes:
        pairs: columns ``user`` and ``item`` (int), ``plays`` and ``recency`` (float, null without a
            half-life). A partition has all pairs of consecutive users, sorted by user and item;
            later partitions have later users.
        users: columns ``id`` and ``number``, sorted by ``number``.
        items: columns ``id``, ``name`` and ``number``, sorted by ``number``.
        n_users, n_items, n_pairs: numbers of them.
        starts: how many pairs lie before each partition, by partition.
    """

    pairs: DataFrame
    users: DataFrame
    items: DataFrame
    n_users: int
    n_items: int
    n_pairs: int
    starts: tuple[int, ...]


def filtered(records: DataFrame, filters: Filters) -> tuple[DataFrame, list[Step]]:
    """Applies the filters, as ``training.data.filters.preprocess`` does.

    Args:
        records: columns ``user``, ``item``, ``name``, ``plays`` and ``time``.
        filters: which users and items stay.

    Returns:
        The remaining records, and what each filter left.

    Raises:
        TrainingError: the filters leave nothing.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    steps = [_count("records read", records)]
    if filters.min_user_records > 1:
        counts = records.groupBy("user").count()
        enough = counts.where(F.col("count") >= filters.min_user_records).select("user")
        records = records.join(enough, "user", "left_semi")
        steps.append(_count(f"users with {filters.min_user_records} or more", records))
    records = records.where(F.col("item").isNotNull())
    if filters.min_item_records > 1:
        counts = records.groupBy("item").count()
        enough = counts.where(F.col("count") >= filters.min_item_records).select("item")
        records = records.join(enough, "item", "left_semi")
        steps.append(_count(f"artists with {filters.min_item_records} or more", records))
    if filters.top_users is not None:
        counts = records.groupBy("user").count()
        most = counts.orderBy(F.desc("count"), "user").limit(filters.top_users).select("user")
        records = records.join(most, "user", "left_semi")
        steps.append(_count(f"the {filters.top_users} users with most", records))
    if records.isEmpty():
        raise TrainingError(nothing_left(filters, steps))
    return records, steps


def _count(name: str, records: DataFrame) -> Step:
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    row = records.agg(
        F.count("*").alias("records"),
        F.count_distinct("user").alias("users"),
        F.count_distinct("item").alias("items"),
    ).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Step(name, row.records, row.users, row.items)


def matrix_of(records: DataFrame, half_life: float | None) -> Matrix:
    """Numbers users and items by the bytes of their ids, and sums repeated pairs.

    Args:
        records: filtered records.
        half_life: of the recency, in days; None for none.

    Raises:
        TrainingError: the plays of a pair exceed float32.
    """
    from pyspark import StorageLevel  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    users, n_users = _numbered(records.select(F.col("user").alias("id")).distinct())
    items, n_items = _numbered(_names(records))
    left: Any = F.lit(None).cast("float")
    if half_life is not None:
        last = records.agg(F.max("time")).first()
        assert last is not None  # noqa: S101
        age = (F.lit(last[0]) - F.col("time")) / (half_life * _DAY_SECONDS)
        faded = F.col("plays").cast("double") * F.pow(
            F.lit(2.0), -F.least(age, F.lit(float(_MOST_HALVINGS)))
        )
        left = (F.sum(faded) / F.sum(F.col("plays").cast("double"))).cast("float")
    whole = F.sum(F.col("plays").cast("double")).cast("float")
    summed = records.groupBy("user", "item").agg(whole.alias("plays"), left.alias("recency"))
    numbers = users.select(F.col("id").alias("user"), F.col("number").alias("u"))
    places = items.select(F.col("id").alias("item"), F.col("number").alias("i"))
    pairs = summed.join(numbers, "user").join(places, "item")
    pairs = pairs.select(F.col("u").alias("user"), F.col("i").alias("item"), "plays", "recency")
    pairs = pairs.persist(StorageLevel.DISK_ONLY)
    counted = pairs.agg(F.count("*"), F.max("plays")).first()
    assert counted is not None  # noqa: S101
    n_pairs, most = counted
    if not np.isfinite(np.float32(most)):
        raise TrainingError(
            f"the plays of a pair sum to more than {np.finfo(np.float32).max:.3g}; are they plays?"
        )
    session = pairs.sparkSession
    n_parts = max(-(-n_pairs // _PAIRS), session.sparkContext.defaultParallelism)
    rows = pairs.repartitionByRange(n_parts, "user").sortWithinPartitions("user", "item")
    rows = rows.persist(StorageLevel.DISK_ONLY)
    sizes = sizes_of(rows)
    pairs.unpersist()
    starts = tuple(int(start) for start in np.cumsum([0, *sizes])[:-1])
    return Matrix(rows, users, items, n_users, n_items, n_pairs, starts)


def sizes_of(frame: DataFrame) -> list[int]:
    """Returns the number of rows of each partition."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    part = F.spark_partition_id().alias("part")
    counts = {row.part: row["count"] for row in frame.groupBy(part).count().collect()}
    return [counts.get(number, 0) for number in range(max(counts, default=-1) + 1)]


def _names(records: DataFrame) -> DataFrame:
    """Returns each item with its most frequent name, of equally frequent ones the lowest."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    # The name of an item without one is its id.
    is_named = F.when(F.col("name") != F.col("item"), F.col("name"))
    counts = records.groupBy("item", is_named.alias("name")).count()
    order = F.struct((-F.col("count")).alias("fewer"), F.col("name").alias("name"))
    best = F.min(F.when(F.col("name").isNotNull(), order)).getField("name")
    return (
        counts.groupBy(F.col("item").alias("id"))
        .agg(best.alias("name"))
        .select("id", F.coalesce("name", "id").alias("name"))
    )


def _numbered(ids: DataFrame) -> tuple[DataFrame, int]:
    """Numbers rows by the bytes of their column ``id``; also returns how many there are."""
    from pyspark import StorageLevel  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    ordered = ids.sort("id").withColumn("place", F.monotonically_increasing_id())
    ordered = ordered.persist(StorageLevel.DISK_ONLY)
    part = F.shiftright("place", _LOW_BITS).cast("int")
    counts = {
        row.part: row["count"] for row in ordered.groupBy(part.alias("part")).count().collect()
    }
    starts = np.cumsum([0, *(counts.get(one, 0) for one in range(max(counts, default=-1) + 1))])
    before = F.element_at(F.array(*(F.lit(int(one)) for one in starts)), part + 1)
    number = before + F.col("place").bitwiseAND(2**_LOW_BITS - 1)
    return ordered.withColumn("number", number.cast("int")).drop("place"), int(starts[-1])


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of consecutive users, as a task sees them.

    Attributes:
        users: int64, shape (n_rows,), the numbers of the users, ascending.
        user_items: their plays, n_rows x n_items.
        marks: int8, shape (nnz,), further marks of the pairs; None without.
    """

    users: NDArray[np.int64]
    user_items: UserItems
    marks: NDArray[np.int8] | None = None


def rows_of(batches: Iterable[pa.RecordBatch], n_items: int) -> Rows | None:
    """Gathers the pairs of a partition; None for an empty one.

    Args:
        batches: columns ``user``, ``item``, ``plays``, ``recency`` and, at the end, maybe ``mark``;
            sorted by user and item.
        n_items: number of columns of the matrix.
    """
    columns: list[list[NDArray[Any]]] = []
    for batch in batches:
        columns.append([column.to_numpy(zero_copy_only=False) for column in batch.columns])
    columns = [one for one in columns if len(one[0])]
    if not columns:
        return None
    users, items, plays, recency, *marks = (
        np.concatenate(parts) for parts in zip(*columns, strict=True)
    )
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    indptr = np.append(starts, len(users)).astype(np.int64)
    faded = None if np.isnan(recency.astype(np.float32)).any() else recency.astype(np.float32)
    matrix = UserItems(indptr, items.astype(np.int32), plays.astype(np.float32), n_items, faded)
    mark = marks[0].astype(np.int8) if marks else None
    return Rows(users[starts].astype(np.int64), matrix, mark)


def by_rows(
    matrix: DataFrame,
    n_items: int,
    make: Callable[[Rows, int], Iterable[pa.RecordBatch]],
    schema: str,
) -> DataFrame:
    """Returns what a function makes of the rows of each partition.

    Args:
        matrix: see ``rows_of``.
        n_items: number of columns of the matrix.
        make: is given the rows and the number of the partition.
        schema: of what it makes.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext  # noqa: PLC0415

        context = TaskContext.get()
        assert context is not None  # noqa: S101
        if (rows := rows_of(batches, n_items)) is not None:
            yield from make(rows, context.partitionId())

    return matrix.mapInArrow(run, schema)
