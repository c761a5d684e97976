"""The command ``train``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.artifacts.models_folder import ModelsFolder
from training.cli.app import JsonTo, ListLength, Models, cli
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
from training.files import check_writable
from training.measuring.experiment import Measured, measure
from training.pipeline import Prepared
from training.pipeline import train as train_and_publish
from training.presets import Preset
from training.publishing import Published
from training.study import measure_discovery, study
from training.tuning.state import read_search
from training.tuning.trials import Search

# Enough for intervals of a few thousandths; a nightly training need not wait for more.
_SAMPLE: Final = 20_000
# The exit status of a training whose model was published but not made current.
NOT_CURRENT: Final = 3


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
    force: Annotated[bool, Parameter(negative=())] = False,
    json_to: JsonTo = None,
) -> int:
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
        force: Make the model current even if it has less than half of the users, artists or pairs \
of the current one of the same dataset. Without it such a model is published but not made current, \
and the exit status is 3.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to)
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
        published = train_and_publish(
            prepared,
            recipe,
            models,
            metrics=None if measured is None else measured.to_json(),
            report=page,
            list_length=top_lists,
            event_unit=events.event_unit,
            force=force,
            progress=bars,
        )
    if measured is not None:
        output.show(figures_table(measured.figures))
        if how.patience is not None and measured.first.convergence is not None:
            output.show(convergence_table(measured.first.convergence))
    _show_published(output, published, models, with_report=page is not None)
    output.result(_to_json(published, models, prepared, recipe, measured))
    output.warn(prepared.rows.warning)
    return 0 if published.is_current else NOT_CURRENT


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


def _show_published(
    output: Output, published: Published, models: Path, *, with_report: bool
) -> None:
    version, shrunk = published.version, published.shrinkage
    if published.not_compared is not None:
        output.note(f"the former model is not compared with this one: {published.not_compared}")
    if published.is_current:
        output.show(f"published {version} in {models}; it is the current model now")
    else:
        output.show(f"published {version} in {models}; it is not the current model")
    if with_report:
        output.show(f"the report is in {ModelsFolder(models).report_place(version)}")
    if shrunk is None:
        return
    if published.is_current:
        output.note(f"--force made it current with {shrunk} in {shrunk.version}")
        return
    pointing = ModelsFolder(models).pointing_command(version)
    output.error(
        f"{version} is not made current, since less than half is left of what {shrunk.version} was "
        f"trained on: {shrunk}. {shrunk.version} stays in service. Is the export whole? If so, "
        f"train again with --force, or point to this model: {pointing}"
    )


def _to_json(
    published: Published,
    models: Path,
    prepared: Prepared,
    recipe: Preset,
    measured: Measured | None,
) -> dict[str, Any]:
    shrunk = published.shrinkage
    return {
        "version": published.version,
        "path": str(ModelsFolder(models).place_of(published.version)),
        "current": published.is_current,
        "shrinkage": shrunk and shrunk.to_manifest(),
        "dataset": prepared.to_manifest(),
        "parameters": recipe.parameters.to_manifest(),
        "metrics": None if measured is None else measured.to_json(),
    }
