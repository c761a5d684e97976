"""An experiment: trains on every fold of a split and measures on its test part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from app.model.model import Model
from app.recommend.query import Strategy
from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError
from training.fitting.fit import ALS, fit_model
from training.fitting.hyperparameters import Parameters
from training.fitting.trainer import Trainer
from training.measuring.convergence import Convergence, Validation, measure_convergence
from training.measuring.evaluation import Contender, Evaluation, GivesLists, evaluate
from training.measuring.figures import Figures
from training.measuring.searched import choose_options
from training.measuring.summary import summarise
from training.progress import PartOf, Progress
from training.splitting.drawn import Drawn
from training.splitting.split import Fold, Split

# Lists of the held-out users from a model that was trained on them, to compare fold-in with.
TRAINED_IN: Final = "als, trained in"
# Largest number of users of a validation part that are measured.
VALIDATION_USERS: Final = 2000
# Largest number of users that are measured before a model is published: enough for intervals of a
# few thousandths, and a nightly training need not wait for more.
MEASURED_USERS: Final = 20_000


class Measurable(Protocol):
    """The parts of a recipe that an experiment needs."""

    @property
    def split(self) -> Split:
        """The split that cuts the test part."""

    @property
    def parameters(self) -> Parameters:
        """The hyperparameters."""

    @property
    def contenders(self) -> Mapping[str, GivesLists]:
        """The contenders; the last one is compared with each of the others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        k: the main cut-off.
        sample: largest number of measured users, the same users in all folds; None for all.
        seed: of that sample; ``measure`` replaces it with that of the recipe.
        repeats: number of times that a split with a seed is made, each time with the next seed for
            the split and the factors.
        convergence: whether the curve on a validation part is measured.
        first_fold_only: whether the other folds are left out: their test parts hold pairs that a
            search on the first fold has seen.
        patience: early stopping: number of iterations without a better NDCG on a validation part
            after which the curve ends and decides the number of iterations; None to run all.
    """

    k: int = 10
    sample: int | None = None
    seed: int = 0
    repeats: int = 1
    convergence: bool = False
    first_fold_only: bool = False
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One fold, trained and measured.

    Attributes:
        fold: the parts.
        model: trained on the training part.
        parameters: of the training, with the iterations of early stopping.
        evaluation: on the test part.
        convergence: on the validation part; None where the plan does not ask for it.
    """

    fold: Fold
    model: Model
    parameters: Parameters
    evaluation: Evaluation
    convergence: Convergence | None


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of an experiment.

    Attributes:
        figures: of all folds.
        first: the first fold with its model and lists.
    """

    figures: Figures
    first: Run

    def to_json(self) -> dict[str, Any]:
        """Returns the results for ``evaluate --json`` and the manifest."""
        entry = self.figures.to_json()
        if self.first.convergence is not None:
            entry["convergence"] = self.first.convergence.to_json()
        return entry


def measure(
    interactions: Interactions,
    recipe: Measurable,
    plan: Plan | None = None,
    *,
    trainer: Trainer = ALS,
    progress: Progress | None = None,
) -> Measured:
    """Splits, trains on each training part and measures on the test part.

    Args:
        interactions: all pairs.
        recipe: split, hyperparameters and contenders.
        plan: how to measure.
        trainer: makes the factors.
        progress: told of all steps.

    Raises:
        NothingToMeasure: the data are too few for the split or the cut-off.
        TrainingError: the split cannot be made of these data or be repeated, or training diverged.
    """
    seed = recipe.parameters.seed
    plan = replace(plan or Plan(), seed=seed)
    if plan.repeats > 1:
        _refuse_without_seed(recipe.split)
    first: Run | None = None
    evaluations = []
    for number, (fold, offset) in enumerate(_folds(interactions, recipe.split, plan), start=1):
        n_runs = 1 if plan.first_fold_only else recipe.split.n_folds * plan.repeats
        part = PartOf("split" if n_runs == 1 else f"split {number} of {n_runs}", progress)
        parameters = replace(recipe.parameters, seed=seed + offset)
        run = _run(fold, recipe, parameters, plan, trainer=trainer, progress=part)
        first = first or run
        evaluations.append(run.evaluation)
    if first is None:
        raise AssertionError("a split has at least one fold")
    split = recipe.split.to_manifest() | ({"repeats": plan.repeats} if plan.repeats > 1 else {})
    *_others, subject = recipe.contenders
    figures = summarise(evaluations, split, subject=subject, seed=seed)
    return Measured(figures, first)


def validation_of(
    fold: Fold, split: Split, *, k: int, seed: int, sample: int | None = VALIDATION_USERS
) -> Validation:
    """Cuts a validation part from the training part of a fold.

    Args:
        fold: a fold of ``split``; its test part is not used.
        split: decides how the validation part is cut.
        k: cut-off of NDCG@k.
        seed: of the sample.
        sample: largest number of users, None for all.

    Raises:
        NothingToMeasure: there is no validation part, or no user of it has a history.
    """
    inner = next(iter(split.validation().folds(fold.train)))
    return Validation(inner, k=k, sample=sample, seed=seed)


def _folds(interactions: Interactions, split: Split, plan: Plan) -> Iterator[tuple[Fold, int]]:
    """Yields the folds of all repeats, each with the number that its repeat adds to seeds."""
    for offset in range(plan.repeats):
        for fold in _reseeded(split, offset).folds(interactions):
            yield fold, offset
            if plan.first_fold_only:
                return


def _reseeded(split: Split, offset: int) -> Split:
    if isinstance(split, Drawn):
        return replace(split, seed=split.seed + offset)
    return split


def _refuse_without_seed(split: Split) -> None:
    if not isinstance(split, Drawn):
        raise TrainingError(
            f"the split '{split.to_manifest()['name']}' draws nothing at random, so all repeats "
            "would be the same; leave --repeats out"
        )


def _run(
    fold: Fold,
    recipe: Measurable,
    parameters: Parameters,
    plan: Plan,
    *,
    trainer: Trainer,
    progress: Progress,
) -> Run:
    contenders = choose_options(
        recipe.contenders,
        fold.train.user_items,
        lambda: validation_of(fold, recipe.split, k=plan.k, seed=plan.seed),
        k=plan.k,
        step=progress.step,
    )
    convergence = _converge(
        fold, recipe.split, parameters, plan, trainer=trainer, progress=progress
    )
    if convergence is not None and plan.patience is not None:
        parameters = replace(parameters, iterations=convergence.iterations)
    model = fit_model(fold.train, parameters, trainer=trainer, progress=progress)
    evaluation = evaluate(
        model,
        fold,
        contenders,
        k=plan.k,
        sample=plan.sample,
        seed=plan.seed,
        progress=progress,
    )
    if fold.given is not None:
        trained_in = _measure_trained_in(
            fold, fold.given, parameters, plan, trainer=trainer, progress=progress
        )
        evaluation = replace(
            evaluation,
            lists={**evaluation.lists, **trained_in.lists},
            hits={**evaluation.hits, **trained_in.hits},
            asked={**evaluation.asked, **trained_in.asked},
        )
    return Run(fold, model, parameters, evaluation, convergence)


def _converge(
    fold: Fold,
    split: Split,
    parameters: Parameters,
    plan: Plan,
    *,
    trainer: Trainer,
    progress: Progress,
) -> Convergence | None:
    """Measures the curve on the validation part, if the plan asks for it.

    Raises:
        NothingToMeasure: early stopping has no validation part. Without early stopping the curve
            is left out in that case.
    """
    if not plan.convergence and plan.patience is None:
        return None
    try:
        validation = validation_of(fold, split, k=plan.k, seed=plan.seed)
    except NothingToMeasure as error:
        if plan.patience is None:
            return None
        raise NothingToMeasure(f"early stopping has no validation part: {error}") from error
    return measure_convergence(
        validation, parameters, patience=plan.patience, trainer=trainer, progress=progress
    )


def _measure_trained_in(
    fold: Fold,
    given: Interactions,
    parameters: Parameters,
    plan: Plan,
    *,
    trainer: Trainer,
    progress: Progress,
) -> Evaluation:
    """Measures the held-out users in a model that was trained on their given pairs."""
    whole = Fold(fold.train.with_pairs_of(given), fold.test)
    part = PartOf("held-out users trained in", progress)
    return evaluate(
        fit_model(whole.train, parameters, trainer=trainer, progress=part),
        whole,
        {TRAINED_IN: Contender(Strategy.AUTO)},
        k=plan.k,
        sample=plan.sample,
        seed=plan.seed,
        progress=part,
    )
