"""The engine that works in memory: everything in one matrix, factors by a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.model.model import Model
from training.engines.engine import Built, Recipe, Source
from training.engines.reading import read_found, read_source, recipe_for
from training.errors import NothingToMeasure
from training.fitting.fit import ALS, fit_model
from training.fitting.top_lists import with_top_lists
from training.fitting.trainer import Trainer
from training.measuring.experiment import Measured, Plan, measure
from training.pipeline import Prepared, Provenance
from training.presets import Preset
from training.progress import Observer, PartOf, Progress
from training.study import measure_discovery, study
from training.tuning.best import search_for, with_winner
from training.tuning.trials import Search


@dataclass(frozen=True, slots=True)
class InMemory:
    """Reads into memory, and trains and measures there; an ``Engine``.

    Attributes:
        trainer: makes the factors.
    """

    trainer: Trainer = ALS

    def read(self, source: Source, preset: Preset, observer: Observer) -> LoadedInMemory:
        """Reads a source and applies the filters; see ``Engine.read``."""
        return LoadedInMemory(read_source(source, preset, observer), self.trainer)


@dataclass(frozen=True, slots=True)
class LoadedInMemory:
    """A source in memory; see ``Loaded``.

    Attributes:
        prepared: the interactions and their provenance.
        trainer: makes the factors.
    """

    prepared: Prepared
    trainer: Trainer = ALS

    @property
    def provenance(self) -> Provenance:
        """What was read, and what is left of it."""
        return self.prepared.provenance

    def build(self, recipe: Recipe, observer: Observer) -> Built:
        """Measures and trains; see ``Loaded.build``."""
        preset = recipe_for(recipe.preset, self.prepared.interactions, observer)
        plan, found, searched = recipe.plan, None, None
        if isinstance(recipe.search, Path):
            found = read_found(recipe.search, self.prepared.interactions, preset)
        with observer.bars() as bars:
            if isinstance(recipe.search, timedelta):
                k = (plan or Plan()).k
                found = searched = search_for(
                    recipe.search, self.prepared.interactions, preset, k=k, progress=bars
                )
                preset = with_winner(preset, searched)
                # The search has seen pairs of the test parts of the other folds.
                plan = plan and replace(plan, first_fold_only=True)
            measured = self._measure(preset, plan, observer, bars)
            report = None
            if measured is not None:
                iterations = measured.first.parameters.iterations
                preset = replace(
                    preset, parameters=replace(preset.parameters, iterations=iterations)
                )
                if recipe.with_report:
                    report = self._report(preset, measured, found, bars)
            model = self._train(preset, recipe, bars)
        entry = None if measured is None else measured.to_json()
        return Built(
            model=model,
            card=self._card(model, preset, entry),
            report=report,
            preset=preset,
            figures=None if measured is None else measured.figures,
            convergence=None if measured is None else measured.first.convergence,
            measured=entry,
            search=searched,
        )

    def _measure(
        self, preset: Preset, plan: Plan | None, observer: Observer, progress: Progress
    ) -> Measured | None:
        if plan is None:
            return None
        interactions = self.prepared.interactions
        try:
            return measure(interactions, preset, plan, trainer=self.trainer, progress=progress)
        except NothingToMeasure as error:
            observer.note(f"nothing is measured: {error}")
            return None

    def _report(
        self, preset: Preset, measured: Measured, found: Search | None, progress: Progress
    ) -> str:
        from training.report import render  # noqa: PLC0415 - matplotlib takes a second to load

        k, seed = measured.figures.k, preset.parameters.seed
        points = measure_discovery(measured.first, k=k, seed=seed, progress=progress)
        page_done = progress.step("report", 1)
        shown = study(
            self.prepared.interactions.user_items,
            self.provenance.to_manifest(),
            preset,
            measured,
            search=found,
            discovery=points,
        )
        page = render(shown)
        page_done(1)
        return page

    def _train(self, preset: Preset, recipe: Recipe, progress: Progress) -> Model:
        whole = PartOf("all data", progress)
        model = fit_model(
            self.prepared.interactions,
            preset.parameters,
            trainer=self.trainer,
            progress=whole,
            number_by_length=True,
        )
        return replace(
            with_top_lists(model, recipe.list_length, progress=whole).with_multiple(
                recipe.event_unit
            ),
            watermark=self.provenance.watermark,
        )

    def _card(
        self, model: Model, preset: Preset, measured: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if measured is not None:
            measured = {
                "measured_on": "a split of the same data; this model is refit on all of it",
                **measured,
            }
        parameters = preset.parameters.to_manifest()
        if preset.parameters.regularization_is_relative and model.als is not None:
            resolved = model.als.regularization / preset.parameters.fold_in_share
            parameters["regularization"] = resolved
        return {
            "dataset": self.provenance.to_manifest(),
            "preset": preset.name,
            "recipe": preset.choice or None,
            "parameters": parameters,
            "metrics": measured,
        }
