"""Fitting: from interactions to a model in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.model.model import Model
from app.model.weighting import Weighting
from app.ranking.scoring import item_norms
from training.data.interactions import Interactions
from training.fitting.assembling import Frame, assemble_model
from training.fitting.hyperparameters import Parameters
from training.fitting.implicit_als import ImplicitAls
from training.fitting.linear_block import Linear
from training.fitting.trainer import Trainer
from training.fitting.weighted import Weighted
from training.progress import NoProgress, Progress

ALS: Final = ImplicitAls()


def fit_model(
    interactions: Interactions,
    parameters: Parameters,
    *,
    trainer: Trainer = ALS,
    progress: Progress | None = None,
    number_by_length: bool = False,
) -> Model:
    """Trains on all given pairs.

    Args:
        interactions: at least one pair; with times if there is a half-life.
        parameters: the hyperparameters.
        trainer: makes the factors of ALS.
        progress: told of the iterations of the trainer and of the final solve.
        number_by_length: whether items are renumbered by the length of their vectors, longest
            first, so that scans end early (``app/ranking/scoring.py``); otherwise they have the
            numbers that they have in ``interactions``.

    Returns:
        A model named ``in-memory`` without precomputed lists.

    Raises:
        TrainingError: training diverged, a confidence is too large for float32, or a linear block
            has no weight above 0.
        TimesMissing: there is a half-life, and the times of the records are unknown.
        InvalidId: an id is longer than the service allows.
    """
    progress = progress or NoProgress()
    interactions = interactions.with_recency(parameters.half_life)
    item_factors, weighting, parameters = _factorise(interactions, parameters, trainer, progress)
    linear = None
    if parameters.linear is not None:
        linear_done = progress.step("linear block", 1)
        linear = Linear.of(interactions.user_items, parameters.linear, seed=parameters.seed)
        linear_done(1)
    if number_by_length:
        whole = item_factors if linear is None else np.hstack([item_factors, linear.items])
        order = np.argsort(-item_norms(whole), kind="stable")
        item_factors, interactions = item_factors[order], interactions.with_items_in(order)
        linear = linear and linear.in_order(order)
        if weighting is not None and len(weighting.idf):
            weighting = replace(weighting, idf=weighting.idf[order])
    return assemble_model(
        Frame.of(interactions),
        item_factors,
        weighting,
        parameters,
        linear=linear,
        progress=progress,
    )


def _factorise(
    interactions: Interactions, parameters: Parameters, trainer: Trainer, progress: Progress
) -> tuple[NDArray[np.float32], Weighting | None, Parameters]:
    """Returns the item factors of ALS, the weighting and the resolved parameters.

    Without factors there are no columns, and no weighting.
    """
    user_items = interactions.user_items
    if parameters.factors == 0:
        return np.zeros((user_items.n_items, 0), dtype=np.float32), None, parameters
    weighted = Weighted.of(user_items, parameters)
    iteration_done = progress.step("ALS iterations", parameters.iterations)

    def watch(_iteration: int, _item_factors: NDArray[np.float32]) -> bool:
        iteration_done(1)
        return False

    item_factors = trainer.train(weighted.confidence, weighted.parameters, watch=watch)
    return item_factors, weighted.weighting, weighted.parameters
