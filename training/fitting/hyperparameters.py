"""Hyperparameters of a model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from scipy import sparse

from app.model.weighting import WeightingName
from training.errors import TrainingError
from training.fitting.confidence import noise_scale

# In options, the names of the hyperparameters of the linear block have this before them.
LINEAR: Final = "linear_"
# Weightings of the linear block: the others weight items or users, which the block does itself.
LINEAR_WEIGHTINGS: Final = (WeightingName.LOG, WeightingName.BINARY)


@dataclass(frozen=True, slots=True)
class LinearParameters:
    """Hyperparameters of the linear block (``training/fitting/linear_block.py``).

    Attributes:
        rank: number of its columns; a model has fewer if its data have fewer directions.
        share: regularization of every item, as a share of the mean of the items' summed weights,
            so that it means the same on any data.
        c: further regularization of an item, as a share of its own summed weights; the c of a
            denoising autoencoder that drops the share c / (1 + c) of each history.
        beta: power of the summed weights that users count less by in training; 0 for not at all.
        item_exponent: the scores of items are divided by their summed weights to this power; below
            0 popular items gain.
        weighting: name of the weighting, ``binary`` or ``log``.
        weight: of the block's scores beside those of ALS; with 1 the pairs of the data have a score
            of 1/2 in the mean, about as much as ALS gives them.
        user_exponent: the scores of a user are divided by their summed weights to this power.

    Raises:
        TrainingError: a value is out of range.
    """

    rank: int
    share: float = 0.6
    c: float = 1.0
    beta: float = 0.6
    item_exponent: float = 0.1
    weighting: WeightingName = WeightingName.BINARY
    weight: float = 1.0
    user_exponent: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise TrainingError(f"linear_rank has to be at least 1, not {self.rank}")
        for name, otherwise in (("share", ""), ("weight", "; for none give linear_rank 0")):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(
                    f"linear_{name} has to be above 0, not {getattr(self, name)}{otherwise}"
                )
        if not 0 <= self.c < math.inf:
            raise TrainingError(f"linear_c has to be at least 0, not {self.c}")
        for name, least in (("beta", 0), ("item_exponent", -1), ("user_exponent", 0)):
            if not least <= getattr(self, name) <= 1:
                raise TrainingError(
                    f"linear_{name} has to lie between {least} and 1, not {getattr(self, name)}"
                )
        if self.weighting not in LINEAR_WEIGHTINGS:
            raise TrainingError(
                f"linear_weighting has to be one of {', '.join(LINEAR_WEIGHTINGS)}, not "
                f"{self.weighting}"
            )

    def to_manifest(self) -> dict[str, Any]:
        """Returns the parameters for the manifest."""
        return asdict(self) | {"weighting": str(self.weighting)}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hyperparameters of a model.

    The confidence of a pair is c_ui = 1 + alpha * weight_ui (Hu, Koren and Volinsky 2008,
    section 4). implicit 0.7.3 expects c_ui itself.

    Attributes:
        weighting: name of the weighting.
        k1, b: parameters of the weighting ``bm25``.
        factors: length of the vectors of ALS; 0 for a model of the linear block alone.
        regularization: added to the diagonal of every solve. If it is relative, it is a share of
            ``noise_scale``, so that it has the same effect on data of any size.
        alpha: scale of the weights in the confidence.
        iterations: number of rounds, each of which solves users, then items.
        seed: of the initial factors.
        regularization_is_relative: whether ``regularization`` is a share of ``noise_scale``.
        half_life: days in which the weight of a play in its user's taste halves, counted back from
            the last record; None for no fading. Item factors are trained with unfaded weights:
            differences between artists do not age as tastes do.
        fold_in_share: share of the regularization with which users are solved at the end and
            folded in. Item factors need more regularization than a user vector, which is one row
            solved against fixed factors; a held-out user's vector needs the least.
        linear: of the linear block, None for a model without one.

    Raises:
        TrainingError: a value is out of range. Without regularization a user's system may have
            no solution.
    """

    weighting: WeightingName
    k1: float
    b: float
    factors: int
    regularization: float
    alpha: float
    iterations: int
    seed: int
    regularization_is_relative: bool = False
    fold_in_share: float = 1.0
    half_life: float | None = None
    linear: LinearParameters | None = None

    @property
    def fold_in_regularization(self) -> float:
        """The regularization of a fold-in; only for resolved parameters."""
        return self.fold_in_share * self.regularization

    def __post_init__(self) -> None:
        for name, least in (("factors", 0), ("iterations", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise TrainingError(f"{name} has to be at least {least}, not {getattr(self, name)}")
        if self.factors == 0 and self.linear is None:
            raise TrainingError(
                "factors has to be at least 1, not 0, in a model without a linear block; give "
                "linear_rank for one"
            )
        for name in ("regularization", "alpha", "k1"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} has to be above 0, not {getattr(self, name)}")
        if self.half_life is not None and not 0 < self.half_life < math.inf:
            raise TrainingError(f"half_life has to be above 0 days, not {self.half_life}")
        if not 0 < self.fold_in_share <= 1:
            raise TrainingError(
                f"fold_in_share has to be above 0 and at most 1, not {self.fold_in_share}"
            )
        if not 0 <= self.b <= 1:
            raise TrainingError(f"b has to lie between 0 and 1, not {self.b}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the parameters for the manifest, with the formula of the confidence.

        If the regularization is relative, the engine adds the absolute value.
        """
        entry = asdict(self) | {"weighting": str(self.weighting)}
        is_relative = entry.pop("regularization_is_relative")
        linear = {} if self.linear is None else {"linear": self.linear.to_manifest()}
        del entry["linear"]
        return entry | {
            "regularization": None if is_relative else self.regularization,
            "relative_regularization": self.regularization if is_relative else None,
            "confidence": "1 + alpha * weight",
            **linear,
        }

    def resolve(self, confidence: sparse.csr_matrix[np.float32]) -> Parameters:
        """Returns the parameters with an absolute regularization."""
        if not self.regularization_is_relative:
            return self
        absolute = self.regularization * noise_scale(confidence)
        return replace(self, regularization=absolute, regularization_is_relative=False)
