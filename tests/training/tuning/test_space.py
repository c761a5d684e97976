from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.model.weighting import WeightingName
from tests.builders import interactions_of, random_plays
from training.errors import TrainingError
from training.fitting.hyperparameters import LinearParameters
from training.presets import DEFAULT
from training.tuning.space import DIMENSIONS, BlockName, Space, rounded


def write(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_a_file_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    space = Space.load(write(tmp_path, 'weighting = ["log"]\nfactors = [8, 16]\n'), Space())
    assert space.weighting == (WeightingName.LOG,)
    assert space.factors == (8, 16)
    assert space.alpha == Space().alpha


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factor = [8, 16]", "there is no 'factor'; known are weighting, k1, b, factors"),
        ("factors = [16, 8]", r"the lower bound comes first: \[8, 16\]"),
        ("factors = 16", "factors: input should be a valid tuple, found 16"),
        ("factors = [8, 16, 32]", "factors: tuple should have at most 2 items"),
        ("alpha = [0, 1]", "alpha.0: input should be greater than 0, found 0"),
        ("alpha = [1, inf]", "alpha.1: input should be a finite number"),
        ("b = [0, 2]", "b.1: input should be less than or equal to 1"),
        ('weighting = ["bm26"]', "weighting.0: input should be 'raw', 'binary'"),
        ("weighting = []", "weighting: tuple should have at least 1 item"),
        ("alpha = [1, ", "is not TOML"),
        ("blocks = []", "blocks: tuple should have at least 1 item"),
        ('blocks = ["deep"]', "blocks.0: input should be 'als' or 'linear', found 'deep'"),
        ('blocks = ["als", "als"]', r'a block is named twice: \["als", "als"\]'),
        (
            'blocks = ["als"]\nlinear_rank = [8, 16]',
            r'linear_rank does nothing with blocks = \["als"\]; leave it out, or add "linear"',
        ),
        ('blocks = ["linear"]\nweighting = ["log"]', "weighting does nothing with blocks"),
        ('blocks = ["linear"]\niterations = 9', "iterations does nothing with blocks"),
        ('blocks = ["linear"]\nlinear_weight = [1, 2]', "linear_weight does nothing with blocks"),
        ("linear_rank = [0, 16]", "linear_rank.0: input should be greater than or equal to 1"),
        ("linear_weight = [0, 1]", "linear_weight.0: input should be greater than 0"),
        ("linear_item_exponent = [-2, 0]", "linear_item_exponent.0: input should be greater"),
        ("regularization = [1, 2]\nrelative_regularization = [1, 2]", "not both"),
    ],
)
def test_a_space_with_a_mistake_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TrainingError, match=message) as refusal:
        Space.load(path, Space())
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere\.toml: No such file"):
        Space.load(tmp_path / "nowhere.toml", Space())


def test_absolute_regularization_takes_the_place_of_the_relative_one(tmp_path: Path) -> None:
    space = Space.load(write(tmp_path, "regularization = [0.01, 100]\n"), Space())
    parameters = space.parameters(space.clip(DEFAULT.parameters), seed=3)
    assert not parameters.regularization_is_relative
    assert parameters.regularization == pytest.approx(1.0)  # the middle of the range
    assert parameters.seed == 3
    assert "relative_regularization" not in space.describe()


@pytest.mark.slow
def test_small_data_get_fewer_factors(rng: np.random.Generator) -> None:
    few = interactions_of(random_plays(rng, n_users=30, n_items=40)).user_items
    assert Space.for_data(few).factors == (32, 128)
    many = interactions_of(random_plays(rng, 2400, 1800, density=0.01)).user_items
    assert Space.for_data(many).factors == (32, 150)


def test_bare_pairs_are_not_searched_with_weightings_of_counts(rng: np.random.Generator) -> None:
    bare = interactions_of(random_plays(rng) > 0).user_items
    assert Space.for_data(bare).weighting == (WeightingName.BM25, WeightingName.BINARY)
    counted = interactions_of(random_plays(rng)).user_items
    assert WeightingName.LOG in Space.for_data(counted).weighting


def test_the_preset_lies_in_the_space_as_it_is() -> None:
    space = Space()
    for preset in DEFAULT.possible():
        parameters = space.parameters(space.clip(preset), seed=0)
        assert replace(parameters, iterations=preset.iterations) == preset


