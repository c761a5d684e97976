"""The way from records to a published model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.fit import PartOf, Progress, fit_model, with_top_lists
from training.interactions import Interactions
from training.preprocessing import Step, preprocess
from training.presets import Preset
from training.publishing import publish
from training.records import Records, RowCounts


@dataclass(frozen=True, slots=True)
class Prepared:
    """Interactions with the story of how they came to be.

    Attributes:
        interactions: what is trained on.
        dataset: the dataset's name.
        sources: what was read, for the manifest.
        rows: what was read and dropped.
        steps: what each filter left.
    """

    interactions: Interactions
    dataset: str
    sources: Mapping[str, Any]
    rows: RowCounts
    steps: Sequence[Step]

    def to_manifest(self) -> dict[str, Any]:
        """Returns the manifest's entry ``dataset``."""
        user_items = self.interactions.user_items
        return {
            "name": self.dataset,
            "sources": dict(self.sources),
            "rows_read": self.rows.read,
            "rows_dropped": dict(self.rows.dropped),
            "rows_noted": dict(self.rows.noted),
            "filters": [step.to_manifest() for step in self.steps],
            "users": user_items.n_users,
            "artists": user_items.n_items,
            "pairs": user_items.nnz,
        }


def prepare(records: Records, preset: Preset) -> Prepared:
    """Applies the preset's filters.

    Raises:
        TrainingError: they leave nothing.
    """
    interactions, steps = preprocess(records, preset.filters)
    return Prepared(interactions, records.dataset, records.sources, records.rows, steps)


def train(
    prepared: Prepared,
    preset: Preset,
    models: Path,
    *,
    metrics: Mapping[str, Any] | None,
    report: str | None = None,
    list_length: int,
    progress: Progress | None = None,
) -> str:
    """Trains on all interactions and publishes.

    Args:
        prepared: the data.
        preset: the hyperparameters.
        models: the models folder.
        metrics: what the split run measured, for the manifest.
        report: the HTML that travels with the model, None for none.
        list_length: items of everyone's precomputed list, 0 for none.
        progress: told of all steps.

    Returns:
        The published version.
    """
    whole = PartOf("all data", progress)
    model = fit_model(
        prepared.interactions, preset.parameters, progress=whole, number_by_length=True
    )
    model = with_top_lists(model, list_length, progress=whole)
    if metrics is not None:
        metrics = {
            "measured_on": "a split of the same data; this model is refit on all of it",
            **metrics,
        }
    parameters = preset.parameters.to_manifest()
    if preset.parameters.regularization_is_relative:
        resolved = model.regularization / preset.parameters.fold_in_share
        parameters["regularization"] = resolved
    card = {
        "dataset": prepared.to_manifest(),
        "preset": preset.name,
        "parameters": parameters,
        "metrics": metrics,
    }
    return publish(model, models, card=card, report=report)
