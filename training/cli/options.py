"""Groups of command line options, and their conversion to the objects of the pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter, validators

from app.model.event_unit import DEFAULT_UNIT
from app.model.weighting import WEIGHTINGS, WeightingName
from training.cli.configuration.sections import DATA, EVALUATION, RECIPE
from training.datasets import DatasetOptions
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR_WEIGHTINGS
from training.measuring.contenders import CONTENDERS, chosen_contenders
from training.measuring.experiment import Plan
from training.presets import DEFAULT, PRESETS, Preset, changed
from training.splitting.drawn import Drawn, RandomPerUser
from training.splitting.splits import SPLITS

Positive = Parameter(validator=validators.Number(gt=0))
AtLeastOne = Parameter(validator=validators.Number(gte=1))
NotNegative = Parameter(validator=validators.Number(gte=0))
Share = Parameter(validator=validators.Number(gt=0, lte=1))
Fraction = Parameter(validator=validators.Number(gt=0, lt=1))
Within0And1 = Parameter(validator=validators.Number(gte=0, lte=1))
Columns = Parameter(validator=validators.Number(gte=0, lte=4096))
_WEIGHTING: Final = "How plays become weights. " + "; ".join(
    f"{name}: {rule.words}" for name, rule in WEIGHTINGS.items()
)
_CONTENDERS: Final = (
    "Contenders to compare with als, with commas between. "
    + "; ".join(f"{name}: {one.words}" for name, one in CONTENDERS.items())
    + ". Default: those of the preset."
)
Cutoff = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=500))]
# The event store of an option, or else that of the service; no other place is searched.
_EVENTS: Final = Parameter(name="--events", env_var="ENCORE_DATABASE_URL", metavar="URL")
Events = Annotated[str | None, _EVENTS]
EventsOrNone = Annotated[str | None, _EVENTS, Parameter(negative="--no-events")]


def _choices(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns the members of an enumeration for the names of a table."""
    return [(name.upper().replace("-", "_"), name) for name in names]


# The values of --preset, --split and --linear-weighting. The type checker requires literal members,
# but those would repeat the tables.
PresetName = StrEnum("PresetName", _choices(PRESETS))  # type: ignore[misc]
SplitName = StrEnum("SplitName", _choices(SPLITS))  # type: ignore[misc]
LinearWeightingName = StrEnum(  # type: ignore[misc]
    "LinearWeightingName", _choices(LINEAR_WEIGHTINGS)
)


def _refuse_option(kind: object, value: Path | None) -> None:
    """Refuses an option where a file is expected; ``-`` alone is standard input."""
    if value is not None and len(text := str(value)) > 1 and text.startswith("-"):
        raise ValueError(f"A file is expected, and {text} is an option; a file: ./{text}")


