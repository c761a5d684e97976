"""Presets: complete recipes from records to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from app.model.weighting import WeightingName
from app.recommend.query import PopularityBy, Strategy
from training.data.filters import Filters
from training.data.shape import Shape
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR, LinearParameters, Parameters
from training.measuring.contenders import named
from training.measuring.evaluation import Contender, GivesLists
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Split


@dataclass(frozen=True, slots=True)
class Variant:
    """Hyperparameters for data of a certain shape.

    Attributes:
        name: in a word.
        fits: whether they are for data of a shape.
        parameters: the hyperparameters.
    """

    name: str
    fits: Callable[[Shape], bool]
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe.

    Attributes:
        name: its value of ``--preset``.
        drop_items_without_id: whether artists without MBID are left out.
        filters: the users and artists that take part.
        split: cuts the test part.
        parameters: the hyperparameters, unless a variant fits the data.
        contenders: the contenders; the last one is compared with each of the others.
        variants: hyperparameters for data of certain shapes; the first that fits is taken.
        changes: the hyperparameters that were changed, which hold with each of them.
        choice: what was taken, and the shape of the data, in words; empty before ``for_data``,
            and where there is no choice.
    """

    name: str
    drop_items_without_id: bool
    filters: Filters
    split: Split
    parameters: Parameters
    contenders: Mapping[str, GivesLists]
    variants: Sequence[Variant] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    choice: str = ""

    def for_data(self, shape: Shape) -> Preset:
        """Returns the preset with the hyperparameters for data of this shape, and the changes.

        A second call returns the same.
        """
        if not self.variants:
            return self
        usual = Variant(USUAL, lambda _: True, self.parameters)
        chosen = next(one for one in (*self.variants, usual) if one.fits(shape))
        fitting = self._with(_of_bounded_size(chosen.parameters, shape))
        return replace(fitting, choice=f"{chosen.name}: {shape}")

    def possible(self) -> list[Parameters]:
        """Returns the hyperparameters among which the data decide, with the changes."""
        others = [self._with(one.parameters).parameters for one in self.variants]
        return [self.parameters, *others]

    def _with(self, parameters: Parameters) -> Preset:
        return changed(replace(self, parameters=parameters, variants=()), self.changes)


def _of_bounded_size(parameters: Parameters, shape: Shape) -> Parameters:
    """Returns hyperparameters with fewer columns of the linear block if there are many vectors."""
    linear = parameters.linear
    if linear is None:
        return parameters
    most = _MOST_NUMBERS // (shape.users + shape.items) - parameters.factors
    rank = max(min(linear.rank, _LEAST_RANK), min(linear.rank, most))
    return replace(parameters, linear=replace(linear, rank=rank))


USUAL: Final = "usual"
# The vectors of a model have at most this many numbers (1 GiB), unless there are so many vectors
# that the least rank alone makes more.
_LEAST_RANK: Final = 128
_MOST_NUMBERS: Final = 2**28
# From this density on data are dense, and from this width on the catalogue of bare pairs is wide.
DENSE_FROM: Final = 0.02
WIDE_FROM: Final = 2500

# How the hyperparameters were chosen: docs/model.md#how-hyperparameters-are-chosen.
_USUAL: Final = Parameters(
    weighting=WeightingName.BM25,
    k1=2.3,
    b=1.0,
    factors=128,
    regularization=0.48,
    regularization_is_relative=True,
    fold_in_share=0.35,
    alpha=12.0,
    iterations=15,
    seed=0,
    linear=LinearParameters(rank=256, weight=0.5, item_exponent=0.4),
)
DENSE: Final = Variant(
    "dense",
    lambda shape: shape.density >= DENSE_FROM,
    replace(
        _USUAL,
        regularization=0.42,
        alpha=9.9,
        linear=LinearParameters(rank=128, weight=0.4),
    ),
)
WIDE: Final = Variant(
    "wide",
    lambda shape: shape.is_bare and shape.width >= WIDE_FROM,
    replace(
        _USUAL,
        regularization=0.12,
        alpha=60.0,
        linear=LinearParameters(rank=1024, weight=4.0, item_exponent=0.3),
    ),
)
BARE: Final = Variant("bare", lambda shape: shape.is_bare, replace(_USUAL, alpha=20.0))

