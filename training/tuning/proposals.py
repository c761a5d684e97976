"""Which hyperparameters a trial tries, and when a trial is given up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.fitting.hyperparameters import Parameters
from training.tuning.space import Space

if TYPE_CHECKING:
    import optuna

# Trials drawn at random, or given, before the estimator has enough to go by.
_STARTUP_TRIALS: Final = 10
# Before this many iterations slow starters that end up best still lie behind.
_ITERATIONS_BEFORE_PRUNING: Final = 5
_ATTEMPTS: Final = 20


def anchors_of(space: Space, start: Parameters) -> list[dict[str, Any]]:
    """Returns the first trials: where the search starts, and variants that data may want."""
    starts = [start, replace(start, factors=space.factors[1])]
    starts += [
        replace(start, weighting=weighting)
        for weighting in space.weighting
        if weighting is not start.weighting
    ]
    anchors: list[dict[str, Any]] = []
    for anchor in map(space.clip, starts):
        if anchor not in anchors:
            anchors.append(anchor)
    return anchors


def near_the_best(
    finished: Sequence[optuna.trial.FrozenTrial], space: Space, seed: int
) -> dict[str, Any] | None:
    """Returns values for every other trial; None where the estimator is to draw them.

    Args:
        finished: the trials so far.
        space: what may be tried.
        seed: of the steps, which also depend on the number of trials.
    """
    if len(finished) < _STARTUP_TRIALS or len(finished) % 2:
        return None
    best = max(finished, key=lambda trial: max(trial.user_attrs["curve"]))
    rng = np.random.default_rng([seed, len(finished)])
    values: dict[str, Any] = best.params
    for _attempt in range(_ATTEMPTS):  # a step may end at a bound where it began
        values = space.near(best.params, rng)
        if values not in [trial.params for trial in finished]:
            break
    return values


def sampler_of(seed: int) -> optuna.samplers.BaseSampler:
    """Returns a sampler for one trial: what it draws depends on the finished trials only."""
    import optuna  # noqa: PLC0415

    with warnings.catch_warnings():
        # In groups, since k1 and b are drawn for bm25 only; still called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=_STARTUP_TRIALS, multivariate=True, group=True, seed=seed
        )


def pruner() -> optuna.pruners.BasePruner:
    """Returns what gives up trials whose curve lies below the median of the earlier ones."""
    import optuna  # noqa: PLC0415

    return optuna.pruners.MedianPruner(n_warmup_steps=_ITERATIONS_BEFORE_PRUNING)
