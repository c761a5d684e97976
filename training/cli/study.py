"""The commands that measure: ``evaluate``, ``tune`` and ``report``."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.weighting import WeightingName
from training.als import Parameters
from training.cli.app import cli
from training.cli.console import Output
from training.cli.options import (
    AtLeastOne,
    BaseOptions,
    Cutoff,
    DataOptions,
    PlanOptions,
    Positive,
    RecipeOptions,
)
from training.cli.reading import Data, read_data, read_found
from training.cli.tables import (
    convergence_table,
    discovery_table,
    figures_table,
    search_table,
    trial_line,
)
from training.configuration import write_configuration
from training.convergence import Validation
from training.errors import TrainingError
from training.files import check_place, write_json
from training.measuring.evaluation import check_cutoff
from training.measuring.experiment import VALIDATION_USERS, Measured, Plan, measure, validation_of
from training.study import DiscoveryPoint, measure_discovery, study
from training.tuning.search import Budget, search
from training.tuning.space import Space
from training.tuning.state import read_search
from training.tuning.trials import Search, Trial

JsonOut = Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)]
Config = Annotated[Path | None, Parameter(name="--config")]
_STDOUT: Final = Path("-")
# As many as a search gets unless told.
_TRIALS: Final = 40


@cli.command
def evaluate(
    *,
    data: DataOptions | None = None,
    plan: PlanOptions | None = None,
    options: RecipeOptions | None = None,
    config: Config = None,
    repeats: Annotated[int, AtLeastOne] = 1,
    convergence: bool = False,
    discovery_curve: bool = False,
    json_out: JsonOut = None,
) -> None:
    """Measures popularity, item-kNN and ALS on held-out artists; publishes nothing.

    Args:
        data: Which data, and how they are split.
        plan: How to measure.
        options: The recipe.
        config: TOML file with options of the recipe, as `tune` writes it.
        repeats: How many times the split is made, each with the next seed.
        convergence: Measure NDCG on a validation part after each iteration.
        discovery_curve: Measure what the discovery dial does to the lists.
        json_out: Write the figures to this file, `-` for stdout instead of tables.
    """
    output = Output(quiet=json_out == _STDOUT)
    if json_out is not None:
        check_place(json_out)
    what = read_data(output, _over(options, config), data or DataOptions())
    how = (plan or PlanOptions()).plan(repeats=repeats, convergence=convergence)
    with output.bars() as bars:
        measured = measure(what.interactions, what.recipe, how, progress=bars)
        points: list[DiscoveryPoint] = []
        if discovery_curve:
            seed = what.recipe.parameters.seed
            points = measure_discovery(measured.first, k=how.k, seed=seed, progress=bars)
    output.show(figures_table(measured.figures))
    if measured.first.convergence is not None:
        output.show(convergence_table(measured.first.convergence))
    if points:
        output.show(discovery_table(points))
    if json_out is not None:
        _write_json(output, json_out, _to_json(what, measured, points))
    output.warn(what.warning)


@cli.command
def tune(
    *,
    out: Path,
    data: DataOptions | None = None,
    options: BaseOptions | None = None,
    k: Cutoff = 10,
    space: Path | None = None,
    trials: Annotated[int | None, AtLeastOne] = None,
    minutes: Annotated[float | None, Positive] = None,
    state: Path | None = None,
    validation_users: Annotated[int, AtLeastOne] = VALIDATION_USERS,
    json_out: JsonOut = None,
) -> None:
    """Searches for hyperparameters on a validation part cut from the training part.

    The test part is looked at once, at the end, with the winner. An interrupted search goes on
    where it was when the same command is given again.

    Args:
        out: TOML file for the winner, which `train --config` takes.
        data: Which data, and how they are split; of a ready-made split `--test` may be left out.
        options: The recipe without hyperparameters, which are what is searched.
        k: Cut-off of the objective, NDCG@k, and of the measures.
        space: TOML file with ranges to search instead of those that suit the data.
        trials: How many hyperparameter sets to try, those of earlier runs included. Default: 40,
            or no limit with `--minutes`.
        minutes: How long to search; a trial that has begun is finished.
        state: File that keeps the finished trials. Default: `out` with the ending `.search`.
        validation_users: Measure trials on so many users, drawn by the seed.
        json_out: Write winner, trials and figures to this file, `-` for stdout instead of tables.
    """
    output = Output(quiet=json_out == _STDOUT)
    check_place(out)
    state = state or out.with_suffix(".search")
    _check_places(out, state, *([json_out] if json_out else []))
    if space is not None:  # a mistake in it is told before the data are read
        Space.load(space, Space())
    options = options or BaseOptions()
    what = read_data(output, options, data or DataOptions(), test_optional=True)
    seed = what.recipe.parameters.seed
    validation = _validation(what, k, validation_users)
    ranges = Space.for_data(validation.train.user_items)
    if space is not None:
        ranges = Space.load(space, ranges)
    budget = Budget(trials or (None if minutes else _TRIALS), minutes)
    found = _search(output, validation, ranges, state, budget, seed=seed)
    write_configuration(out, found.options(), [_remark(found, what)])
    output.show(search_table(found))
    output.show(f"the winner is in {out}; `train --config {out}` takes it")
    entry: dict[str, Any] = {"dataset": what.name, "search": found.to_json()}
    if what.has_test:
        best = replace(what.recipe, parameters=_winner(found, seed))
        how = Plan(k=k, first_fold_only=True)
        with output.bars() as bars:
            measured = measure(what.interactions, best, how, progress=bars)
        output.show(figures_table(measured.figures))
        entry |= _to_json(what, measured, [])
    if json_out is not None:
        _write_json(output, json_out, entry)
    output.warn(what.warning)


@cli.command
def report(
    *,
    out: Path,
    data: DataOptions | None = None,
    plan: PlanOptions | None = None,
    options: RecipeOptions | None = None,
    config: Config = None,
    search_file: Annotated[Path | None, Parameter(name="--search")] = None,
    overwrite: bool = False,
) -> None:
    """Measures as `evaluate` does and shows everything on one page of HTML.

    Args:
        out: File to write, one page that needs nothing else.
        data: Which data, and how they are split.
        plan: How to measure.
        options: The recipe.
        config: TOML file with options of the recipe, as `tune` writes it.
        search_file: What `tune` keeps its trials in, to show what it found.
        overwrite: Replace an earlier file.
    """
    from training.report import write  # noqa: PLC0415 - matplotlib takes a second to load

    output = Output()
    check_place(out)
    if out.exists() and not overwrite:
        raise TrainingError(f"{out} is there already; give --overwrite to replace it")
    if search_file is not None:
        read_search(search_file)  # refused before work is done for it
    what = read_data(output, _over(options, config), data or DataOptions())
    found = read_found(search_file, what.interactions, what.recipe)
    how = (plan or PlanOptions()).plan(convergence=True)
    seed = what.recipe.parameters.seed
    with output.bars() as bars:
        measured = measure(what.interactions, what.recipe, how, progress=bars)
        points = measure_discovery(measured.first, k=how.k, seed=seed, progress=bars)
    shown = study(
        what.interactions.user_items,
        what.manifest,
        what.recipe,
        measured,
        search=found,
        discovery=points,
    )
    write(shown, out)
    output.show(figures_table(measured.figures))
    output.show(f"the report is in {out}")
    output.warn(what.warning)


def _validation(what: Data, k: int, sample: int) -> Validation:
    """Cuts the validation part of the first fold."""
    fold = next(iter(what.recipe.split.folds(what.interactions)))
    check_cutoff(k, int((fold.train.user_items.listeners() > 0).sum()))
    seed = what.recipe.parameters.seed
    return validation_of(fold, what.recipe.split, k=k, seed=seed, sample=sample)


def _search(
    output: Output, validation: Validation, space: Space, state: Path, budget: Budget, *, seed: int
) -> Search:
    """Searches, and tells of each trial."""
    finished = 0
    with output.bars() as bars:
        trial_done = bars.step("trials", budget.trials)

        def told(trial: Trial, so_far: Search) -> None:
            nonlocal finished
            finished = len(so_far.trials)
            trial_done(1)
            bars.say(trial_line(trial, so_far))

        try:
            found = search(validation, space, state, budget, seed=seed, told=told)
        except KeyboardInterrupt:
            bars.say(_interrupted(state, finished))
            raise
    if found.winner.ndcg == 0:
        raise TrainingError(
            f"none of {len(found.trials)} trials put a validation artist into a list, so none is "
            "the best; search elsewhere with --space and another --state, or use more data"
        )
    return found


def _check_places(*places: Path) -> None:
    """Refuses files that cannot be written, and two of the same name."""
    for number, place in enumerate(places):
        check_place(place)
        if place.absolute() in [other.absolute() for other in places[:number]]:
            raise TrainingError(f"{place} is named for two things; name another file for one")


def _interrupted(state: Path, finished: int) -> str:
    """Says how to go on with a search, or to end it."""
    if finished == 0:
        return f"finished trials are kept in {state}: the same command goes on from there"
    trials = "1 trial is" if finished == 1 else f"{finished} trials are"
    return (
        f"{trials} kept in {state}: the same command goes on from there, and with --trials "
        f"{finished} it takes the best so far"
    )


def _over(options: RecipeOptions | None, config: Path | None) -> RecipeOptions:
    return (options or RecipeOptions()).over(config)


def _winner(found: Search, seed: int) -> Parameters:
    """Returns the winner's hyperparameters."""
    values = found.options() | {"weighting": WeightingName(found.options()["weighting"])}
    return RecipeOptions(seed=seed, **values).recipe().parameters


def _remark(found: Search, data: Data) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"The best of {len(found.trials)} trials on {data.name}, {when}: "
        f"NDCG@{found.k} {found.winner.ndcg:.4f} on {found.users:,} validation users."
    )


def _to_json(data: Data, measured: Measured, points: list[DiscoveryPoint]) -> dict[str, Any]:
    entry = {
        "dataset": data.name,
        **measured.to_json(),
        "parameters": measured.first.parameters.to_manifest(),
    }
    if points:
        entry["discovery"] = [point.to_json() for point in points]
    return entry


def _write_json(output: Output, path: Path, value: dict[str, Any]) -> None:
    if path == _STDOUT:
        output.json(value)
        return
    write_json(path, value)
    output.show(f"the figures are in {path}")
