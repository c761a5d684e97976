"""Search: hyperparameters chosen on a validation part of the training part.

Optuna's tree-structured Parzen estimator (Bergstra et al., Algorithms for Hyper-Parameter
Optimization, 2011) proposes every other trial; the others are small steps away from the best one,
since forty trials are few for the estimator alone. A trial is measured after every iteration. It is
given up if its curve stays far behind that of the best one, and ends if it no longer improves.
So the number of iterations is no dimension of the search: the curve gives it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from training.data.shape import Shape
from training.errors import TrainingError, WriteError
from training.fitting.hyperparameters import Parameters
from training.measuring.convergence import Validation, follow, is_exhausted
from training.presets import DEFAULT
from training.tuning.proposals import anchors_of, is_hopeless, near_the_best, sampler_of
from training.tuning.signals import signals_held
from training.tuning.space import Space
from training.tuning.state import (
    alone_in,
    drop_interrupted,
    finished_trials,
    innermost,
    objective_of,
    open_state,
    result_of,
)
from training.tuning.trials import Search, Trial

if TYPE_CHECKING:
    import optuna

PATIENCE: Final = 4
GAIN: Final = 0.002

Told: TypeAlias = Callable[[Trial, Search], None]


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a search; a trial that has begun is finished.

    Attributes:
        trials: number of all trials, those of earlier runs included; None for no limit.
        minutes: duration of this run; None for no limit.
    """

    trials: int | None
    minutes: float | None


def search(
    validation: Validation,
    space: Space,
    state: Path,
    budget: Budget,
    *,
    start: Parameters | None = None,
    seed: int = 0,
    told: Told | None = None,
) -> Search:
    """Begins or continues a search.

    The same data, space and seed give the same trials, whether the search was interrupted or not.

    Args:
        validation: the validation part of the objective.
        space: the ranges of values.
        state: file with the finished trials, from which a search is continued.
        budget: limits of the search.
        start: the hyperparameters of the first trial; None for those that the preset ``default``
            has for the training part, and then for other data.
        seed: of the trials and of the factors.
        told: called after each trial, and once at the beginning for each trial of earlier runs.

    Raises:
        SearchMismatch: ``state`` belongs to a search on other data, in another space or by
            another objective.
        TrainingError: ``state`` is no file of a search, another search uses it, or there is no
            finished trial.
        TimesMissing: the space has a half-life, and the times of the records are unknown.
        WriteError: ``state`` cannot be written.
    """
    import optuna  # noqa: PLC0415 - takes a second to load
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    if space.half_life is not None:
        validation.train.records()  # refused before the first trial
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first, *others = _starts(validation) if start is None else [start]
    objective = objective_of(validation, space, first, seed)
    if not state.parent.is_dir():
        raise TrainingError(f"{state.parent}: there is no such folder; make it first")
    try:
        with alone_in(state), signals_held() as deliver:
            study = open_state(state, objective)
            anchors = anchors_of(space, first, others)
            return _search(
                study,
                objective,
                validation,
                space,
                budget,
                anchors=anchors,
                told=told,
                pause=deliver,
            )
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise WriteError(state, innermost(error)) from error


def _starts(validation: Validation) -> list[Parameters]:
    """Returns what the preset ``default`` has for a training part, and what it has for others."""
    own = DEFAULT.for_data(Shape.of(validation.train.user_items)).parameters
    return [own, *(replace(one, seed=own.seed) for one in DEFAULT.possible())]


def _search(
    study: optuna.Study,
    objective: Mapping[str, Any],
    validation: Validation,
    space: Space,
    budget: Budget,
    *,
    anchors: Sequence[dict[str, Any]],
    told: Told | None,
    pause: Callable[[], None],
) -> Search:
    from optuna.trial import TrialState  # noqa: PLC0415

    seed = objective["seed"]
    drop_interrupted(study)
    if told and (before := len(finished_trials(study))):
        result = result_of(study, objective)
        for number in range(before):
            told(result.trials[number], result)
    end = None if budget.minutes is None else time.monotonic() + 60 * budget.minutes
    while not _is_spent(done := len(finished := finished_trials(study)), budget, end):
        study.sampler = sampler_of(seed + done)
        values = anchors[done] if done < len(anchors) else near_the_best(finished, space, seed)
        if values and not study.get_trials(states=[TrialState.WAITING]):
            study.enqueue_trial(values)
        pause()
        _run(study, finished, validation, space, seed=seed, pause=pause)
        if told:
            result = result_of(study, objective)
            told(result.trials[-1], result)
    return result_of(study, objective)


def _is_spent(done: int, budget: Budget, end: float | None) -> bool:
    if budget.trials is not None and done >= budget.trials:
        return True
    return end is not None and done > 0 and time.monotonic() >= end


def _run(
    study: optuna.Study,
    finished: Sequence[optuna.trial.FrozenTrial],
    validation: Validation,
    space: Space,
    *,
    seed: int,
    pause: Callable[[], None],
) -> None:
    """Runs one trial, and calls ``pause`` after each iteration."""
    import optuna  # noqa: PLC0415

    trial = study.ask()
    start = time.monotonic()
    parameters = space.parameters(space.suggest(trial), seed=seed)
    pruned = False

    def judge(curve: Sequence[float]) -> bool:
        nonlocal pruned
        pause()
        trial.report(curve[-1], step=len(curve))  # the estimator ranks what was given up by it
        pruned = is_hopeless(curve, finished)
        return pruned or is_exhausted(curve, PATIENCE, gain=GAIN)

    try:
        curve = follow(validation, parameters, judge)
    except TrainingError:  # training diverged, which is a result for these values
        curve = [0.0]
    trial.set_user_attr("curve", curve)
    trial.set_user_attr("seconds", round(time.monotonic() - start, 2))
    state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
    study.tell(trial, None if pruned else max(curve), state=state)