Source = Annotated[Path, Parameter(allow_leading_hyphen=True, validator=_refuse_option)]


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The dataset."""

    dataset: str | None = None
    "Name of the dataset; the command `datasets` lists all."
    data: Source | None = None
    "File or folder of the dataset, a pattern of them ('data/*.csv'), or `-`, standard input, \
where the dataset is one file. Default: data/NAME, downloaded if that is missing."
    allow_unreadable: Annotated[bool, Parameter(negative=())] = False
    "Use the dataset although more than 20 % of its rows cannot be read."


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """The events of the service."""

    events: EventsOrNone = None
    "Event store whose events are trained on as well, with or without a dataset: \
sqlite:///FILE or postgresql://USER@HOST/DATABASE. Default: that of the service, if the variable \
is set."
    data_until: datetime | Literal["never"] | None = None
    "Time up to which the dataset already holds the plays of the events, such as \
2026-11-01T00:00:00; UTC unless it names a zone; or never, if it holds none of them. Data without \
times need it where the store has plays. Default: plays of the same user, artist and second count \
once."
    event_unit: Annotated[float, Positive] = DEFAULT_UNIT
    "Weight that an event of one play adds to its artist until the next training, in medians of \
the user's weights."

    def __post_init__(self) -> None:
        """Refuses options without effect.

        Raises:
            TrainingError: ``--data-until`` has no effect or lies in the future.
        """
        if self.data_until is not None and self.events is None:
            raise TrainingError("--data-until does nothing without --events; leave it out")
        if self.until is not None and self.until > time.time():
            raise TrainingError("--data-until lies in the future; give the end of the data")

    @property
    def until(self) -> int | None:
        """The time of ``data_until``, in seconds since 1970 (UTC); None where it is none."""
        return _seconds(self.data_until) if isinstance(self.data_until, datetime) else None


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """A ready-made split."""

    train_file: Annotated[Source | None, Parameter(name="--train")] = None
    "Training part of a ready-made split, a table."
    test_file: Annotated[Source | None, Parameter(name="--test")] = None
    "Test part of a ready-made split, a table."


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class ColumnOptions(DatasetOptions):
    """Options of single datasets, which their modules declare."""


@Parameter(name="*", group=RECIPE)
@dataclass(frozen=True, kw_only=True)
class BaseOptions:
    """A preset, and changes to it other than hyperparameters."""

    preset: PresetName | None = None
    "Recipe to start from: filters, split and hyperparameters. Default: default."
    seed: Annotated[int | None, NotNegative] = None
    "Seed of the split and of the factors."
    min_user_records: Annotated[int | None, AtLeastOne] = None
    "Leave out users with fewer records."
    min_item_records: Annotated[int | None, AtLeastOne] = None
    "Leave out artists with fewer records."
    top_users: Annotated[int | None, AtLeastOne] = None
    "Use only this many users, those with most records."

    def recipe(self) -> Preset:
        """Returns the preset with the changes.

        Raises:
            TrainingError: both forms of the regularization were given.
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        return changed(PRESETS[str(self.preset or DEFAULT.name)], given)

    def filters_given(self) -> list[str]:
        """Returns the options about filters that were given."""
        names = ("min_user_records", "min_item_records", "top_users")
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]


@Parameter(name="*", group=RECIPE)
@dataclass(frozen=True, kw_only=True)
class RecipeOptions(BaseOptions):
    """A preset, and changes to it."""

    weighting: Annotated[WeightingName | None, Parameter(help=_WEIGHTING)] = None
    k1: Annotated[float | None, Positive] = None
    "Saturation of bm25, in medians of the plays."
    b: Annotated[float | None, Within0And1] = None
    "Length normalisation of bm25, 0 to 1."
    half_life: Annotated[float | None, Positive] = None
    "Days in which the weight of a play in its user's taste halves, counted back from the last \
play; needs data with times. Default: no fading."
    factors: Annotated[int | None, Columns] = None
    "Length of the vectors of ALS; 0 for a model of the linear block alone."
    regularization: Annotated[float | None, Positive] = None
    "Added to the diagonal of every solve."
    relative_regularization: Annotated[float | None, Positive] = None
    "Regularization as a share of the noise scale of the data; instead of --regularization."
    fold_in_share: Annotated[float | None, Share] = None
    "Share of the regularization with which users are solved and folded in, above 0, at most 1."
    alpha: Annotated[float | None, Positive] = None
    "Scale of the weights in the confidence 1 + alpha * weight."
    iterations: Annotated[int | None, AtLeastOne] = None
    "Number of iterations of ALS."
    linear_rank: Annotated[int | None, Columns] = None
    "Number of columns of the linear block, 0 for none."
    linear_share: Annotated[float | None, Positive] = None
    "Regularization of the linear block, as a share of the mean of the artists' summed weights."
    linear_c: Annotated[float | None, NotNegative] = None
    "Further regularization of each artist there, as a share of its own summed weights."
    linear_beta: Annotated[float | None, Within0And1] = None
    "Power of the summed weights that users count less by in the linear block, 0 to 1."
    linear_item_exponent: Annotated[
        float | None, Parameter(validator=validators.Number(gte=-1, lte=1))
    ] = None
    "Power of the summed weights that scores of the linear block are divided by, -1 to 1."
    linear_weighting: LinearWeightingName | None = None
    "How plays become weights in the linear block."
    linear_weight: Annotated[float | None, Positive] = None
    "Weight of the scores of the linear block beside those of ALS."
    linear_user_exponent: Annotated[float | None, Within0And1] = None
    "Power of a user's summed weights that their scores of the linear block are divided by, 0 to 1."

    def hyperparameters_given(self) -> list[str]:
        """Returns the options about hyperparameters that were given."""
        others = {field.name for field in fields(BaseOptions)}
        names = [name for name, value in vars(self).items() if value is not None]
        return [f"--{name.replace('_', '-')}" for name in names if name not in others]


