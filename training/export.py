"""Export: everyone's list as one table, equal to what the service answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source
from threadpoolctl import threadpool_limits

from app.model import Model
from app.recommender import Query, Recommender
from training.errors import TrainingError, WriteError
from training.fit import NoProgress, Progress

_BLOCK: Final = 1024
_SCHEMA: Final = pl.Schema(
    {
        "user_id": pl.String,
        "rank": pl.Int32,
        "artist_id": pl.String,
        "name": pl.String,
        "score": pl.Float32,
        "source": pl.String,
    }
)


def export(model: Model, out: Path, *, n: int = 10, progress: Progress | None = None) -> int:
    """Writes the lists of all users of a model, in bounded memory.

    Args:
        model: whose lists.
        out: a file ending in ``.parquet``, ``.csv`` or ``.tsv``; replaced when all is written.
        n: longest list.
        progress: told of the users done.

    Returns:
        The number of users.

    Raises:
        TrainingError: another ending, or the folder is missing.
        WriteError: the disk is full, or the file cannot be written.
    """
    if out.suffix not in (".parquet", ".csv", ".tsv"):
        raise TrainingError(f"{out}: expected a name ending in .parquet, .csv or .tsv")
    if not out.parent.is_dir():
        raise TrainingError(f"{out.parent}: there is no such folder; make it first")
    done = (progress or NoProgress()).step("lists", len(model.users))

    def frames(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del with_columns, predicate, n_rows, batch_size  # the sink asks for everything
        for start in range(0, len(model.users), _BLOCK):
            users = range(start, min(start + _BLOCK, len(model.users)))
            yield _lists(model, users, n)
            done(len(users))

    lazy = register_io_source(frames, schema=_SCHEMA)
    partial = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".parquet":
            lazy.sink_parquet(partial)
        else:
            lazy.sink_csv(partial, separator="\t" if out.suffix == ".tsv" else ",")
        partial.replace(out)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise WriteError(out, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return len(model.users)


def _lists(model: Model, users: range, n: int) -> pl.DataFrame:
    queries = [Query(user_id=model.users.id(user), n=n) for user in users]
    with threadpool_limits(limits=1, user_api="blas"):
        answers = Recommender(model).recommend_many(queries)
    rows = [
        (
            query.user_id,
            rank,
            model.items.id(item),
            model.item_names[item],
            None if score != score else score,  # noqa: PLR0124 - NaN: filled from below
            str(source),
        )
        for query, answer in zip(queries, answers, strict=True)
        for rank, (item, score, source) in enumerate(
            zip(answer.items, answer.scores, answer.sources, strict=True), start=1
        )
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