DEFAULT: Final = Preset(
    name="default",
    drop_items_without_id=False,
    filters=Filters(),
    split=RandomPerUser(),
    parameters=_USUAL,
    contenders=named("popularity", "popularity with seen", "item-knn", "als"),
    variants=(WIDE, DENSE, BARE),
)

# The public study, step by step: raw plays are weights; popularity is by plays, with seen artists.
REFERENCE: Final = Preset(
    name="reference",
    drop_items_without_id=True,
    filters=Filters(min_user_records=5, min_item_records=5, top_users=20_000),
    split=RandomPerUser(test_fraction=0.2, min_items=5),
    parameters=Parameters(
        weighting=WeightingName.RAW,
        k1=1.0,
        b=0.5,
        factors=100,
        regularization=0.1,
        alpha=0.5,
        iterations=15,
        seed=0,
    ),
    contenders={
        "popularity": Contender(
            Strategy.POPULARITY, popularity_by=PopularityBy.PLAYS, include_seen=True
        ),
        "popularity without seen": Contender(Strategy.POPULARITY, popularity_by=PopularityBy.PLAYS),
        **named("item-knn", "als"),
    },
)

# The table of presets: the values of --preset.
PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in (DEFAULT, REFERENCE)}


# The form of the regularization that is a share of the noise scale.
RELATIVE: Final = "relative_regularization"
# What ``changed`` takes: hyperparameters, the seed among them, and filters.
HYPERPARAMETERS: Final = (
    *(
        field.name
        for field in fields(Parameters)
        if field.name not in ("regularization_is_relative", "linear")
    ),
    RELATIVE,
    *(LINEAR + field.name for field in fields(LinearParameters)),
)
FILTERS: Final = tuple(field.name for field in fields(Filters))


def changed(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """Returns a preset with other filters and hyperparameters.

    Args:
        preset: the recipe to start from.
        changes: names of ``FILTERS`` and ``HYPERPARAMETERS`` to their values; others are ignored.
            The seed is also that of a random split. A ``linear_rank`` above 0 adds a linear block,
            0 leaves it out.

    Raises:
        TrainingError: a value is out of range, both forms of the regularization are given, or a
            value of the linear block has no effect.
    """
    if "regularization" in changes and RELATIVE in changes:
        raise TrainingError("give --regularization or --relative-regularization, not both")
    values = dict(changes)
    for name, is_relative in (("regularization", False), (RELATIVE, True)):
        if name in values:
            values["regularization"] = values[name]
            values["regularization_is_relative"] = is_relative
    values["linear"] = _linear(preset.parameters.linear, changes)
    if "seed" in changes and isinstance(preset.split, RandomPerUser):
        preset = replace(preset, split=replace(preset.split, seed=changes["seed"]))
    filters, parameters = (
        {field.name: values[field.name] for field in fields(part) if field.name in values}
        for part in (preset.filters, preset.parameters)
    )
    return replace(
        preset,
        filters=replace(preset.filters, **filters),
        parameters=replace(preset.parameters, **parameters),
        changes=_together(preset.changes, changes),
    )


def _together(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changed hyperparameters; a later form of the regularization replaces the other.

    Changes to a linear block that is left out later are gone with it.
    """
    forms = {"regularization", RELATIVE}
    gone = forms if forms & after.keys() else set()
    if after.get(f"{LINEAR}rank") == 0:
        gone = gone | {name for name in HYPERPARAMETERS if name.startswith(LINEAR)}
    together = {name: value for name, value in before.items() if name not in gone}
    return together | {name: after[name] for name in HYPERPARAMETERS if name in after}


def _linear(
    present: LinearParameters | None, changes: Mapping[str, Any]
) -> LinearParameters | None:
    """Returns the hyperparameters of the linear block with changes; None for no block."""
    given = {
        field.name: changes[LINEAR + field.name]
        for field in fields(LinearParameters)
        if LINEAR + field.name in changes
    }
    if given.get("rank") == 0 or (present is None and "rank" not in given):
        if others := [name for name in given if name != "rank"]:
            option = f"--{LINEAR}{others[0]}".replace("_", "-")
            raise TrainingError(
                f"{option} does nothing without a linear block; give --linear-rank, the number of "
                "its columns, or leave it out"
            )
        return None
    if "weighting" in given:  # an option has an enumeration of its own
        given["weighting"] = WeightingName(given["weighting"])
    return LinearParameters(**given) if present is None else replace(present, **given)
