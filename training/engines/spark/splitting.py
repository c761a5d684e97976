"""The split of a matrix that lies in partitions: the same parts as in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.engines.spark.tables import Matrix, Rows, by_rows
from training.errors import TrainingError
from training.splitting.drawn import RandomPerUser, draw
from training.splitting.split import Split, refuse_short_histories

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def marked(matrix: Matrix, split: Split) -> DataFrame:
    """Marks the pairs of a matrix: column ``mark`` with 1 for the test part, otherwise 0.

    Args:
        matrix: all pairs.
        split: the split, by user at random.

    Raises:
        NothingToMeasure: no user has enough items.
        TrainingError: the split is of another kind.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    split = check_split(split)
    longest = matrix.pairs.groupBy("user").count().agg(F.max("count")).first()
    refuse_short_histories(np.array([longest[0] if longest else 0]), split.min_items)
    starts, ends = matrix.starts, (*matrix.starts[1:], matrix.n_pairs)

    def mark(rows: Rows, part: int) -> Iterable[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415

        if rows.user_items.nnz != ends[part] - starts[part]:
            raise AssertionError(f"partition {part} has changed since it was counted")
        yield pa.RecordBatch.from_pydict(
            _columns(rows, _draw(rows.user_items, split, starts[part]))
        )

    schema = "user int, item int, plays float, recency float, mark byte"
    return by_rows(matrix.pairs, matrix.n_items, mark, schema)


def check_split(split: Split) -> RandomPerUser:
    """Returns a split by user at random.

    Raises:
        TrainingError: the split is of another kind.
    """
    if not isinstance(split, RandomPerUser):
        raise TrainingError(
            f"--engine spark measures on the split 'random' only, not on "
            f"'{split.to_manifest()['name']}'; leave --split out"
        )
    return split


def _draw(user_items: UserItems, split: RandomPerUser, before: int) -> NDArray[np.int8]:
    # One number for each pair of the matrix, in its order: those of earlier partitions are skipped.
    generator = np.random.PCG64(split.seed)
    generator.advance(before)
    wanted = split.wanted(user_items.row_lengths())
    return draw(user_items, wanted, np.random.Generator(generator)).astype(np.int8)


def _columns(rows: Rows, marks: NDArray[np.int8]) -> dict[str, object]:
    import pyarrow as pa  # noqa: PLC0415

    user_items = rows.user_items
    recency = user_items.recency
    return {
        "user": np.repeat(rows.users, user_items.row_lengths()).astype(np.int32),
        "item": user_items.indices,
        "plays": user_items.plays,
        "recency": pa.nulls(len(marks), pa.float32()) if recency is None else recency,
        "mark": marks,
    }
