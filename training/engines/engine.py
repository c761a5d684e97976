"""The engine contract: a source and a recipe in, an artifact out.

The contract does not say where the records lie while an engine works. A distributed engine never
has them in one place, so neither records nor matrices are handed over: a source names the records,
and the engine returns an artifact that is ready to be published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from app.events.event_types import DEFAULT_RULES, EventRules
from app.model.event_unit import DEFAULT_UNIT
from app.model.model import Model
from training.datasets import LoadOptions
from training.measuring.convergence import Convergence
from training.measuring.experiment import Plan
from training.measuring.figures import Figures
from training.pipeline import Provenance
from training.presets import Preset
from training.progress import Observer
from training.tuning.trials import Search


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from: a dataset, the events of a store, or both.

    Attributes:
        dataset: name of a dataset, None for events alone.
        path: its folder or file; None for the folder of downloads.
        options: how it is read. The recipe decides whether artists without an id are left out.
        allow_unreadable: whether a dataset is read although too many of its rows are unreadable.
        events: URL of the event store, None for none.
        rules: how many units each type of event counts; more than 0 for a play.
        data_until: the dataset already holds the plays up to this time, in seconds since 1970
            (UTC); None if that is not known.
        is_apart: whether the dataset is known to hold none of the plays of the events.
        erasures: without events, the URL of the event store that knows who was erased; None for
            none.
    """

    dataset: str | None = None
    path: Path | None = None
    options: LoadOptions = field(default_factory=LoadOptions)
    allow_unreadable: bool = False
    events: str | None = None
    rules: EventRules = DEFAULT_RULES
    data_until: int | None = None
    is_apart: bool = False
    erasures: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made of a source.

    Attributes:
        preset: filters, split, hyperparameters and contenders.
        plan: how a split is measured before training; None to measure nothing. With patience, the
            measurement decides the number of iterations.
        with_report: whether the artifact has a report.
        search: file of the search of ``tune`` that the report shows; or how long hyperparameters
            are searched before anything is measured, on the first fold of the split, which alone
            is measured then; None for neither.
        list_length: items of each precomputed list, 0 for none.
        event_unit: size of the unit that events count in, in medians of the user's weights, above
            0.
    """

    preset: Preset
    plan: Plan | None = None
    with_report: bool = False
    search: Path | timedelta | None = None
    list_length: int = 100
    event_unit: float = DEFAULT_UNIT


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """An artifact that is ready to be published, and what was measured on the way.

    Attributes:
        model: trained on everything; its arrays may be mapped from files.
        card: what the manifest says besides the format.
        report: HTML that travels with the model; None for none.
        preset: what the model was trained with, early stopping included.
        figures: on a split of the same data; None where nothing was measured.
        convergence: on a validation part; None where it was not measured.
        measured: figures and convergence for JSON; None where nothing was measured.
        search: the search that chose the hyperparameters; None where none did.
    """

    model: Model
    card: Mapping[str, Any]
    report: str | None
    preset: Preset
    figures: Figures | None
    convergence: Convergence | None
    measured: Mapping[str, Any] | None
    search: Search | None = None


class Loaded(Protocol):
    """A source that was read and filtered, wherever its records are."""

    @property
    def provenance(self) -> Provenance:
        """What was read, and what is left of it."""
        ...

    def build(self, recipe: Recipe, observer: Observer) -> Built:
        """Searches and measures on a split, if the recipe asks for it, and trains on everything.

        Args:
            recipe: its filters are those that the source was read with.
            observer: told of all steps, and why nothing was measured where that is so.

        Raises:
            SearchMismatch: the trials were on other data, or on another split of them.
            TrainingError: the split cannot be made of these data, or training diverged.
        """
        ...


class Engine(Protocol):
    """Turns a source and a recipe into an artifact."""

    def read(self, source: Source, preset: Preset, observer: Observer) -> Loaded:
        """Reads a source and applies the filters.

        Args:
            source: where the records come from.
            preset: says which filters.
            observer: told of all steps, and how the columns were understood.

        Raises:
            DatasetError: the data cannot be read, or too many rows are unreadable.
            StoreUnavailable: the event store cannot be read.
            TrainingError: the filters leave nothing, or a half-life is set and the times are
                unknown.
        """
        ...
