"""The space of a search: the ranges of the hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.model.interactions import UserItems
from app.model.weighting import WeightingName
from training.configuration import explain, read_toml
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR, LinearParameters, Parameters

if TYPE_CHECKING:
    import optuna

_LEAST_COLUMNS: Final = 32
# So many of each block may be searched on any data, since the preset has them.
_USUAL_FACTORS: Final = 128
_USUAL_RANK: Final = 256
_MOST_COLUMNS: Final = 1024
# With fewer rows of the smaller side of the matrix for each factor, factors fit noise; the
# directions of the linear block, which are shrunken, fit it later.
_ROWS_PER_FACTOR: Final = 12
_ROWS_PER_DIRECTION: Final = 4
# Standard deviation of a step around known values, as a share of the range.
_STEP: Final = 0.1


class BlockName(StrEnum):
    """A block of the searched models."""

    ALS = "als"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Dimension:
    """How a hyperparameter is drawn.

    Attributes:
        block: the block that it belongs to; None for all.
        by_logarithm: whether it is drawn evenly by the logarithm; else by the value.
        is_whole: whether it is a whole number.
        weighting: the weighting that it belongs to; None for all.
    """

    block: BlockName | None
    by_logarithm: bool = True
    is_whole: bool = False
    weighting: WeightingName | None = None

    def suggest(self, trial: optuna.Trial, name: str, bounds: tuple[Any, Any]) -> None:
        """Draws a value for a trial."""
        if self.is_whole:
            trial.suggest_int(name, *bounds, log=self.by_logarithm)
        else:
            trial.suggest_float(name, *bounds, log=self.by_logarithm)

    def stepped(self, value: float, step: float, bounds: tuple[float, float]) -> float:
        """Returns a value that has moved by a share of its range, and stays within it."""
        low, high = bounds
        way = high - low
        moved = value * (high / low) ** step if self.by_logarithm else value + step * way
        return self.within(moved, bounds)

    def within(self, value: float, bounds: tuple[float, float]) -> float:
        """Returns the value of a range that is closest to another one."""
        nearest = min(max(value, bounds[0]), bounds[1])
        return round(nearest) if self.is_whole else nearest

    def middle(self, bounds: tuple[float, float]) -> float:
        """Returns the value in the middle of a range."""
        low, high = bounds
        return (low * high) ** 0.5 if self.by_logarithm else (low + high) / 2


# The table of what is searched: a field of ``Space`` each, and an option of the recipe.
DIMENSIONS: Final[Mapping[str, Dimension]] = {
    "k1": Dimension(BlockName.ALS, weighting=WeightingName.BM25),
    "b": Dimension(BlockName.ALS, by_logarithm=False, weighting=WeightingName.BM25),
    "factors": Dimension(BlockName.ALS, is_whole=True),
    "relative_regularization": Dimension(BlockName.ALS),
    "regularization": Dimension(BlockName.ALS),
    "fold_in_share": Dimension(BlockName.ALS),
    "alpha": Dimension(BlockName.ALS),
    "half_life": Dimension(None),
    "linear_rank": Dimension(BlockName.LINEAR, is_whole=True),
    "linear_share": Dimension(BlockName.LINEAR),
    "linear_c": Dimension(BlockName.LINEAR),
    "linear_beta": Dimension(BlockName.LINEAR, by_logarithm=False),
    "linear_item_exponent": Dimension(BlockName.LINEAR, by_logarithm=False),
    "linear_weight": Dimension(BlockName.LINEAR),
}


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"the lower bound comes first: [{high}, {low}]")
    return bounds


def _distinct(blocks: tuple[BlockName, ...]) -> tuple[BlockName, ...]:
    if len({*blocks}) < len(blocks):
        raise ValueError(f"a block is named twice: {_listed(blocks)}")
    return blocks


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Exponent = Annotated[float, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=1, le=4096)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
PositiveShareRange = Annotated[tuple[PositiveShare, PositiveShare], AfterValidator(_ascending)]
ExponentRange = Annotated[tuple[Exponent, Exponent], AfterValidator(_ascending)]
CountRange = Annotated[tuple[Count, Count], AfterValidator(_ascending)]


class Space(BaseModel):
    """The values that a search may try; each range is ``[lowest, highest]``.

    How values are drawn stands in ``DIMENSIONS``.

    Attributes:
        weighting: the weightings of ALS to try.
        k1: of bm25.
        b: of bm25.
        factors: length of the vectors of ALS.
        relative_regularization: as a share of the noise scale.
        regularization: absolute; if it is given, it replaces ``relative_regularization``.
        fold_in_share: share of the regularization in a fold-in.
        alpha: scale of the weights in the confidence.
        half_life: in days; None for no fading.
        iterations: largest number of iterations; the curve gives the best number.
        blocks: the blocks of the model, ``als``, ``linear`` or both.
        linear_rank: number of columns of the linear block.
        linear_share: its regularization.
        linear_c: its further regularization by artist.
        linear_beta: power of the summed weights that users count less by.
        linear_item_exponent: power of the summed weights that scores are divided by.
        linear_weight: of its scores beside those of ALS; a model of the linear block alone has 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weighting: Annotated[tuple[WeightingName, ...], Field(min_length=1)] = (
        WeightingName.BM25,
        WeightingName.LOG,
        WeightingName.BINARY,
    )
    k1: PositiveRange = (0.2, 20.0)
    b: ShareRange = (0.0, 1.0)
    factors: CountRange = (_LEAST_COLUMNS, _MOST_COLUMNS)
    relative_regularization: PositiveRange = (0.03, 1.5)
    regularization: PositiveRange | None = None
    fold_in_share: PositiveShareRange = (0.1, 1.0)
    alpha: PositiveRange = (0.3, 200.0)
    half_life: PositiveRange | None = None
    iterations: Count = 20
    blocks: Annotated[tuple[BlockName, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        BlockName.ALS,
        BlockName.LINEAR,
    )
    linear_rank: CountRange = (_LEAST_COLUMNS, _MOST_COLUMNS)
    linear_share: PositiveRange = (0.1, 3.0)
    linear_c: PositiveRange = (0.1, 4.0)
    linear_beta: ShareRange = (0.3, 0.9)
    linear_item_exponent: ExponentRange = (-0.1, 0.6)
    linear_weight: PositiveRange = (0.03, 16.0)

    @classmethod
    def for_data(cls, user_items: UserItems) -> Self:
        """Returns the space for a training part.

        Small data get fewer columns. If all pairs have the same plays, weightings that differ only
        in their use of plays are left out.
        """
        smaller_side = min(int((user_items.row_lengths() > 0).sum()), user_items.n_items)
        space = cls(
            factors=(_LEAST_COLUMNS, _most(smaller_side // _ROWS_PER_FACTOR, _USUAL_FACTORS)),
            linear_rank=(_LEAST_COLUMNS, _most(smaller_side // _ROWS_PER_DIRECTION, _USUAL_RANK)),
        )
        if user_items.nnz and (user_items.plays == user_items.plays[0]).all():
            return space.model_copy(
                update={"weighting": (WeightingName.BM25, WeightingName.BINARY)}
            )
        return space

    @classmethod
    def load(cls, path: Path, base: Space) -> Space:
        """Reads a space from a TOML file; fields that it leaves out are those of ``base``.

        Raises:
            TrainingError: the file cannot be read, has an unknown field or a wrong value, or a
                field that its blocks have no use for.
        """
        given = read_toml(path)
        try:
            changed = cls.model_validate({**base.model_dump(), **given})
        except ValidationError as error:
            raise TrainingError(f"{path} is not a search space: {_explain(error)}") from error
        if "regularization" in given and "relative_regularization" in given:
            raise TrainingError(f"{path}: give regularization or relative_regularization, not both")
        for name in given:
            if missing := changed.lacks(name):
                raise TrainingError(
                    f"{path}: {name} does nothing with blocks = {_listed(changed.blocks)}; leave "
                    f'it out, or add "{missing}"'
                )
        return changed

    def lacks(self, name: str) -> BlockName | None:
        """Returns the block without which a field has no effect; None if it has an effect."""
        if name == "linear_weight":  # beside ALS, so it needs both
            needed: tuple[BlockName | None, ...] = (BlockName.LINEAR, BlockName.ALS)
        elif name in ("weighting", "iterations"):
            needed = (BlockName.ALS,)
        else:
            needed = (DIMENSIONS[name].block,) if name in DIMENSIONS else ()
        return next((block for block in needed if block and block not in self.blocks), None)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Draws values for a trial, by name."""
        weighting = None
        if BlockName.ALS in self.blocks:
            weighting = trial.suggest_categorical(
                "weighting", [str(name) for name in self.weighting]
            )
        for name, dimension, bounds in self._dimensions(weighting):
            dimension.suggest(trial, name, bounds)
        return rounded(trial.params)

    def near(self, values: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Draws values near given ones: one to three of them change a little.

        A step is normally distributed, with a standard deviation of a tenth of the range (of its
        logarithm, where values are drawn by that).
        """
        ranges = [name for name in values if name != "weighting"]
        moved = rng.choice(ranges, size=int(rng.integers(1, 4)), replace=False)
        near = dict(values)
        for name in map(str, moved):
            step = _STEP * rng.standard_normal()
            near[name] = DIMENSIONS[name].stepped(values[name], step, getattr(self, name))
        return near

    def parameters(self, values: Mapping[str, Any], *, seed: int) -> Parameters:
        """Returns the hyperparameters with given values and the largest number of iterations."""
        als = {
            name: values[name]
            for name in ("k1", "b", "factors", "fold_in_share", "alpha", "half_life")
            if name in values
        }
        linear = {
            name.removeprefix(LINEAR): value
            for name, value in values.items()
            if name.startswith(LINEAR)
        }
        return Parameters(
            **{
                "weighting": WeightingName(values.get("weighting", WeightingName.BINARY)),
                "k1": 1.0,
                "b": 0.5,
                "factors": 0,
                "alpha": 1.0,
                **als,
            },
            regularization=values.get(self._regularization_name, 1.0),
            regularization_is_relative=self.regularization is None,
            iterations=self.iterations,
            seed=seed,
            linear=LinearParameters(**linear) if linear else None,
        )

    def clip(self, parameters: Parameters) -> dict[str, Any]:
        """Returns the values in the space that are closest to given hyperparameters."""
        values: dict[str, Any] = {}
        weighting = None
        if BlockName.ALS in self.blocks:
            weighting = parameters.weighting
            if weighting not in self.weighting:
                weighting = self.weighting[0]
            values["weighting"] = str(weighting)
        known = _values_of(parameters)
        for name, dimension, bounds in self._dimensions(weighting):
            value = known.get(name)
            values[name] = dimension.within(
                dimension.middle(bounds) if value is None else value, bounds
            )
        return values

    def describe(self) -> dict[str, str]:
        """Returns the range of each hyperparameter in words."""
        described = {"blocks": ", ".join(self.blocks)}
        bm25 = None
        if BlockName.ALS in self.blocks:
            described["weighting"] = ", ".join(map(str, self.weighting))
            bm25 = WeightingName.BM25 if WeightingName.BM25 in self.weighting else None
        for name, dimension, (low, high) in self._dimensions(bm25):
            by = ", by logarithm" if dimension.by_logarithm else ""
            described[name] = f"{low:g} to {high:g}{by}"
        if BlockName.ALS in self.blocks:
            described["iterations"] = f"up to {self.iterations}"
        return described

    def _dimensions(
        self, weighting: str | None
    ) -> Iterator[tuple[str, Dimension, tuple[float, float]]]:
        """Yields what is searched with a weighting, with its range, in the order of the table."""
        for name, dimension in DIMENSIONS.items():
            bounds = getattr(self, name)
            is_other = name == "relative_regularization" and self.regularization is not None
            if bounds is None or is_other or self.lacks(name):
                continue
            if dimension.weighting in (None, weighting):
                yield name, dimension, bounds

    @property
    def _regularization_name(self) -> str:
        return "relative_regularization" if self.regularization is None else "regularization"


def _most(columns: int, usual: int) -> int:
    return max(usual, min(_MOST_COLUMNS, columns))


def _values_of(parameters: Parameters) -> dict[str, Any]:
    """Returns hyperparameters by the names of dimensions; those that they do not have are left out.

    Factors of 0 and the values beside them say nothing about ALS.
    """
    found: dict[str, Any] = {"half_life": parameters.half_life}
    if parameters.factors:
        names = ("k1", "b", "factors", "fold_in_share", "alpha")
        found |= {name: getattr(parameters, name) for name in names}
        is_relative = parameters.regularization_is_relative
        name = "relative_regularization" if is_relative else "regularization"
        found[name] = parameters.regularization
    if parameters.linear is not None:
        linear = parameters.linear.to_manifest()
        found |= {LINEAR + name: value for name, value in linear.items()}
    return found


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with four significant digits, as they are used and shown."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in values.items()
    }


def _listed(blocks: tuple[BlockName, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in blocks) + "]"


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"there is no {first['loc'][0]!r}; known are {', '.join(Space.model_fields)}"
    return explain(error)
