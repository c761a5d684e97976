"""The command ``train``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from training.cli.app import AsJson, ListLength, Models, cli
from training.cli.console import Bars, Output
from training.cli.options import (
    ColumnOptions,
    EventOptions,
    PlanOptions,
    RecipeOptions,
    SourceOptions,
    SplitOptions,
)
from training.cli.reading import read_found, read_prepared
from training.cli.tables import convergence_table, figures_table
from training.errors import NothingToMeasure, TrainingError
from training.experiment import Measured, measure
from training.files import check_writable
from training.pipeline import Prepared
from training.pipeline import train as train_and_publish
from training.presets import Preset
from training.search import Search, read_search
from training.study import measure_discovery, study

# Enough for intervals of a few thousandths; a nightly training need not wait for more.
_SAMPLE: Final = 20_000


@cli.command
def train(
    *,
    source: SourceOptions | None = None,
    columns: ColumnOptions | None = None,
    event_options: EventOptions | None = None,
    options: RecipeOptions | None = None,
    config: Annotated[Path | None, Parameter(name="--config")] = None,
    split: SplitOptions | None = None,
    plan: PlanOptions | None = None,
    models: Models = Path("models"),
    evaluation: bool = True,
    report: bool = True,
    search_file: Annotated[Path | None, Parameter(name="--search")] = None,
    top_lists: ListLength = 100,
    as_json: AsJson = False,
) -> None:
    """Measures on a split, trains on everything and publishes the model with a report.

    Args:
        source: Which data.
        columns: Columns of a table.
        event_options: What the service has heard meanwhile.
        options: The recipe.
        config: TOML file with options of the recipe, as `tune` writes it; those given here win.
        split: How the test part is cut.
        plan: How to measure.
        models: The models folder.
        evaluation: Measure on a split first. Without it there is no report and no early stopping.
        report: Publish a page of HTML with the model, at `GET /model/report`.
        search_file: What `tune` keeps its trials in, to show in the report what it found.
        top_lists: Length of everyone's precomputed list, 0 for none.
        as_json: Print JSON instead of tables.
    """
    output = Output(quiet=as_json)
    check_writable(models)
    if not evaluation:
        _refuse_without_evaluation(split, plan, search_file)
    if search_file is not None and not report:
        raise TrainingError("without a report nothing shows the search; leave --search out")
    if search_file is not None:
        read_search(search_file)  # refused before work is done for it
    recipe = (options or RecipeOptions()).over(config).recipe()
    recipe = (split or SplitOptions()).apply(recipe)
    how = (plan or PlanOptions()).plan(sample=_SAMPLE, convergence=report)
    events = event_options or EventOptions()
    prepared = read_prepared(
        output, source or SourceOptions(), columns or ColumnOptions(), recipe, events
    )
    found = read_found(search_file, prepared.interactions, recipe)
    measured, page = None, None
    with output.bars() as bars:
        if evaluation:
            try:
                measured = measure(prepared.interactions, recipe, how, progress=bars)
            except NothingToMeasure as error:
                output.note(f"nothing is measured: {error}")
        if measured is not None:
            iterations = measured.first.parameters.iterations
            recipe = replace(recipe, parameters=replace(recipe.parameters, iterations=iterations))
            if report:
                page = _render(prepared, recipe, measured, found, bars)
        version = train_and_publish(
            prepared,
            recipe,
            models,
            metrics=None if measured is None else measured.to_json(),
            report=page,
            list_length=top_lists,
            event_unit=events.event_unit,
            progress=bars,
        )
    if measured is not None:
        output.show(figures_table(measured.figures))
        if how.patience is not None and measured.first.convergence is not None:
            output.show(convergence_table(measured.first.convergence))
    output.show(f"published {version} in {models}; it is the current model now")
    if page is not None:
        output.show(f"the report is in {models / version / 'report.html'}")
    if as_json:
        output.json(_to_json(version, models, prepared, recipe, measured))
    output.warn(prepared.rows.warning)


def _refuse_without_evaluation(
    split: SplitOptions | None, plan: PlanOptions | None, search_file: Path | None
) -> None:
    """Refuses options that would do nothing."""
    given = (split or SplitOptions()).given() + (plan or PlanOptions()).given()
    given += ["--search"] if search_file else []
    if given:
        raise TrainingError(f"{given[0]} does nothing without an evaluation; leave it out")


def _render(
    prepared: Prepared, recipe: Preset, measured: Measured, found: Search | None, bars: Bars
) -> str:
    from training.report import render  # noqa: PLC0415 - matplotlib takes a second to load

    k, seed = measured.figures.k, recipe.parameters.seed
    points = measure_discovery(measured.first, k=k, seed=seed, progress=bars)
    page_done = bars.step("report", 1)
    shown = study(
        prepared.interactions.user_items,
        prepared.to_manifest(),
        recipe,
        measured,
        search=found,
        discovery=points,
    )
    page = render(shown)
    page_done(1)
    return page


def _to_json(
    version: str, models: Path, prepared: Prepared, recipe: Preset, measured: Measured | None
) -> dict[str, Any]:
    return {
        "version": version,
        "path": str(models / version),
        "dataset": prepared.to_manifest(),
        "parameters": recipe.parameters.to_manifest(),
        "metrics": None if measured is None else measured.to_json(),
    }
