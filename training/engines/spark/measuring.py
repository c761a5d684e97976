"""Measuring: the lists of a sample of users, made in tasks, and their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.engines.spark.factors import Counts
from training.engines.spark.tables import Matrix, Rows, by_rows
from training.engines.spark.users import Shared
from training.errors import NothingToMeasure
from training.measuring.evaluation import (
    CUTOFFS,
    Contender,
    Evaluation,
    cutoffs_of,
    hits_of,
    recommend_lists,
    sample_of,
    within_training,
)
from training.measuring.experiment import Plan

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.core.broadcast import Broadcast
    from pyspark.sql import DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A split, and what was fitted on its training part.

    Attributes:
        marked: all pairs, with the column ``mark``.
        shared: the model of the training part, without users.
        counts: of the training part.
    """

    marked: DataFrame
    shared: Broadcast[Shared]
    counts: Counts


def evaluate(
    matrix: Matrix, fitted: Fitted, contenders: Mapping[str, Contender], plan: Plan
) -> Evaluation:
    """Measures contenders on the test part.

    Args:
        matrix: all pairs.
        fitted: the split, and what was fitted on its training part.
        contenders: the contenders, by name.
        plan: cut-off and sample.

    Raises:
        NothingToMeasure: the cut-off is out of range, or no user has a test item.
    """
    listeners = fitted.counts.popularity.listeners
    cutoffs = cutoffs_of(plan.k, CUTOFFS, int((listeners > 0).sum()))
    tested = fitted.marked.where("mark = 1").select("user").distinct().toArrow()["user"].to_numpy()
    with_test = np.sort(tested.astype(np.int64))
    if len(with_test) == 0:
        raise NothingToMeasure("no user has a test item, so there is nothing to measure")
    users = sample_of(with_test, plan.sample, plan.seed, matrix.n_users)
    length = cutoffs[-1]
    table = _lists_of(matrix, fitted, users, contenders, length).toArrow().sort_by("user")
    measured = _rows_of(table["tests"], matrix.n_items)
    made = np.stack([np.frombuffer(row.as_py(), dtype="<i4") for row in table["lists"]])
    made = made.reshape(len(users), len(contenders), length)
    lists = {
        name: within_training(listeners, made[:, place].astype(np.int64))
        for place, name in enumerate(contenders)
    }
    return Evaluation(
        k=plan.k,
        cutoffs=cutoffs,
        users=users,
        users_with_test=with_test,
        n_test=measured.row_lengths(),
        n_history=table["n_history"].to_numpy().astype(np.int64),
        test_counts=measured.listeners(),
        listeners=listeners,
        n_training_users=fitted.counts.n_listening,
        lists=lists,
        hits={name: hits_of(its, measured) for name, its in lists.items()},
        asked={name: contender.to_manifest() for name, contender in contenders.items()},
    )


def _lists_of(
    matrix: Matrix,
    fitted: Fitted,
    users: NDArray[np.int64],
    contenders: Mapping[str, Contender],
    length: int,
) -> DataFrame:
    """Returns a row for each measured user: the test items, and the list of each contender."""
    shared = fitted.shared
    sampled = fitted.marked.sparkSession.sparkContext.broadcast(users)

    def make(rows: Rows, _part: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415

        wanted = np.flatnonzero(np.isin(rows.users, sampled.value))
        if not len(wanted):
            return
        train, test = _parts(rows, wanted)
        model = shared.value.model_of(train)
        everyone = np.arange(len(wanted))
        lists = [
            recommend_lists(model, contender, everyone, length, lambda _done: None)
            for contender in contenders.values()
        ]
        tests = [test.row(int(row))[0].astype("<i4").tobytes() for row in everyone]
        by_user = [
            np.stack([its[row] for its in lists]).astype("<i4").tobytes() for row in everyone
        ]
        columns = {
            "user": rows.users[wanted].astype(np.int32),
            "n_history": train.row_lengths().astype(np.int32),
            "tests": pa.array(tests, pa.binary()),
            "lists": pa.array(by_user, pa.binary()),
        }
        yield pa.RecordBatch.from_pydict(columns)

    schema = "user int, n_history int, tests binary, lists binary"
    return by_rows(fitted.marked, matrix.n_items, make, schema)


def _rows_of(tests: pa.ChunkedArray, n_items: int) -> UserItems:
    """Returns the test items of the measured users, all with one play."""
    rows = [np.frombuffer(row.as_py(), dtype="<i4") for row in tests]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    items = np.concatenate(rows).astype(np.int32)
    return UserItems(indptr, items, np.ones(len(items), dtype=np.float32), n_items)


def _parts(rows: Rows, wanted: Any) -> tuple[UserItems, UserItems]:
    """Returns the training and the test part of some rows."""
    assert rows.marks is not None  # noqa: S101
    marks = UserItems(
        rows.user_items.indptr,
        rows.user_items.indices,
        rows.marks.astype(np.float32),
        rows.user_items.n_items,
    ).take(wanted)
    chosen = rows.user_items.take(wanted)
    is_test = marks.plays > 0
    return _only(chosen, ~is_test), _only(chosen, is_test)


def _only(user_items: UserItems, chosen: Any) -> UserItems:
    before = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int64)
    recency = None if user_items.recency is None else user_items.recency[chosen]
    return UserItems(
        before[user_items.indptr],
        user_items.indices[chosen],
        user_items.plays[chosen],
        user_items.n_items,
        recency,
    )
