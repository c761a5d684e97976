"""The space of a search: the ranges of the hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.model.interactions import UserItems
from app.model.weighting import WeightingName
from training.configuration import explain, read_toml
from training.errors import TrainingError
from training.fitting.hyperparameters import Parameters

if TYPE_CHECKING:
    import optuna

_LEAST_FACTORS: Final = 32
_MOST_FACTORS: Final = 512
# With fewer rows of the smaller side of the matrix for each factor, factors fit noise.
_ROWS_PER_FACTOR: Final = 12
# Standard deviation of a step around known values, as a share of the range.
_STEP: Final = 0.1


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"the lower bound comes first: [{high}, {low}]")
    return bounds


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=4096)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
PositiveShareRange = Annotated[tuple[PositiveShare, PositiveShare], AfterValidator(_ascending)]
CountRange = Annotated[tuple[Count, Count], AfterValidator(_ascending)]


class Space(BaseModel):
    """The values that a search may try; each range is ``[lowest, highest]``.

    Ranges are drawn evenly by the logarithm, that of ``b`` evenly by the value.

    Attributes:
        weighting: the weightings to try.
        k1: of bm25.
        b: of bm25.
        factors: length of the vectors.
        relative_regularization: as a share of the noise scale.
        regularization: absolute; if it is given, it replaces ``relative_regularization``.
        fold_in_share: share of the regularization in a fold-in.
        alpha: scale of the weights in the confidence.
        half_life: in days; None for no fading.
        iterations: largest number of iterations; the curve gives the best number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weighting: Annotated[tuple[WeightingName, ...], Field(min_length=1)] = (
        WeightingName.BM25,
        WeightingName.LOG,
        WeightingName.BINARY,
    )
    k1: PositiveRange = (0.2, 20.0)
    b: ShareRange = (0.0, 1.0)
    factors: CountRange = (_LEAST_FACTORS, _MOST_FACTORS)
    relative_regularization: PositiveRange = (0.03, 1.5)
    regularization: PositiveRange | None = None
    fold_in_share: PositiveShareRange = (0.1, 1.0)
    alpha: PositiveRange = (0.3, 60.0)
    half_life: PositiveRange | None = None
    iterations: Count = 20

    @classmethod
    def for_data(cls, user_items: UserItems) -> Self:
        """Returns the space for a training part.

        Small data get fewer factors. If all pairs have the same plays, weightings that differ only
        in their use of plays are left out.
        """
        smaller_side = min(int((user_items.row_lengths() > 0).sum()), user_items.n_items)
        most = max(_LEAST_FACTORS, min(_MOST_FACTORS, smaller_side // _ROWS_PER_FACTOR))
        space = cls(factors=(_LEAST_FACTORS, most))
        if user_items.nnz and (user_items.plays == user_items.plays[0]).all():
            return space.model_copy(
                update={"weighting": (WeightingName.BM25, WeightingName.BINARY)}
            )
        return space

    @classmethod
    def load(cls, path: Path, base: Space) -> Space:
        """Reads a space from a TOML file; fields that it leaves out are those of ``base``.

        Raises:
            TrainingError: the file cannot be read, or has an unknown field or a wrong value.
        """
        given = read_toml(path)
        try:
            changed = cls.model_validate({**base.model_dump(), **given})
        except ValidationError as error:
            raise TrainingError(f"{path} is not a search space: {_explain(error)}") from error
        if "regularization" in given and "relative_regularization" in given:
            raise TrainingError(f"{path}: give regularization or relative_regularization, not both")
        return changed

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Draws values for a trial, by name."""
        weighting = trial.suggest_categorical("weighting", [str(name) for name in self.weighting])
        if weighting == WeightingName.BM25:
            trial.suggest_float("k1", *self.k1, log=True)
            trial.suggest_float("b", *self.b)
        trial.suggest_int("factors", *self.factors, log=True)
        name = self._regularization_name
        trial.suggest_float(name, *getattr(self, name), log=True)
        trial.suggest_float("fold_in_share", *self.fold_in_share, log=True)
        trial.suggest_float("alpha", *self.alpha, log=True)
        if self.half_life is not None:
            trial.suggest_float("half_life", *self.half_life, log=True)
        return rounded(trial.params)

    def near(self, values: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Draws values near given ones: one to three of them change a little.

        A step is normally distributed, with a standard deviation of a tenth of the range (of its
        logarithm, except for b).
        """
        ranges = [name for name in values if name != "weighting"]
        moved = rng.choice(ranges, size=int(rng.integers(1, 4)), replace=False)
        near = dict(values)
        for name in map(str, moved):
            low, high = getattr(self, name)
            step = _STEP * rng.standard_normal()
            if name == "b":
                value = values[name] + step * (high - low)
            else:
                value = values[name] * (high / low) ** step
            near[name] = _within((low, high), round(value) if name == "factors" else value)
        return near

    def parameters(self, values: Mapping[str, Any], *, seed: int) -> Parameters:
        """Returns the hyperparameters with given values and the largest number of iterations."""
        return Parameters(
            weighting=WeightingName(values["weighting"]),
            k1=values.get("k1", 1.0),
            b=values.get("b", 0.5),
            factors=values["factors"],
            regularization=values[self._regularization_name],
            regularization_is_relative=self.regularization is None,
            fold_in_share=values["fold_in_share"],
            alpha=values["alpha"],
            half_life=values.get("half_life"),
            iterations=self.iterations,
            seed=seed,
        )

    def clip(self, parameters: Parameters) -> dict[str, Any]:
        """Returns the values in the space that are closest to given hyperparameters."""
        weighting = parameters.weighting
        if weighting not in self.weighting:
            weighting = self.weighting[0]
        names = ["factors", "fold_in_share", "alpha"] + ["k1", "b"] * (
            weighting is WeightingName.BM25
        )
        values = {name: _within(getattr(self, name), getattr(parameters, name)) for name in names}
        name = self._regularization_name
        is_alike = parameters.regularization_is_relative == (self.regularization is None)
        low, high = getattr(self, name)
        middle = (low * high) ** 0.5
        values[name] = _within((low, high), parameters.regularization if is_alike else middle)
        if self.half_life is not None:
            low, high = self.half_life
            values["half_life"] = _within((low, high), parameters.half_life or (low * high) ** 0.5)
        return {"weighting": str(weighting), **values}

    def describe(self) -> dict[str, str]:
        """Returns the range of each hyperparameter in words."""
        ranges = ["factors", self._regularization_name, "fold_in_share", "alpha"]
        if WeightingName.BM25 in self.weighting:
            ranges += ["k1", "b"]
        if self.half_life is not None:
            ranges.append("half_life")
        described = {"weighting": ", ".join(map(str, self.weighting))}
        for name in ranges:
            low, high = getattr(self, name)
            by = "" if name == "b" else ", by logarithm"
            described[name] = f"{low:g} to {high:g}{by}"
        return described | {"iterations": f"up to {self.iterations}"}

    @property
    def _regularization_name(self) -> str:
        return "relative_regularization" if self.regularization is None else "regularization"


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with four significant digits, as they are used and shown."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in values.items()
    }


def _within(bounds: tuple[float, float], value: float) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"there is no {first['loc'][0]!r}; known are {', '.join(Space.model_fields)}"
    return explain(error)
