"""What the commands measure and train on, as the options name it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from app.errors import StoreUnavailable
from app.store.address import open_store
from app.store.upkeep import MaintainableStore
from training.cli.console import Output
from training.cli.options import (
    BaseOptions,
    ColumnOptions,
    DataOptions,
    EventOptions,
    SourceOptions,
)
from training.cli.tables import records_table
from training.datasets import DATASETS, LoadOptions, ensure_dataset, load_dataset, table
from training.errors import DatasetError, TrainingError
from training.event_log import EventLog, Merged, merge, read_event_log
from training.interactions import Interactions
from training.measuring.experiment import validation_of
from training.pipeline import Prepared, describe_period, prepare
from training.presets import Preset
from training.records import Records
from training.splitting.ready_made import ReadyMade, join_split, only_training
from training.tuning.state import read_search
from training.tuning.trials import Search


@dataclass(frozen=True, slots=True)
class Data:
    """What is measured.

    Attributes:
        name: of the dataset.
        manifest: the manifest's entry ``dataset``.
        interactions: everything that takes part.
        recipe: with the split that was asked for.
        has_test: whether there is a test part to look at.
        warning: what is worth a warning at the end; empty for nothing.
    """

    name: str
    manifest: dict[str, Any]
    interactions: Interactions
    recipe: Preset
    has_test: bool = True
    warning: str = ""


def read_prepared(
    output: Output,
    source: SourceOptions,
    columns: ColumnOptions,
    recipe: Preset,
    events: EventOptions | None = None,
) -> Prepared:
    """Reads a dataset, events or both and applies the filters; shows what fell out."""
    events = events or EventOptions()
    if source.dataset is None and (events.events is None or source.data is not None):
        raise DatasetError(f"which dataset? Give --dataset, one of {', '.join(DATASETS)}")
    if source.dataset is None and events.data_until is not None:
        raise TrainingError("--data-until does nothing without a dataset; leave it out")
    log = None if events.events is None else _read_events(output, events.events)
    records = None
    if source.dataset is not None:
        path = ensure_dataset(source.dataset, source.data)
        options = LoadOptions(drop_items_without_id=recipe.drop_items_without_id, **vars(columns))
        with output.err.status(Text(f"reading {path}")):
            records = load_dataset(source.dataset, path, options)
        _tell(output, records, path, allow_unreadable=source.allow_unreadable)
    if log is not None:
        data: Records | Merged = merge(log, records, data_until=events.until)
    elif records is not None:
        data = records
    prepared = prepare(data, recipe)
    output.show(records_table(prepared))
    return prepared


def open_event_store(
    url: str | None, *, must_exist: bool = True, is_optional: bool = False
) -> MaintainableStore:
    """Opens an event store.

    Args:
        url: where it is; None where nobody has said.
        must_exist: whether it is refused, and not made, where it is missing.
        is_optional: whether the command has ``--no-events``, which the refusal then names.

    Raises:
        TrainingError: there is no URL, or it names none.
        StoreUnavailable: it cannot be opened.
    """
    if url is None:
        raise TrainingError(
            "which event store? Give --events URL, or set ENCORE_DATABASE_URL as for the service"
        )
    try:
        return open_store(url, must_exist=must_exist)
    except ValueError as error:
        raise TrainingError(f"--events: {error}") from None
    except StoreUnavailable as error:
        if error.reason != "missing" or not is_optional:
            raise
        message = f"{error} Or go on without one: --no-events"
        raise StoreUnavailable(error.reason, message) from None


def _read_events(output: Output, url: str) -> EventLog:
    with closing(open_event_store(url, is_optional=True)) as store, output.bars() as bars:
        return read_event_log(store, bars.step("events", store.last_sequence()))


def read_data(
    output: Output, options: BaseOptions, data: DataOptions, *, test_optional: bool = False
) -> Data:
    """Reads a dataset that is split here, or a split that somebody else made.

    Args:
        output: where it is shown.
        options: the recipe; a ready-made split takes none of its filters.
        data: which data.
        test_optional: whether a training part alone will do.

    Raises:
        TrainingError: the options contradict each other.
        DatasetError: the data cannot be read.
    """
    recipe, source, parts = options.recipe(), data.source, data.parts
    if parts.train_file is None and parts.test_file is None:
        recipe = data.split.apply(recipe)
        prepared = read_prepared(output, source, data.columns, recipe)
        return Data(
            prepared.dataset,
            prepared.to_manifest(),
            prepared.interactions,
            recipe,
            warning=prepared.rows.warning,
        )
    if parts.train_file is None or (parts.test_file is None and not test_optional):
        raise TrainingError("a ready-made split wants both --train FILE and --test FILE")
    if source.dataset or source.data:
        raise TrainingError("give either --dataset and --data, or --train and --test")
    if given := data.split.given() + options.filters_given():
        raise TrainingError(f"a ready-made split is taken as it is; leave {given[0]} out")
    return _read_parts(output, data, recipe)


def read_found(
    search_file: Path | None, interactions: Interactions, recipe: Preset
) -> Search | None:
    """Reads a search to show in a report.

    Raises:
        SearchMismatch: it was on other data, or on another split of them.
        TrainingError: there is no such search.
    """
    if search_file is None:
        return None
    fold = next(iter(recipe.split.folds(interactions)))
    seed = recipe.parameters.seed
    return read_search(
        search_file,
        of=lambda k, users: validation_of(fold, recipe.split, k=k, seed=seed, sample=users),
    )


def _tell(output: Output, records: Records, path: Path, *, allow_unreadable: bool) -> None:
    """Says how the columns were understood, and refuses data of which too little can be read.

    Raises:
        DatasetError: that is so, and nobody has allowed it.
    """
    if records.remark:
        output.note(f"{path}: {records.remark}")
    rows = records.rows
    if not rows.are_mostly_readable and not allow_unreadable:
        raise DatasetError(
            f"{path}: {rows.warning}, so nothing is done with the others. Mend the file or the "
            "options that say how it is read, or give --allow-unreadable"
        )


def _read_parts(output: Output, data: DataOptions, recipe: Preset) -> Data:
    load_options, records = LoadOptions(**vars(data.columns)), []
    for path in (data.parts.train_file, data.parts.test_file):
        if path is not None:
            records.append(load_dataset(table.NAME, path, load_options))
            allow_unreadable = data.source.allow_unreadable
            _tell(output, records[-1], path, allow_unreadable=allow_unreadable)
    manifest = {
        "name": table.NAME,
        "sources": {name: entry for one in records for name, entry in one.sources.items()},
        "rows_read": sum(one.rows.read for one in records),
        "rows_dropped": _added(*(one.rows.dropped for one in records)),
        "rows_noted": _added(*(one.rows.noted for one in records)),
        "period": describe_period(_period(records)),
        "filters": [],
    }
    ready = join_split(*records) if len(records) == 2 else only_training(records[0])
    output.show(_describe(ready) if len(records) == 2 else _describe_training(ready))
    whole = ready.together()
    manifest |= {
        "users": whole.user_items.n_users,
        "artists": whole.user_items.n_items,
        "pairs": whole.user_items.nnz,
    }
    return Data(
        table.NAME,
        manifest,
        whole,
        replace(recipe, split=ready),
        len(records) == 2,
        "; ".join(one.rows.warning for one in records if one.rows.warning),
    )


def _period(records: Sequence[Records]) -> tuple[int, int] | None:
    """Returns the period of all parts that have times."""
    periods = [one.period for one in records if one.period is not None]
    if not periods:
        return None
    return min(first for first, _ in periods), max(last for _, last in periods)


def _describe(ready: ReadyMade) -> str:
    known = ""
    if ready.pairs_in_training:
        known = (
            f"; {ready.pairs_in_training:,} test pairs are in training too, so no list hits them"
        )
    return (
        f"{ready.train.user_items.nnz:,} training and {ready.test.user_items.nnz:,} test pairs; "
        f"{ready.users_without_training:,} test users and {ready.items_without_training:,} test "
        f"artists are not in training{known}"
    )


def _describe_training(ready: ReadyMade) -> str:
    user_items = ready.train.user_items
    return (
        f"{user_items.nnz:,} training pairs of {user_items.n_users:,} users and "
        f"{user_items.n_items:,} artists; without --test nothing is measured at the end"
    )


def _added(*counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for reason, count in one.items():
            total[reason] = total.get(reason, 0) + count
    return total
