from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.model.weighting import WeightingName
from training.cli.options import (
    BaseOptions,
    LinearWeightingName,
    PlanOptions,
    PresetName,
    RecipeOptions,
    SplitName,
    SplitOptions,
)
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR, LINEAR_WEIGHTINGS, LinearParameters
from training.measuring.experiment import Plan
from training.presets import DEFAULT, PRESETS, REFERENCE, changed
from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.splits import SPLITS
from training.splitting.timed import GlobalTime, LeaveLastOut


def test_without_options_the_recipe_is_the_preset() -> None:
    assert RecipeOptions().recipe() == BaseOptions().recipe() == DEFAULT
    assert RecipeOptions(preset=PresetName("reference")).recipe() == REFERENCE


def test_the_seed_is_that_of_the_split_and_of_the_factors() -> None:
    recipe = BaseOptions(seed=5).recipe()
    assert recipe.parameters == replace(DEFAULT.parameters, seed=5)
    assert recipe.split == RandomPerUser(seed=5)


def test_options_change_what_they_name() -> None:
    options = RecipeOptions(
        factors=7, alpha=2.0, fold_in_share=0.5, weighting=WeightingName.LOG, top_users=9
    )
    recipe = options.recipe()
    assert recipe.filters == replace(DEFAULT.filters, top_users=9)
    assert recipe.parameters == replace(
        DEFAULT.parameters,
        factors=7,
        alpha=2.0,
        fold_in_share=0.5,
        weighting=WeightingName.LOG,
    )
    assert options.filters_given() == ["--top-users"]


def test_either_regularization_takes_the_place_of_the_presets() -> None:
    absolute = RecipeOptions(regularization=0.3).recipe().parameters
    assert (absolute.regularization, absolute.regularization_is_relative) == (0.3, False)
    relative = RecipeOptions(preset=PresetName("reference"), relative_regularization=0.3)
    assert relative.recipe().parameters.regularization_is_relative
    with pytest.raises(TrainingError, match="not both"):
        RecipeOptions(regularization=0.3, relative_regularization=0.3).recipe()


def test_a_rank_adds_a_linear_block_and_0_leaves_it_out() -> None:
    assert REFERENCE.parameters.linear is None
    options = RecipeOptions(
        preset=PresetName("reference"),
        factors=0,
        linear_rank=64,
        linear_share=0.3,
        linear_c=0.0,
        linear_beta=0.5,
        linear_item_exponent=-0.2,
        linear_weighting=LinearWeightingName("log"),
        linear_weight=3.0,
        linear_user_exponent=0.5,
    )
    recipe = options.recipe()
    assert recipe.parameters == replace(
        REFERENCE.parameters,
        factors=0,
        linear=LinearParameters(
            rank=64,
            share=0.3,
            c=0.0,
            beta=0.5,
            item_exponent=-0.2,
            weighting=WeightingName.LOG,
            weight=3.0,
            user_exponent=0.5,
        ),
    )
    linear = recipe.parameters.linear
    assert linear is not None
    assert type(linear.weighting) is WeightingName
    of_default = replace(options, preset=None).recipe().parameters
    assert (of_default.factors, of_default.linear) == (0, linear)
    known = {name for name in vars(options) if name.startswith(LINEAR)}
    assert known == {LINEAR + field.name for field in fields(LinearParameters)}
    without = RecipeOptions(linear_rank=0).recipe()
    assert without.possible() == [replace(one, linear=None) for one in DEFAULT.possible()]
    changes = {"linear_weight": 2.0, "linear_rank": 32}
    assert changed(recipe, changes).parameters.linear == replace(linear, weight=2.0, rank=32)
    alone = changed(recipe, {"linear_rank": 0, "factors": 8}).parameters
    assert (alone.linear, alone.factors) == (None, 8)


@pytest.mark.parametrize("options", [{"preset": PresetName("reference")}, {"linear_rank": 0}])
def test_an_option_of_the_linear_block_needs_one(options: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="--linear-item-exponent does nothing without a linear"):
        RecipeOptions(linear_item_exponent=0.2, **options).recipe()


def test_no_factors_and_no_linear_block_are_refused() -> None:
    with pytest.raises(TrainingError, match="factors has to be at least 1, not 0"):
        RecipeOptions(factors=0, linear_rank=0).recipe()


