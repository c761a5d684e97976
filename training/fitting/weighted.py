"""A weighted training part: the input of a trainer, with the weighting and the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from app.artifacts.values import LARGEST
from app.model.interactions import UserItems
from app.model.weighting import Weighting, WeightingName
from training.errors import TrainingError
from training.fitting.confidence import confidence_matrix
from training.fitting.hyperparameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """The confidence of pairs, with the weighting and the parameters that it was made with.

    Attributes:
        weighting: fitted on the pairs.
        confidence: c_ui, float32, n_users x n_items.
        parameters: the resolved hyperparameters: their regularization is absolute.
    """

    weighting: Weighting
    confidence: sparse.csr_matrix[np.float32]
    parameters: Parameters

    @classmethod
    def of(cls, user_items: UserItems, parameters: Parameters) -> Weighted:
        """Weights the pairs of a training part, at least one.

        Args:
            user_items: raw plays, n_users x n_items; recency is ignored, since item factors are
                trained with unfaded weights.
            parameters: the hyperparameters.

        Raises:
            TrainingError: the median of the plays is no usual number, or a confidence is too large
                for float32.
        """
        weighting = fit_weighting(
            user_items, parameters.weighting, k1=parameters.k1, b=parameters.b
        )
        confidence = confidence_matrix(user_items, weighting, parameters.alpha)
        return cls(weighting, confidence, parameters.resolve(confidence))


def fit_weighting(
    user_items: UserItems, name: WeightingName, *, k1: float = 1.0, b: float = 0.5
) -> Weighting:
    """Fits a weighting that a model can hold; see ``Weighting.fit``.

    Raises:
        TrainingError: the median of the plays is no usual number.
    """
    weighting = Weighting.fit(user_items, name, k1=k1, b=b)
    check_median(weighting.median_plays)
    return weighting


def check_median(median_plays: float) -> None:
    """Refuses plays that a model cannot hold.

    Raises:
        TrainingError: the median of the plays is no usual number.
    """
    if not 1 / LARGEST <= median_plays <= LARGEST:
        raise TrainingError(
            f"the median of the plays is {median_plays:g}, and a model holds {1 / LARGEST:g} to "
            f"{LARGEST:g}; multiply the plays by a number that makes them usual ones"
        )
