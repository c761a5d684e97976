"""Export: the lists of all users as one table, equal to the answers of the service.

Artists that are only known from events are left out, since every event may change them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source
from threadpoolctl import threadpool_limits

from app.events.event import user_hash
from app.events.event_types import DEFAULT_RULES, EventRules
from app.model.model import Model
from app.recommend.availability import ALL_AVAILABLE, Availability
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from app.store.activity_reading import read_activity
from app.store.clock import now
from app.store.interface import EventStore, learned_up_to
from training.errors import TrainingError, WriteError
from training.event_data.erasure import erased_since
from training.progress import NoProgress, Progress

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
# Ids and names come from others.
_TEXTS: Final = ("user_id", "artist_id", "name")
# The wide forms of the signs begin formulas in some spreadsheets.
_FORMULA: Final = r"^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]"


def export(
    model: Model,
    out: Path,
    *,
    n: int = 10,
    store: EventStore | None = None,
    rules: EventRules = DEFAULT_RULES,
    safe_csv: bool = False,
    progress: Progress | None = None,
) -> int:
    """Writes the lists of all users of a model, in bounded memory.

    Args:
        model: the model.
        out: a file ending in ``.parquet``, ``.csv`` or ``.tsv``; replaced when all is written.
        n: largest length of a list.
        store: the events that count. Erased users get no list, and unavailable artists are in no
            list. None to use only the model.
        rules: how many units each type of event counts.
        safe_csv: whether ids and names that a spreadsheet would take for formulas get an apostrophe
            in front; for ``.csv`` and ``.tsv`` only.
        progress: told of the finished users.

    Returns:
        The number of users with a list.

    Raises:
        TrainingError: the ending is wrong, also for ``safe_csv``; or its folder is missing.
        WriteError: the disk is full, or the file cannot be written.
        StoreUnavailable: the store cannot be read.
    """
    if out.suffix not in (".parquet", ".csv", ".tsv"):
        raise TrainingError(f"{out}: expected a name ending in .parquet, .csv or .tsv")
    if safe_csv and out.suffix == ".parquet":
        raise TrainingError(f"{out}: --safe-csv is for .csv and .tsv; Parquet has no formulas")
    if not out.parent.is_dir():
        raise TrainingError(f"{out.parent}: there is no such folder; make it first")
    done = (progress or NoProgress()).step("lists", len(model.users))
    events = _Events(model, store, rules)
    recommender = Recommender(model, availability=events.availability())
    n_users = 0

    def frames(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        nonlocal n_users
        del with_columns, predicate, n_rows, batch_size  # the sink asks for everything
        for start in range(0, len(model.users), _BLOCK):
            users = range(start, min(start + _BLOCK, len(model.users)))
            queries = list(events.queries(users, n))
            n_users += len(queries)
            yield lists_frame(recommender, queries)
            done(len(users))

    lists = register_io_source(frames, schema=_SCHEMA)
    _write(lists.with_columns(_without_formulas()) if safe_csv else lists, out)
    return n_users


def _without_formulas() -> pl.Expr:
    """Puts an apostrophe before texts that a spreadsheet would run, as OWASP recommends."""
    text = pl.col(*_TEXTS)
    return pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep()


def _write(lists: pl.LazyFrame, out: Path) -> None:
    """Writes a table in the format of its ending, whole or not at all."""
    partial = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".parquet":
            lists.sink_parquet(partial)
        else:
            lists.sink_csv(partial, separator="\t" if out.suffix == ".tsv" else ",")
        partial.replace(out)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise WriteError(out, error) from error
    finally:
        partial.unlink(missing_ok=True)


class _Events:
    """The events and availability that the service uses besides the model."""

    def __init__(self, model: Model, store: EventStore | None, rules: EventRules) -> None:
        self._model, self._store, self._rules = model, store, rules
        self._now = now()
        self._learned, self._touched, self._erased = 0, frozenset[str](), frozenset[bytes]()
        if store is not None:
            self._learned = learned_up_to(store, model.watermark, store.last_sequence())
            self._touched = frozenset(user for user, _ in store.latest_of_users(0))
            self._erased = erased_since(model, store)

    def availability(self) -> Availability:
        """Returns the availability of artists."""
        if self._store is None:
            return ALL_AVAILABLE
        return Availability.of(*self._store.unavailable_artists(), self._model.items)

    def queries(self, users: range, n: int) -> Iterator[Query]:
        """Yields the queries of users by index, without erased users."""
        for user in users:
            query = Query(user_id=self._model.users.id(user), n=n)
            if query.user_id in self._touched and self._store is not None:
                query.activity = read_activity(
                    self._store, query.user_id, self._rules, self._now, self._learned
                )
            elif self._erased and user_hash(str(query.user_id)) in self._erased:
                continue
            yield query


def lists_frame(recommender: Recommender, queries: Sequence[Query]) -> pl.DataFrame:
    """Returns the answers to queries as a table.

    Args:
        recommender: answers them; without newcomers.
        queries: one for each list.

    Returns:
        Columns ``user_id``, ``rank``, ``artist_id``, ``name``, ``score`` (null for an artist from
        a lower rung) and ``source``.
    """
    model = recommender.model
    with threadpool_limits(limits=1, user_api="blas"):
        answers = recommender.recommend_many(queries)
    rows = [
        (
            query.user_id,
            rank,
            model.items.id(item),
            model.item_names[item],
            None if score != score else score,  # noqa: PLR0124 - NaN: from a lower rung
            str(source),
        )
        for query, answer in zip(queries, answers, strict=True)
        for rank, (item, score, source) in enumerate(
            zip(answer.items, answer.scores, answer.sources, strict=True), start=1
        )
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
