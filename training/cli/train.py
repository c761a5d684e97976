"""The command ``train``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.artifacts.models_folder import ModelsFolder
from training.cli.app import JsonTo, ListLength, Models, Overwrite, cli
from training.cli.configuration.filling import Config
from training.cli.configuration.printing import effective, to_text
from training.cli.configuration.sections import EVALUATION, FILE, PUBLISHING
from training.cli.console import Output
from training.cli.engine_options import EngineOptions
from training.cli.options import (
    ColumnOptions,
    EventOptions,
    PlanOptions,
    RecipeOptions,
    SourceOptions,
    SplitOptions,
)
from training.cli.reading import source_of
from training.cli.tables import convergence_table, figures_table, records_table, search_table
from training.engines.engine import Built, Recipe
from training.errors import TrainingError
from training.files import check_writable
from training.measuring.experiment import MEASURED_USERS, Plan
from training.presets import Preset
from training.publishing.publish import Published, publish
from training.tuning.state import read_search

_SAMPLE: Final = MEASURED_USERS
# The exit status of a training whose model was published but not made current.
NOT_CURRENT: Final = 3
_PUBLISHED: Final = Parameter(group=PUBLISHING)


@cli.command
def train(
    *,
    source: SourceOptions | None = None,
    columns: ColumnOptions | None = None,
    event_options: EventOptions | None = None,
    options: RecipeOptions | None = None,
    evaluation: Annotated[bool, Parameter(group=EVALUATION)] = True,
    split: SplitOptions | None = None,
    plan: PlanOptions | None = None,
    engine_options: EngineOptions | None = None,
    models: Annotated[Models, _PUBLISHED] = Path("models"),
    report: Annotated[bool, _PUBLISHED] = True,
    search: Annotated[timedelta | Path | None, _PUBLISHED, Parameter(metavar="TIME|FILE")] = None,
    top_lists: Annotated[ListLength, _PUBLISHED] = 100,
    force: Annotated[bool, _PUBLISHED, Parameter(negative=())] = False,
    overwrite: Annotated[Overwrite, _PUBLISHED] = False,
    json_to: Annotated[JsonTo, _PUBLISHED] = None,
    config: Config = None,
    print_options: Annotated[bool, Parameter(name="--print", negative=(), group=FILE)] = False,
) -> int:
    """Measures on a split, trains on all data and publishes the model with a report.

    Args:
        source: The dataset.
        columns: Columns of a table.
        event_options: The events of the service.
        options: The recipe.
        evaluation: Measure on a split first. Without it there is no report and no early stopping.
        split: The split that cuts the test part.
        plan: How to measure.
        engine_options: Where the work is done.
        models: The models folder.
        report: Publish a report with the model, at `GET /model/report`.
        search: Search for hyperparameters first, as long as `5m` says; or, for the report, the \
file with the trials of `tune`.
        top_lists: Length of the precomputed lists, 0 for none.
        force: Make the model current even if it has less than half of the users, artists or pairs \
of the current one of the same dataset. Otherwise it is published only, and the exit status is 3.
        overwrite: Replace the file of `--json` if it is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
        config: File of options.
        print_options: Only print the options that hold, as a file for `--config`.
    """
    _refuse_without(split, plan, options, search, evaluation=evaluation, report=report)
    preset = _preset(options or RecipeOptions(), split, plan)
    how = (plan or PlanOptions()).plan(sample=_SAMPLE, convergence=report) if evaluation else None
    if print_options and config is not None:
        Output().print_lines(to_text(config, effective(preset, how)))
        return 0
    engine, output = (engine_options or EngineOptions()).chosen(), Output(json_to, overwrite)
    check_writable(models)
    events = event_options or EventOptions()
    where = source_of(source or SourceOptions(), columns or ColumnOptions(), events)
    loaded = engine.read(where, preset, output)
    output.show(records_table(loaded.provenance))
    built = loaded.build(Recipe(preset, how, report, search, top_lists, events.event_unit), output)
    published = publish(built.model, models, card=built.card, report=built.report, force=force)
    _show(output, built, how, published, models)
    output.warn(loaded.provenance.rows.warning)
    return 0 if published.is_current else NOT_CURRENT


def _preset(options: RecipeOptions, split: SplitOptions | None, plan: PlanOptions | None) -> Preset:
    """Returns the preset with the changes, the split and the contenders of the options."""
    preset = (split or SplitOptions()).apply(options.recipe())
    return (plan or PlanOptions()).compare(preset)


def _refuse_without(
    split: SplitOptions | None,
    plan: PlanOptions | None,
    options: RecipeOptions | None,
    search: timedelta | Path | None,
    *,
    evaluation: bool,
    report: bool,
) -> None:
    """Refuses options without effect, and a wrong file of a search, before the data are read."""
    given = (split or SplitOptions()).given() + (plan or PlanOptions()).given()
    if isinstance(search, timedelta):
        _refuse_beside_search(search, options or RecipeOptions(), evaluation=evaluation)
    elif search is not None:
        given.append("--search")
    if given and not evaluation:
        raise TrainingError(f"{given[0]} does nothing without an evaluation; leave it out")
    if isinstance(search, Path):
        if not report:
            raise TrainingError("--search does nothing without a report; leave it out")
        if not search.exists():
            raise TrainingError(
                f"{search}: there is no such search; `tune` makes one, and a time to search before "
                "the training is one such as 5m"
            )
        read_search(search)


def _refuse_beside_search(duration: timedelta, options: RecipeOptions, *, evaluation: bool) -> None:
    """Refuses what does not go with a search before the training."""
    if duration <= timedelta():
        raise TrainingError("--search has to be longer than 0 s; give it a time such as 5m")
    if not evaluation:
        raise TrainingError(
            "--search needs the evaluation, in which the winner is measured; leave --no-evaluation "
            "out"
        )
    if given := options.hyperparameters_given():
        raise TrainingError(
            f"{given[0]} does nothing beside a search, which chooses the hyperparameters; leave "
            "one of them out"
        )


def _show(
    output: Output, built: Built, plan: Plan | None, published: Published, models: Path
) -> None:
    if built.search is not None:
        output.show(search_table(built.search))
    if built.figures is not None:
        output.show(figures_table(built.figures))
    if plan is not None and plan.patience is not None and built.convergence is not None:
        output.show(convergence_table(built.convergence))
    _show_published(output, published, models, with_report=built.report is not None)
    output.result(_to_json(published, models, built))


def _show_published(
    output: Output, published: Published, models: Path, *, with_report: bool
) -> None:
    version, shrunk = published.version, published.shrinkage
    if published.not_compared is not None:
        output.note(
            f"this model is not compared with the former one, which cannot be read: "
            f"{published.not_compared}"
        )
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


def _to_json(published: Published, models: Path, built: Built) -> dict[str, Any]:
    shrunk = published.shrinkage
    searched = {} if built.search is None else {"search": built.search.to_json()}
    return {
        "version": published.version,
        "path": str(ModelsFolder(models).place_of(published.version)),
        "current": published.is_current,
        "shrinkage": shrunk and shrunk.to_manifest(),
        "dataset": built.card["dataset"],
        "parameters": built.preset.parameters.to_manifest(),
        "metrics": built.measured,
        **searched,
    }
