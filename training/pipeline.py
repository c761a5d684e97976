"""The way from records to a published model, and to figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import polars as pl

from training.evaluation import Evaluation, evaluate
from training.fit import PartOf, Progress, fit_model, with_top_lists
from training.interactions import Interactions, sum_pairs
from training.preprocessing import Step, preprocess
from training.presets import Preset
from training.publishing import publish
from training.records import Records


@dataclass(frozen=True, slots=True)
class Prepared:
    """Interactions with the story of how they came to be.

    Attributes:
        interactions: what is trained on.
        records: what was read.
        steps: what each filter left.
    """

    interactions: Interactions
    records: Records
    steps: Sequence[Step]

    def to_manifest(self) -> dict[str, Any]:
        """Returns the manifest's entry ``dataset``."""
        rows = self.records.rows
        return {
            "name": self.records.dataset,
            "sources": dict(self.records.sources),
            "rows_read": rows.read,
            "rows_dropped": dict(rows.dropped),
            "rows_noted": dict(rows.noted),
            "filters": [step.to_manifest() for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over one or more evaluations with different seeds.

    Attributes:
        split: how the test part was cut, for the manifest.
        evaluations: one a seed.
    """

    split: Mapping[str, Any]
    evaluations: Sequence[Evaluation]

    def mean(self, contender: str, figure: str) -> float:
        """Returns the mean over the seeds; of one seed the figure itself, a count as an int."""
        values = [one.models[contender][figure] for one in self.evaluations]
        return fmean(values) if len(values) > 1 else values[0]

    def deviation(self, contender: str, figure: str) -> float:
        """Returns the standard deviation over the seeds."""
        return pstdev(one.models[contender][figure] for one in self.evaluations)

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as ``evaluate --json`` and the manifest give them."""
        first = self.evaluations[0]
        entry: dict[str, Any] = {
            "split": dict(self.split),
            "k": first.k,
            "users": first.users,
            "models": {
                contender: {name: self.mean(contender, name) for name in figures}
                for contender, figures in first.models.items()
            },
            "asked": {
                name: contender.to_manifest() for name, contender in first.contenders.items()
            },
        }
        if len(self.evaluations) > 1:
            entry["repeats"] = [
                {contender: dict(figures) for contender, figures in one.models.items()}
                for one in self.evaluations
            ]
        return entry


def prepare(records: Records, preset: Preset) -> Prepared:
    """Applies the preset's filters.

    Raises:
        TrainingError: they leave nothing.
    """
    interactions, steps = preprocess(records, preset.filters)
    return Prepared(interactions, records, steps)


def measure(
    interactions: Interactions,
    preset: Preset,
    *,
    k: int = 10,
    repeats: int = 1,
    progress: Progress | None = None,
) -> Figures:
    """Splits, trains on the training part and measures on the test part.

    Args:
        interactions: everything.
        preset: split, hyperparameters and contenders.
        k: cut-off.
        repeats: how often, each time with the next seed for split and factors.
        progress: told of all steps.
    """
    evaluations = []
    for repeat in range(repeats):
        part = PartOf("split" if repeats == 1 else f"split {repeat + 1}", progress)
        split = replace(preset.split, seed=preset.split.seed + repeat)
        parameters = replace(preset.parameters, seed=preset.parameters.seed + repeat)
        train, test = split.split(interactions)
        model = fit_model(train, parameters, progress=part)
        evaluations.append(evaluate(model, test, preset.contenders, k=k, progress=part))
    return Figures(preset.split.to_manifest() | {"repeats": repeats}, evaluations)


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """A split that somebody else made.

    Attributes:
        train, test: the parts, over the union of both files' users and items.
        users_without_training: test users whom training lacks; popularity answers them.
        items_without_training: test items that training lacks; no list offers them.
    """

    train: Interactions
    test: Interactions
    users_without_training: int
    items_without_training: int


def join_split(train: Records, test: Records) -> ReadyMade:
    """Brings two files onto common indices."""
    users = _union(train.user_ids, test.user_ids)
    items = _union(train.item_ids, test.item_ids)
    names = dict(zip(test.item_ids, test.item_names, strict=True))
    names |= dict(zip(train.item_ids, train.item_names, strict=True))
    item_names = pl.Series("item_names", [names[item] for item in items], dtype=pl.String)

    def part(records: Records) -> Interactions:
        # All are sorted by their bytes, and the union holds every id.
        user_of = users.search_sorted(records.user_ids).to_numpy()
        item_of = items.search_sorted(records.item_ids).to_numpy()
        user_items = sum_pairs(
            user_of[records.user_codes],
            item_of[records.item_codes],
            records.plays,
            n_users=len(users),
            n_items=len(items),
        )
        return Interactions(users, items, item_names, user_items)

    return ReadyMade(
        part(train),
        part(test),
        len(users) - len(train.user_ids),
        len(items) - len(train.item_ids),
    )


def measure_ready_made(
    parts: ReadyMade, preset: Preset, *, k: int = 10, progress: Progress | None = None
) -> Figures:
    """Trains on the given training part and measures on the given test part."""
    model = fit_model(parts.train, preset.parameters, progress=progress)
    evaluation = evaluate(model, parts.test, preset.contenders, k=k, progress=progress)
    split = {
        "name": "ready-made",
        "users_without_training": parts.users_without_training,
        "items_without_training": parts.items_without_training,
    }
    return Figures(split, [evaluation])


def train(
    prepared: Prepared,
    preset: Preset,
    models: Path,
    *,
    figures: Figures | None,
    list_length: int,
    progress: Progress | None = None,
) -> str:
    """Trains on all interactions and publishes.

    Args:
        prepared: the data.
        preset: the hyperparameters.
        models: the models folder.
        figures: what the split run measured, for the manifest.
        list_length: items of everyone's precomputed list, 0 for none.
        progress: told of all steps.

    Returns:
        The published version.
    """
    whole = PartOf("all data", progress)
    model = fit_model(prepared.interactions, preset.parameters, progress=whole)
    model = with_top_lists(model, list_length, progress=whole)
    metrics = None
    if figures is not None:
        metrics = {
            "measured_on": "a split of the same data; this model is refit on all of it",
            **figures.to_json(),
        }
    user_items = prepared.interactions.user_items
    card = {
        "dataset": prepared.to_manifest()
        | {"users": user_items.n_users, "artists": user_items.n_items, "pairs": user_items.nnz},
        "preset": preset.name,
        "parameters": preset.parameters.to_manifest(),
        "metrics": metrics,
    }
    return publish(model, models, card=card)


def _union(first: pl.Series, second: pl.Series) -> pl.Series:
    return pl.concat([first, second]).unique().sort()
