"""Presets: complete recipes from records to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from app.model.weighting import WeightingName
from app.recommend.query import PopularityBy, Strategy
from training.data.filters import Filters
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR, LinearParameters, Parameters
from training.measuring.contenders import named
from training.measuring.evaluation import Contender, GivesLists
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Split


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe.

    Attributes:
        name: its value of ``--preset``.
        drop_items_without_id: whether artists without MBID are left out.
        filters: the users and artists that take part.
        split: cuts the test part.
        parameters: the hyperparameters.
        contenders: the contenders; the last one is compared with each of the others.
    """

    name: str
    drop_items_without_id: bool
    filters: Filters
    split: Split
    parameters: Parameters
    contenders: Mapping[str, GivesLists]


# Chosen by benchmarks/preset.py on validation parts of several data sets; its log is
# benchmarks/results/preset.jsonl.
DEFAULT: Final = Preset(
    name="default",
    drop_items_without_id=False,
    filters=Filters(),
    split=RandomPerUser(),
    parameters=Parameters(
        weighting=WeightingName.BM25,
        k1=2.3,
        b=1.0,
        factors=128,
        regularization=0.42,
        regularization_is_relative=True,
        fold_in_share=0.35,
        alpha=9.9,
        iterations=15,
        seed=0,
    ),
    contenders=named("popularity", "popularity with seen", "item-knn", "als"),
)

# The hyperparameters for bare pairs of a wide catalogue, in which no few artists have most of the
# listeners (docs/model.md#which-recipe-suits-which-data). A search tries them.
WIDE: Final = replace(
    DEFAULT.parameters,
    regularization=0.12,
    alpha=60.0,
    linear=LinearParameters(rank=1024, weight=4.0),
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
    )


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
