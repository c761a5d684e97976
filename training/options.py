"""Groups of command line options, each turned into what the pipeline takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from app.weighting import WeightingName
from training.errors import TrainingError
from training.presets import PRESETS, Preset

Positive = Parameter(validator=validators.Number(gt=0))
AtLeastOne = Parameter(validator=validators.Number(gte=1))
NotNegative = Parameter(validator=validators.Number(gte=0))


class PresetName(StrEnum):
    """What ``--preset`` takes."""

    DEFAULT = "default"
    REFERENCE = "reference"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Which data."""

    dataset: str | None = None
    "Name of the dataset; `datasets` lists them."
    data: Path | None = None
    "Its folder or file. Default: data/NAME, downloaded where that is missing."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Columns of the dataset ``table``."""

    user_column: str = "user_id"
    "Column of user ids, in a table."
    item_column: str = "item_id"
    "Column of artist ids, in a table."
    weight_column: str | None = None
    "Column of plays, in a table. Default: `weight` if there is one, else each row is one play."
    name_column: str | None = None
    "Column of artist names, in a table. Default: `name` if there is one."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """A preset, and what to change in it."""

    preset: PresetName = PresetName.DEFAULT
    "Recipe to start from: filters, split and hyperparameters."
    seed: Annotated[int | None, NotNegative] = None
    "Seed of the split and of the factors."
    weighting: WeightingName | None = None
    "How plays become confidence."
    k1: Annotated[float | None, Positive] = None
    "Saturation of bm25, in medians of the plays."
    b: Annotated[float | None, Parameter(validator=validators.Number(gte=0, lte=1))] = None
    "Length normalisation of bm25, 0 to 1."
    factors: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=4096))] = None
    "Length of the vectors."
    regularization: Annotated[float | None, Positive] = None
    "Added to the diagonal of every solve."
    relative_regularization: Annotated[float | None, Positive] = None
    "The same as a share of the data's noise scale; instead of --regularization."
    alpha: Annotated[float | None, Positive] = None
    "Scale of the weights in the confidence 1 + alpha * weight."
    iterations: Annotated[int | None, AtLeastOne] = None
    "Rounds of ALS."
    min_user_records: Annotated[int | None, AtLeastOne] = None
    "Leave out users with fewer records."
    min_item_records: Annotated[int | None, AtLeastOne] = None
    "Leave out artists with fewer records."
    top_users: Annotated[int | None, AtLeastOne] = None
    "Keep only so many users, those with most records."

    def recipe(self) -> Preset:
        """Returns the preset with the changes."""
        base = PRESETS[str(self.preset)]
        if self.regularization and self.relative_regularization:
            raise TrainingError("give --regularization or --relative-regularization, not both")
        if regularization := self.regularization or self.relative_regularization:
            parameters = replace(
                base.parameters,
                regularization=regularization,
                regularization_is_relative=self.regularization is None,
            )
            base = replace(base, parameters=parameters)
        return replace(
            base,
            filters=replace(base.filters, **self._given(base.filters)),
            parameters=replace(base.parameters, **self._given(base.parameters)),
            split=replace(base.split, **self._given(base.split)),
        )

    def filters_given(self) -> list[str]:
        """Returns the options about filters that were given."""
        names = ("min_user_records", "min_item_records", "top_users")
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]

    def _given(self, part: Any) -> Mapping[str, Any]:
        """Returns the options that were given and that a part of the preset has."""
        fields = asdict(part)
        return {
            name: value
            for name, value in vars(self).items()
            if name in fields and value is not None
        }
