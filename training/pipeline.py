"""The way from records to a published model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.activity import DEFAULT_UNIT
from app.events import Watermark
from training.datasets.reading.times import UTC_SECONDS
from training.errors import TrainingError
from training.event_log import Merged
from training.fit import PartOf, Progress, fit_model, with_top_lists
from training.interactions import Interactions
from training.preprocessing import Step, preprocess
from training.presets import Preset
from training.publishing import Published, publish
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
        watermark: how far the event store was read, None where none was.
        events: what became of the events, by name.
        period: the first and the last time of the records, in seconds since 1970 (UTC); None where
            times are unknown.
    """

    interactions: Interactions
    dataset: str
    sources: Mapping[str, Any]
    rows: RowCounts
    steps: Sequence[Step]
    watermark: Watermark | None = None
    events: Mapping[str, int] | None = None
    period: tuple[int, int] | None = None

    def to_manifest(self) -> dict[str, Any]:
        """Returns the manifest's entry ``dataset``."""
        user_items = self.interactions.user_items
        return {
            "name": self.dataset,
            "sources": dict(self.sources),
            "rows_read": self.rows.read,
            "rows_dropped": dict(self.rows.dropped),
            "rows_noted": dict(self.rows.noted),
            "period": describe_period(self.period),
            "events": None if self.events is None else dict(self.events),
            "filters": [step.to_manifest() for step in self.steps],
            "users": user_items.n_users,
            "artists": user_items.n_items,
            "pairs": user_items.nnz,
        }


def describe_period(period: tuple[int, int] | None) -> dict[str, str] | None:
    """Returns a period of seconds since 1970 for the manifest, in ISO 8601 (UTC)."""
    if period is None:
        return None
    first, last = (datetime.fromtimestamp(end, UTC).strftime(UTC_SECONDS) for end in period)
    return {"first": first, "last": last}


def prepare(data: Records | Merged, preset: Preset) -> Prepared:
    """Applies the preset's filters.

    Args:
        data: records, of a dataset alone or with those of events.
        preset: says which filters.

    Raises:
        TrainingError: they leave nothing, or tastes are to fade and nobody knows the times.
    """
    records = data.records if isinstance(data, Merged) else data
    interactions, steps = preprocess(records, preset.filters)
    if preset.parameters.half_life is not None:
        _check_times(interactions, records.rows)  # refused before anything is measured
    prepared = Prepared(
        interactions,
        records.dataset,
        records.sources,
        records.rows,
        steps,
        period=records.period,
    )
    if isinstance(data, Merged):
        return replace(prepared, watermark=data.watermark, events=data.counts)
    return prepared


def _check_times(interactions: Interactions, rows: RowCounts) -> None:
    """Refuses data without times, and says whether a column of times was given up."""
    try:
        interactions.records()
    except TrainingError as error:
        given_up = [
            f"{count:,} rows: {note}, {rows.examples[note]}"
            for note, count in rows.noted.items()
            if note in rows.examples
        ]
        if not given_up:
            raise
        raise TrainingError(
            f"a half-life needs to know when each record was played ({'; '.join(given_up)}). "
            "--timestamp-column leaves out just those rows"
        ) from error


def train(
    prepared: Prepared,
    preset: Preset,
    models: Path,
    *,
    metrics: Mapping[str, Any] | None,
    report: str | None = None,
    list_length: int,
    event_unit: float = DEFAULT_UNIT,
    force: bool = False,
    progress: Progress | None = None,
) -> Published:
    """Trains on all interactions and publishes.

    Args:
        prepared: the data.
        preset: the hyperparameters.
        models: the models folder.
        metrics: what the split run measured, for the manifest.
        report: the HTML that travels with the model, None for none.
        list_length: items of everyone's precomputed list, 0 for none.
        event_unit: what an event counts in, in medians of the user's weights, above 0.
        force: makes the model current even if its data shrank, see ``publish``.
        progress: told of all steps.

    Returns:
        The published version, and whether it is current.
    """
    whole = PartOf("all data", progress)
    model = fit_model(
        prepared.interactions, preset.parameters, progress=whole, number_by_length=True
    )
    model = replace(
        with_top_lists(model, list_length, progress=whole),
        event_unit=replace(model.event_unit, multiple=event_unit),
        watermark=prepared.watermark,
    )
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
    return publish(model, models, card=card, report=report, force=force)