def test_the_choices_are_those_of_the_tables() -> None:
    assert [str(name) for name in SplitName] == list(SPLITS)
    assert [str(name) for name in PresetName] == list(PRESETS)
    assert [str(name) for name in LinearWeightingName] == list(LINEAR_WEIGHTINGS)


def test_each_option_of_a_split_can_be_given_and_is_a_field_of_it() -> None:
    known = {f"--{field.name.replace('_', '-')}" for field in fields(SplitOptions)}
    for kind in SPLITS.values():
        assert set(kind.options) <= known - {"--split"}
        assert set(kind.options.values()) <= {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("options", "split"),
    [
        (SplitOptions(), RandomPerUser(seed=3)),
        (SplitOptions(test_fraction=0.4), RandomPerUser(test_fraction=0.4, seed=3)),
        (SplitOptions(split=SplitName("random")), RandomPerUser(seed=3)),
        (SplitOptions(split=SplitName("k-fold")), KFold(n_folds=5, seed=3)),
        (SplitOptions(split=SplitName("k-fold"), folds=4), KFold(n_folds=4, seed=3)),
        (SplitOptions(split=SplitName("leave-last-out")), LeaveLastOut()),
        (SplitOptions(split=SplitName("held-out-users")), HeldOutUsers(seed=3)),
        (
            SplitOptions(split=SplitName("held-out-users"), test_fraction=0.5),
            HeldOutUsers(user_fraction=0.5, seed=3),
        ),
        (
            SplitOptions(split=SplitName("global-time"), test_fraction=0.5),
            GlobalTime(test_fraction=0.5),
        ),
        (
            SplitOptions(split=SplitName("global-time"), at=datetime(2009, 1, 1)),
            GlobalTime(at=1_230_768_000),
        ),
        (
            SplitOptions(
                split=SplitName("global-time"),
                at=datetime(2009, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            ),
            GlobalTime(at=1_230_768_000),
        ),
    ],
)
def test_options_make_the_split(options: SplitOptions, split: object) -> None:
    assert options.apply(BaseOptions(seed=3).recipe()).split == split


def test_the_split_of_a_preset_has_what_is_not_changed() -> None:
    recipe = replace(DEFAULT, split=RandomPerUser(min_items=9))
    changed = SplitOptions(test_fraction=0.4).apply(recipe).split
    assert changed == RandomPerUser(min_items=9, test_fraction=0.4)


FOREIGN = {
    "random": ["--folds", "--at"],
    "k-fold": ["--test-fraction", "--at"],
    "global-time": ["--folds"],
    "leave-last-out": ["--test-fraction", "--folds", "--at"],
    "held-out-users": ["--folds", "--at"],
}


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, options in FOREIGN.items() for option in options]
)
def test_an_option_of_another_split_is_refused(name: str, option: str) -> None:
    # Was wrong: --folds raised TypeError, for all splits but k-fold.
    values = {"--test-fraction": 0.5, "--folds": 3, "--at": datetime(2009, 1, 1, tzinfo=UTC)}
    field = option.removeprefix("--").replace("-", "_")
    options = SplitOptions(split=SplitName(name), **{field: values[option]})  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=rf"takes no {option}; leave it out"):
        options.apply(DEFAULT)
    assert options.given() == ["--split", option]


def test_a_time_and_a_fraction_are_one_too_many() -> None:
    # Was wrong: the fraction was ignored.
    at = datetime(2009, 1, 1, tzinfo=UTC)
    options = SplitOptions(split=SplitName("global-time"), at=at, test_fraction=0.5)
    with pytest.raises(TrainingError, match="--at or --test-fraction, not both"):
        options.apply(DEFAULT)


def test_a_plan_says_what_was_asked_for() -> None:
    assert PlanOptions().plan() == Plan()
    assert PlanOptions().plan(sample=50) == Plan(sample=50)
    options = PlanOptions(k=5, sample_users=30, patience=2)
    assert asdict(options.plan(sample=50, repeats=3, convergence=True)) == asdict(
        Plan(k=5, sample=30, repeats=3, convergence=True, patience=2)
    )
    assert options.given() == ["--k", "--sample-users", "--patience"]
    assert PlanOptions().given() == []
