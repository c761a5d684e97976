"""Proposals: the hyperparameters of each trial, and the rule for giving up a trial."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.fitting.hyperparameters import LinearParameters, Parameters
from training.tuning.space import Space

if TYPE_CHECKING:
    import optuna

# Trials with random or given values before the estimator has enough data.
_STARTUP_TRIALS: Final = 10
# Trials that start slowly may still be the best; after this many iterations they are not far
# behind.
_ITERATIONS_BEFORE_PRUNING: Final = 5
_HOPELESS: Final = 0.96
_ATTEMPTS: Final = 20
# Times the factors of the start, in the anchor of many.
_MANY: Final = 4


def anchors_of(
    space: Space, start: Parameters, others: Sequence[Parameters] = ()
) -> list[dict[str, Any]]:
    """Returns the first trials: the start of the search, others, and variants of the start.

    Args:
        space: the ranges of values; the closest values that it has are tried.
        start: hyperparameters to begin with.
        others: hyperparameters to go on with.
    """
    starts = [start, *others]
    if start.linear is None:  # the least of a linear block, since the space may have no less
        weakest = LinearParameters(rank=space.linear_rank[0], weight=space.linear_weight[0])
        starts.append(replace(start, linear=weakest))
    starts += [
        replace(start, weighting=weighting)
        for weighting in space.weighting
        if weighting is not start.weighting
    ]
    # Last, since it takes longest.
    starts.append(replace(start, factors=_MANY * start.factors))
    anchors: list[dict[str, Any]] = []
    for anchor in map(space.clip, starts):
        if anchor not in anchors:
            anchors.append(anchor)
    return anchors


def near_the_best(
    finished: Sequence[optuna.trial.FrozenTrial], space: Space, seed: int
) -> dict[str, Any] | None:
    """Returns values near the best trial for every other trial; None if the estimator draws them.

    Args:
        finished: the trials so far.
        space: the ranges of values.
        seed: of the steps, which also depend on the number of trials.
    """
    if len(finished) < _STARTUP_TRIALS or len(finished) % 2:
        return None
    best = max(finished, key=lambda trial: max(trial.user_attrs["curve"]))
    rng = np.random.default_rng([seed, len(finished)])
    values: dict[str, Any] = best.params
    for _attempt in range(_ATTEMPTS):  # a step that began at a bound may end there
        values = space.near(best.params, rng)
        if values not in [trial.params for trial in finished]:
            break
    return values


def sampler_of(seed: int) -> optuna.samplers.BaseSampler:
    """Returns a sampler for one trial; its draws depend only on seed and finished trials."""
    import optuna  # noqa: PLC0415

    with warnings.catch_warnings():
        # In groups, since only bm25 has k1 and b; Optuna calls groups experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=_STARTUP_TRIALS, multivariate=True, group=True, seed=seed
        )


def is_hopeless(curve: Sequence[float], finished: Sequence[optuna.trial.FrozenTrial]) -> bool:
    """Returns whether a trial is given up: it is far behind the best one after as many iterations.

    Not the median of earlier trials decides: most steps are close to the best trial, and half of
    them would be given up for a slow start.

    Args:
        curve: NDCG after each iteration so far.
        finished: the trials so far.
    """
    if len(curve) < _ITERATIONS_BEFORE_PRUNING or not finished:
        return False
    best: list[float] = max((trial.user_attrs["curve"] for trial in finished), key=max)
    return max(curve) < _HOPELESS * max(best[: len(curve)])
