"""The best hyperparameters for data: a search on the first fold of a split, and its winner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from app.model.weighting import WeightingName
from training.data.interactions import Interactions
from training.errors import TrainingError
from training.measuring.convergence import Validation
from training.measuring.evaluation import check_cutoff
from training.measuring.experiment import VALIDATION_USERS, validation_of
from training.numbers import plural
from training.presets import Preset, changed
from training.progress import NoProgress, Progress
from training.tuning.search import Budget, search
from training.tuning.space import Space
from training.tuning.trials import Search, Trial


def first_validation(
    interactions: Interactions, preset: Preset, *, k: int, sample: int = VALIDATION_USERS
) -> Validation:
    """Cuts the validation part that a search decides by from the first fold's training part.

    Args:
        interactions: all pairs.
        preset: its split cuts the fold, its seed draws the sample.
        k: cut-off of NDCG@k.
        sample: largest number of users.

    Raises:
        NothingToMeasure: there is no validation part, or no user of it has a history; or there are
            fewer artists than ``k``.
    """
    fold = next(iter(preset.split.folds(interactions)))
    check_cutoff(k, int((fold.train.user_items.listeners() > 0).sum()))
    return validation_of(fold, preset.split, k=k, seed=preset.parameters.seed, sample=sample)


def search_for(
    duration: timedelta,
    interactions: Interactions,
    preset: Preset,
    *,
    k: int,
    progress: Progress | None = None,
) -> Search:
    """Searches for a while; a trial that has begun is finished, and no file is left.

    Args:
        duration: how long to search.
        interactions: all pairs.
        preset: its split cuts the validation part.
        k: cut-off of the objective, NDCG@k.
        progress: told of the seconds.

    Raises:
        TrainingError: the split cannot be made of the data.
    """
    seconds = round(duration.total_seconds())
    step = (progress or NoProgress()).step("search: seconds", seconds)
    left = float(seconds)

    def told(trial: Trial, _: Search) -> None:
        nonlocal left
        before, left = left, max(0.0, left - trial.seconds)
        step(int(before) - int(left))

    validation = first_validation(interactions, preset, k=k)
    with TemporaryDirectory(prefix="encore-search-") as folder:
        found = search(
            validation,
            Space.for_data(validation.train.user_items),
            Path(folder) / "trials.search",
            Budget(None, duration.total_seconds() / 60),
            seed=preset.parameters.seed,
            told=told,
        )
    step(int(left))
    return found


def with_winner(preset: Preset, found: Search) -> Preset:
    """Returns a preset with the hyperparameters of the best trial.

    Raises:
        TrainingError: all trials failed, so that there is no best one.
    """
    trials = plural(len(found.trials), "trial")
    if found.winner.ndcg == 0:
        raise TrainingError(
            f"after {trials} no list has a validation artist, so there is no best trial; search "
            "other ranges with `tune --space` and another --state, or use more data"
        )
    values = found.options()
    if "weighting" in values:
        values["weighting"] = WeightingName(values["weighting"])
    return replace(changed(preset, values), variants=(), choice=f"searched: the best of {trials}")