@Parameter(name="*", group=EVALUATION)
@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """The split that cuts the test part."""

    split: SplitName | None = None
    "Split that cuts the test part. Default: that of the preset, random."
    test_fraction: Annotated[float | None, Fraction] = None
    "Share of the test part: of each user's artists (random), of the records (global-time) or of \
the users (held-out-users)."
    folds: Annotated[int | None, Parameter(validator=validators.Number(gte=2, lte=100))] = None
    "Number of folds of k-fold. Default: 5."
    at: datetime | None = None
    "Time at which training ends (global-time) or the test part begins (yambda), such as \
2009-01-01T00:00:00; UTC unless it names a zone. Default: the time that follows from the test \
fraction, or the last day."

    def apply(self, recipe: Preset) -> Preset:
        """Returns the recipe with this split.

        Raises:
            TrainingError: an option does not belong to the split.
        """
        if self.at is not None and self.test_fraction is not None:
            raise TrainingError("give --at or --test-fraction, not both")
        kind = RandomPerUser if self.split is None else SPLITS[self.split]
        given: dict[str, Any] = {}
        for option, value in self._values().items():
            if option not in kind.options:
                raise TrainingError(
                    f"the split '{kind.name}' takes no {option}; leave it out, or choose another "
                    "--split"
                )
            given[kind.options[option]] = value
        if kind is RandomPerUser and isinstance(recipe.split, RandomPerUser):
            return replace(recipe, split=replace(recipe.split, **given))
        if issubclass(kind, Drawn):
            given["seed"] = recipe.parameters.seed
        return replace(recipe, split=kind(**given))

    def given(self) -> list[str]:
        """Returns the options that were given."""
        return (["--split"] if self.split else []) + list(self._values())

    def _values(self) -> dict[str, Any]:
        at = None if self.at is None else _seconds(self.at)
        values = {"--test-fraction": self.test_fraction, "--folds": self.folds, "--at": at}
        return {option: value for option, value in values.items() if value is not None}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The measured data: a dataset and its split, or a ready-made split."""

    source: SourceOptions = field(default_factory=SourceOptions)
    parts: PartOptions = field(default_factory=PartOptions)
    columns: ColumnOptions = field(default_factory=ColumnOptions)
    split: SplitOptions = field(default_factory=SplitOptions)


@Parameter(name="*", group=EVALUATION)
@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """How to measure."""

    k: Cutoff | None = None
    "Cut-off of the measures. Default: 10."
    sample_users: Annotated[int | None, AtLeastOne] = None
    "Measure only this many users, drawn by the seed. Default: all with test artists; train: \
20,000."
    patience: Annotated[int | None, AtLeastOne] = None
    "Early stopping: NDCG on a validation part is measured until this many iterations in a row \
bring no better value, and decides how many are trained. Default: train all iterations."
    contenders: Annotated[str | None, Parameter(metavar="NAMES", help=_CONTENDERS)] = None

    def plan(
        self, *, sample: int | None = None, repeats: int = 1, convergence: bool = False
    ) -> Plan:
        """Returns how to measure.

        Args:
            sample: number of measured users without ``--sample-users``; None for all.
            repeats: number of times that the split is made.
            convergence: whether to measure the curve.
        """
        return Plan(
            k=self.k or 10,
            sample=self.sample_users or sample,
            repeats=repeats,
            convergence=convergence,
            patience=self.patience,
        )

    def compare(self, recipe: Preset) -> Preset:
        """Returns the recipe with the contenders of the options.

        Raises:
            TrainingError: there is no such contender, or none is named.
        """
        if self.contenders is None:
            return recipe
        names = [name.strip() for name in self.contenders.split(",") if name.strip()]
        if not names:
            raise TrainingError(
                f"--contenders names none; known are {', '.join(CONTENDERS)}, with commas between"
            )
        return replace(recipe, contenders=chosen_contenders(names, recipe.contenders))

    def given(self) -> list[str]:
        """Returns the options that were given."""
        values = {
            "--k": self.k,
            "--sample-users": self.sample_users,
            "--patience": self.patience,
            "--contenders": self.contenders,
        }
        return [option for option, value in values.items() if value is not None]


def _seconds(time: datetime) -> int:
    """Returns a time in seconds since 1970; UTC unless it names a zone."""
    zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(zoned.timestamp())
