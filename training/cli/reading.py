"""Reading of the data that the options name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.events.event_types import DEFAULT_RULES
from app.settings import load_event_rules
from app.variables import variable
from training.cli.console import Output
from training.cli.options import (
    BaseOptions,
    ColumnOptions,
    DataOptions,
    EventOptions,
    PlanOptions,
    SourceOptions,
)
from training.cli.tables import records_table
from training.data.interactions import Interactions
from training.data.records import Records
from training.datasets import DATASETS, LoadOptions, check_options, load_dataset, table
from training.datasets.reading.ids import Normalization, OddIds, advise, odd_ids
from training.datasets.synthetic import sample
from training.datasets.synthetic.sample_files import sample_folder
from training.engines.engine import Source
from training.engines.reading import (
    check_readable,
    leave_out_erased,
    read_erased,
    read_source,
    recipe_for,
)
from training.errors import DatasetError, TrainingError
from training.event_data.reactions import check_rules
from training.numbers import plural
from training.pipeline import describe_period
from training.presets import Preset
from training.splitting.ready_made import ReadyMade, join_split, only_training


@dataclass(frozen=True, slots=True)
class Data:
    """The data to measure.

    Attributes:
        name: of the dataset.
        manifest: the manifest's entry ``dataset``.
        interactions: all pairs before the split.
        recipe: the recipe with the split of the options.
        has_test: whether there is a test part.
        warning: a warning to show at the end; empty for none.
    """

    name: str
    manifest: dict[str, Any]
    interactions: Interactions
    recipe: Preset
    has_test: bool = True
    warning: str = ""


def source_of(
    source: SourceOptions, columns: ColumnOptions, events: EventOptions | None = None
) -> Source:
    """Returns the source of the options, with the event rules of the environment variables.

    Raises:
        DatasetError: the options name no source.
        TrainingError: an option has no effect, or training cannot use the event rules.
        InvalidSettings: a variable of the event rules has a wrong value.
    """
    events = events or EventOptions()
    if source.dataset is None and (events.events is None or source.data is not None):
        raise DatasetError(
            f"which dataset? Give --dataset, one of {', '.join(DATASETS)}{_probably(source.data)}"
        )
    check_options(source.dataset, columns)  # before it is downloaded
    if source.dataset is None and events.data_until is not None:
        raise TrainingError(
            "--data-until does nothing without a dataset; leave it out, or add --dataset"
        )
    known = DATASETS.get(source.dataset or "")
    is_made_up = known is not None and known.is_made_up
    rules = DEFAULT_RULES
    if events.events is not None:
        rules = load_event_rules()
        check_rules(rules)
    return Source(
        dataset=source.dataset,
        path=source.data,
        options=LoadOptions(**vars(columns)),
        allow_unreadable=source.allow_unreadable,
        events=events.events,
        rules=rules,
        data_until=events.until,
        # A generated sample holds nobody, so neither a play nor an erased user.
        is_apart=is_made_up or events.data_until == "never",
        erasures=None if is_made_up or events.events is not None else _configured_store(),
    )


def _probably(path: Path | None) -> str:
    """Returns which dataset the path probably holds, as the end of a sentence."""
    if path is None:
        return ""
    for dataset in DATASETS.values():
        folders = [path, path / dataset.subfolder] if dataset.subfolder else [path]
        named = dataset.files[0]
        if named.startswith("*"):
            continue  # any table has such a name
        if fnmatch(path.name, named) or any(any(folder.glob(named)) for folder in folders):
            # What `generate` wrote has the files of other datasets.
            is_sample = sample_folder(path) is not None
            return f"; --data {path} is probably {sample.NAME if is_sample else dataset.name}"
    return f"; --data {path} is probably {table.NAME}"


def _configured_store() -> str | None:
    """Returns the URL of the event store of the service, None where none is configured."""
    return os.environ.get(variable("database_url")) or None


def read_data(
    output: Output,
    options: BaseOptions,
    data: DataOptions,
    *,
    plan: PlanOptions | None = None,
    test_optional: bool = False,
) -> Data:
    """Reads a dataset, or a ready-made split.

    Args:
        output: shows what was read.
        options: the recipe; a ready-made split allows none of its filters.
        data: the data.
        plan: names the contenders; None for those of the preset.
        test_optional: whether the test part of a ready-made split may be missing.

    Raises:
        TrainingError: the options contradict each other, or there is no such contender.
        DatasetError: the data cannot be read.
    """
    recipe = (plan or PlanOptions()).compare(options.recipe())
    source, parts = data.source, data.parts
    if parts.train_file is None and parts.test_file is None:
        recipe = data.split.apply(recipe)
        prepared = read_source(source_of(source, data.columns), recipe, output)
        provenance = prepared.provenance
        output.show(records_table(provenance))
        return Data(
            provenance.dataset,
            provenance.to_manifest(),
            prepared.interactions,
            recipe_for(recipe, prepared.interactions, output),
            warning=provenance.rows.warning,
        )
    if parts.train_file is None or (parts.test_file is None and not test_optional):
        raise TrainingError("a ready-made split needs both --train FILE and --test FILE")
    if source.dataset or source.data:
        raise TrainingError("give either --dataset and --data, or --train and --test")
    if given := data.split.given() + options.filters_given():
        raise TrainingError(f"a ready-made split cannot be changed; leave {given[0]} out")
    return _read_parts(output, data, recipe)


def _read_parts(output: Output, data: DataOptions, recipe: Preset) -> Data:
    load_options, records = LoadOptions(**vars(data.columns)), []
    store = _configured_store()
    erased = frozenset[bytes]() if store is None else read_erased(store, output)
    for path in (data.parts.train_file, data.parts.test_file):
        if path is not None:
            records.append(load_dataset(table.NAME, path, load_options))
            allow_unreadable = data.source.allow_unreadable
            check_readable(records[-1], path, output, allow_unreadable=allow_unreadable)
            records[-1] = leave_out_erased(records[-1], erased, output)
    manifest = {
        "name": table.NAME,
        "sources": {name: entry for one in records for name, entry in one.sources.items()},
        "rows_read": sum(one.rows.read for one in records),
        "rows_dropped": _added(*(one.rows.dropped for one in records)),
        "rows_noted": _added(*(one.rows.noted for one in records)),
        "users_noted": _added(*(one.rows.noted_users for one in records)),
        "artists_noted": _added(*(one.rows.noted_items for one in records)),
        "ids_normalized": list(records[0].normalized),
        "period": describe_period(_period(records)),
        "filters": [],
    }
    if advice := _advise_parts(records):
        output.note(f"{data.parts.train_file} and {data.parts.test_file} together: {advice}")
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
        replace(recipe_for(recipe, ready.train, output), split=ready),
        len(records) == 2,
        "; ".join(one.rows.warning for one in records if one.rows.warning),
    )


def _advise_parts(records: Sequence[Records]) -> str:
    """Returns advice about ids of one part that differ by little from ids of the other part."""
    if len(records) < 2:
        return ""
    asked = Normalization(records[0].normalized)

    def odd(kind: str, ids: Sequence[pl.Series]) -> OddIds:
        union = pl.concat(ids).unique()
        return odd_ids(kind, union, lambda: np.ones(len(union), dtype=np.intp), asked)

    advice = advise(
        odd("user", [one.user_ids for one in records]),
        odd("artist", [one.item_ids for one in records]),
    )
    return "" if advice in [one.advice for one in records] else advice


def _period(records: Sequence[Records]) -> tuple[int, int] | None:
    """Returns the period of all parts that have times."""
    periods = [one.period for one in records if one.period is not None]
    if not periods:
        return None
    return min(first for first, _ in periods), max(last for _, last in periods)


def _describe(ready: ReadyMade) -> str:
    known = ""
    if ready.pairs_in_training:
        pairs = plural(ready.pairs_in_training, "test pair")
        known = f"; also in training, so that no list has them: {pairs}"
    return (
        f"{plural(ready.train.user_items.nnz, 'training pair')}, "
        f"{plural(ready.test.user_items.nnz, 'test pair')}; not in training: "
        f"{plural(ready.users_without_training, 'test user')} and "
        f"{plural(ready.items_without_training, 'test artist')}{known}"
    )


def _describe_training(ready: ReadyMade) -> str:
    user_items = ready.train.user_items
    return (
        f"{plural(user_items.nnz, 'training pair')} of {plural(user_items.n_users, 'user')} and "
        f"{plural(user_items.n_items, 'artist')}; without --test nothing is measured at the end"
    )


def _added(*counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for reason, count in one.items():
            total[reason] = total.get(reason, 0) + count
    return total
