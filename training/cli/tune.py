"""The command ``tune``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from training.cli.app import JsonTo, Overwrite, cli
from training.cli.configuration.filling import Config
from training.cli.configuration.sections import EVALUATION, OUTPUT, SEARCH
from training.cli.console import Output
from training.cli.evaluate import measured_to_json
from training.cli.options import (
    AtLeastOne,
    BaseOptions,
    Cutoff,
    DataOptions,
    Positive,
)
from training.cli.reading import Data, read_data
from training.cli.tables import (
    figures_table,
    search_table,
    trial_line,
)
from training.configuration import write_configuration
from training.files import check_place
from training.measuring.convergence import Validation
from training.measuring.experiment import VALIDATION_USERS, Plan, measure
from training.numbers import plural
from training.presets import DEFAULT
from training.tuning.best import first_validation, with_winner
from training.tuning.search import Budget, search
from training.tuning.space import Space
from training.tuning.trials import Search, Trial

_SEARCH: Final = Parameter(group=SEARCH)
_OUTPUT: Final = Parameter(group=OUTPUT)
# Number of trials without --trials and --minutes.
_TRIALS: Final = 40


@cli.command
def tune(
    *,
    out: Annotated[Path, _OUTPUT],
    data: DataOptions | None = None,
    options: BaseOptions | None = None,
    k: Annotated[Cutoff, Parameter(group=EVALUATION)] = 10,
    space: Annotated[Path | None, _SEARCH] = None,
    trials: Annotated[int | None, AtLeastOne, _SEARCH] = None,
    minutes: Annotated[float | None, Positive, _SEARCH] = None,
    state: Annotated[Path | None, _SEARCH] = None,
    validation_users: Annotated[int, AtLeastOne, _SEARCH] = VALIDATION_USERS,
    overwrite: Annotated[Overwrite, _OUTPUT] = False,
    json_to: Annotated[JsonTo, _OUTPUT] = None,
    config: Config = None,
) -> None:
    """Searches for hyperparameters on a validation part cut from the training part.

    The test part is used once, at the end, to measure the winner. To continue an interrupted
    search, give the same command again.

    Args:
        out: TOML file for the winner, which `--config` reads; a search that goes on replaces its
            own.
        data: The data, and how they are split; `--test` of a ready-made split may be left out.
        options: The recipe without hyperparameters, which the search chooses.
        k: Cut-off of the objective, NDCG@k, and of the measures.
        space: TOML file with ranges to search instead of those chosen for the data.
        trials: Number of trials, those of earlier runs included. Default: 40, or no limit with
            `--minutes`.
        minutes: Duration of the search in minutes; a trial that has begun is finished.
        state: File for the finished trials. Default: `out` with the ending `.search`.
        validation_users: Measure trials on this many users, drawn by the seed.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
        config: File of options; its hyperparameters are not used.
    """
    check_place(out)
    state = state or out.with_suffix(".search")
    # A search that goes on replaces the winner that it had so far, and the figures of that.
    overwrite = overwrite or state.exists()
    output = Output(json_to, overwrite)
    output.check_out(out, state)
    if space is not None:  # a mistake in it is refused before the data are read
        Space.load(space, Space())
    options = options or BaseOptions()
    what = read_data(output, options, data or DataOptions(), test_optional=True)
    seed = what.recipe.parameters.seed
    validation = first_validation(what.interactions, what.recipe, k=k, sample=validation_users)
    ranges = Space.for_data(validation.train.user_items)
    if space is not None:
        ranges = Space.load(space, ranges)
    budget = Budget(trials or (None if minutes else _TRIALS), minutes)
    found = _search(output, validation, ranges, state, budget, seed=seed)
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    write_configuration(out, {"recipe": chosen | found.options()}, [_remark(found, what)])
    output.show(search_table(found))
    output.show(f"the winner is in {out}; use it with `train --config {out}`")
    output.result(_measured(output, what, found, k), "the figures are")
    output.warn(what.warning)


def _measured(output: Output, what: Data, found: Search, k: int) -> dict[str, Any]:
    """Measures the winner on the test part, if there is one, and returns the JSON of the search."""
    entry: dict[str, Any] = {"dataset": what.name, "search": found.to_json()}
    if what.has_test:
        best = with_winner(what.recipe, found)
        how = Plan(k=k, first_fold_only=True)
        with output.bars() as bars:
            measured = measure(what.interactions, best, how, progress=bars)
        output.show(figures_table(measured.figures))
        entry |= measured_to_json(what, measured, [])
    return entry


def _search(
    output: Output, validation: Validation, space: Space, state: Path, budget: Budget, *, seed: int
) -> Search:
    """Searches, and shows each trial."""
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
    with_winner(DEFAULT, found)  # refuses a search in which all trials failed
    return found


def _interrupted(state: Path, finished: int) -> str:
    """Returns how to continue an interrupted search, or to end it."""
    if finished == 0:
        return f"finished trials are saved in {state}: the same command continues the search"
    return (
        f"{plural(finished, 'trial')} saved in {state}: the same command continues the search, and "
        f"with --trials {finished} it ends with the best so far"
    )


def _remark(found: Search, data: Data) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"The best of {plural(len(found.trials), 'trial')} on {data.name}, {when}: "
        f"NDCG@{found.k} {found.winner.ndcg:.4f} on {plural(found.users, 'validation user')}."
    )