def test_a_step_stays_in_the_space_and_moves_something(rng: np.random.Generator) -> None:
    space = Space()
    start = space.clip(DEFAULT.parameters)
    moved = 0
    for _ in range(200):
        near = space.near(start, rng)
        moved += near != start  # not so where a value lies at a bound and steps across it
        assert near["weighting"] == start["weighting"]
        assert sum(near[name] != start[name] for name in start) <= 3
        for name in set(near) - {"weighting"}:
            low, high = getattr(space, name)
            assert low <= near[name] <= high
        assert isinstance(near["factors"], int)
    assert moved > 150


def test_values_are_rounded_to_what_is_shown() -> None:
    assert rounded({"alpha": 6.123456, "factors": 123456, "weighting": "log"}) == {
        "alpha": 6.123,
        "factors": 123456,
        "weighting": "log",
    }


def test_values_near_absolute_regularization_stay_in_its_range(rng: np.random.Generator) -> None:
    space = Space(regularization=(0.5, 2.0))
    start = space.clip(DEFAULT.parameters)
    assert "relative_regularization" not in start
    drawn = {space.near(start, rng)["regularization"] for _ in range(200)}
    assert len(drawn) > 10
    assert min(drawn) >= 0.5
    assert max(drawn) <= 2.0


def test_a_range_of_one_value_stays_there(rng: np.random.Generator) -> None:
    space = Space(factors=(16, 16), alpha=(5.0, 5.0), b=(0.5, 0.5), k1=(1.0, 1.0))
    start = space.clip(DEFAULT.parameters)
    for _ in range(20):
        near = space.near(start, rng)
        assert (near["factors"], near["alpha"], near["b"], near["k1"]) == (16, 5.0, 0.5, 1.0)


def test_plays_that_are_all_the_same_number_are_bare_pairs(rng: np.random.Generator) -> None:
    same = interactions_of(np.where(random_plays(rng) > 0, 7.0, 0.0)).user_items
    assert WeightingName.LOG not in Space.for_data(same).weighting


def test_the_space_of_no_pairs_is_a_space() -> None:
    assert Space.for_data(interactions_of(np.zeros((3, 4))).user_items).factors == (32, 128)


def test_a_file_overrules_what_suits_the_data(tmp_path: Path, rng: np.random.Generator) -> None:
    bare = Space.for_data(interactions_of(random_plays(rng) > 0).user_items)
    space = Space.load(write(tmp_path, 'weighting = ["log"]\n'), bare)
    assert space.weighting == (WeightingName.LOG,)
    assert space.factors == bare.factors


def test_wide_data_get_more_columns_of_the_linear_block_than_factors(
    rng: np.random.Generator,
) -> None:
    many = interactions_of(random_plays(rng, 1300, 1200, density=0.02)).user_items
    space = Space.for_data(many)
    assert (space.factors, space.linear_rank) == ((32, 128), (32, 300))
    assert Space().factors[1] == Space().linear_rank[1] == 1024


def test_every_range_has_an_entry_in_the_table_and_the_other_way_round() -> None:
    others = {"weighting", "iterations", "blocks"}
    assert Space.model_fields.keys() - others == DIMENSIONS.keys()


@pytest.mark.parametrize(
    ("blocks", "has_factors", "has_linear"),
    [
        ((BlockName.ALS,), True, False),
        ((BlockName.LINEAR,), False, True),
        ((BlockName.ALS, BlockName.LINEAR), True, True),
    ],
)
def test_a_space_has_the_hyperparameters_of_its_blocks(
    blocks: tuple[BlockName, ...], has_factors: bool, has_linear: bool
) -> None:
    space = Space(blocks=blocks)
    values = space.clip(DEFAULT.parameters)
    parameters = space.parameters(values, seed=0)
    assert ("factors" in values, parameters.factors > 0) == (has_factors, has_factors)
    assert ("linear_rank" in values, parameters.linear is not None) == (has_linear, has_linear)
    assert ("linear_weight" in values) == (has_factors and has_linear)
    assert space.describe().keys() - {"blocks", "iterations"} >= values.keys()
    assert ("iterations" in space.describe()) == has_factors


def test_a_linear_block_lies_in_the_space_as_it_is() -> None:
    linear = LinearParameters(rank=300, share=0.5, c=0.4, beta=0.5, item_exponent=0.2, weight=2)
    space = Space()
    values = space.clip(replace(DEFAULT.parameters, linear=linear))
    assert space.parameters(values, seed=0).linear == linear


def test_a_step_of_an_exponent_crosses_0(rng: np.random.Generator) -> None:
    space = Space(blocks=(BlockName.LINEAR,), linear_item_exponent=(-0.2, 0.2))
    start = space.clip(DEFAULT.parameters) | {"linear_item_exponent": 0.0}
    drawn = [space.near(start, rng)["linear_item_exponent"] for _ in range(100)]
    assert min(drawn) < 0 < max(drawn)
