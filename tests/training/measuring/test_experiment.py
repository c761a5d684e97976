from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.builders import (
    PARAMETERS,
    dense_of,
    interactions_of,
    random_plays,
)
from training.data.filters import Filters
from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError
from training.fitting.fit import fit_model
from training.measuring.convergence import measure_convergence
from training.measuring.evaluation import Contender, evaluate
from training.measuring.experiment import TRAINED_IN, Measured, Plan, measure, validation_of
from training.measuring.summary import summarise
from training.presets import Preset
from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.split import Fold, Split
from training.splitting.timed import LeaveLastOut

CONTENDERS = {"popularity": Contender(Strategy.POPULARITY), "als": Contender(Strategy.AUTO)}
PLAN = Plan(k=5)


def recipe(split: Split | None = None, **parameters: Any) -> Preset:
    return Preset(
        name="test",
        drop_items_without_id=False,
        filters=Filters(),
        split=split or RandomPerUser(min_items=3),
        parameters=replace(PARAMETERS, **parameters),
        contenders=CONTENDERS,
    )


@pytest.fixture
def interactions(rng: np.random.Generator) -> Interactions:
    return interactions_of(random_plays(rng, n_users=40, n_items=30))


class Recorder:
    """Notes the names of the steps."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def step(self, name: str, total: int) -> Callable[[int], None]:
        del total
        self.names.append(name)
        return lambda _done: None


def als(measured: Measured) -> dict[str, float]:
    figures: dict[str, float] = measured.to_json()["models"]["als"]
    return figures


@pytest.mark.slow
def test_one_fold_is_split_trained_and_measured(interactions: Interactions) -> None:
    preset = recipe()
    measured = measure(interactions, preset, PLAN)
    (fold,) = preset.split.folds(interactions)
    model = fit_model(fold.train, preset.parameters)
    by_hand = summarise(
        [evaluate(model, fold, CONTENDERS, k=5, seed=PARAMETERS.seed)],
        preset.split.to_manifest(),
        seed=PARAMETERS.seed,
    )
    assert measured.to_json() == by_hand.to_json()
    assert dense_of(measured.first.fold.test.user_items).tolist() == (
        dense_of(fold.test.user_items).tolist()
    )
    assert measured.first.model.user_factors.tobytes() == model.user_factors.tobytes()
    assert measured.first.parameters == preset.parameters
    assert "convergence" not in measured.to_json()


def test_the_last_contender_is_compared_with_the_others(interactions: Interactions) -> None:
    comparisons = measure(interactions, recipe(), PLAN).figures.comparisons
    assert {(one.first, one.second) for one in comparisons} == {("als", "popularity")}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(interactions: Interactions) -> None:
    one, other = (measure(interactions, recipe(KFold(2)), PLAN).to_json() for _ in range(2))
    assert json.dumps(one) == json.dumps(other)
    assert measure(interactions, recipe(KFold(2), seed=8), PLAN).to_json() != one


@pytest.mark.slow
def test_figures_of_several_folds_are_their_means(interactions: Interactions) -> None:
    recorder = Recorder()
    measured = measure(interactions, recipe(KFold(3)), PLAN, progress=recorder)
    entry = measured.to_json()
    assert entry["folds"] == 3
    assert entry["split"] == {"name": "k-fold", "n_folds": 3, "seed": 0}
    by_fold = [one["als"]["ndcg"] for one in entry["repeats"]]
    assert als(measured)["ndcg"] == pytest.approx(np.mean(by_fold))
    assert len(set(by_fold)) == 3
    assert [name for name in recorder.names if name.endswith("ALS iterations")] == [
        f"split {number} of 3: ALS iterations" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_each_repeat_takes_the_next_seed_for_split_and_factors(interactions: Interactions) -> None:
    repeated = measure(interactions, recipe(seed=4), replace(PLAN, repeats=2)).to_json()
    alone = [
        measure(
            interactions, recipe(RandomPerUser(min_items=3, seed=offset), seed=4 + offset), PLAN
        )
        for offset in (0, 1)
    ]
    assert [one["als"]["ndcg"] for one in repeated["repeats"]] == [
        als(one)["ndcg"] for one in alone
    ]
    assert repeated["split"]["repeats"] == 2
    assert repeated["folds"] == 2


@pytest.mark.slow
def test_folds_are_repeated_as_well(interactions: Interactions) -> None:
    entry = measure(interactions, recipe(KFold(2)), replace(PLAN, repeats=3)).to_json()
    assert entry["folds"] == 6
    assert len({one["als"]["ndcg"] for one in entry["repeats"]}) == 6


def test_a_split_that_draws_nothing_is_not_repeated(interactions: Interactions) -> None:
    # Was wrong: refused only after the first repeat was trained and measured.
    recorder = Recorder()
    with pytest.raises(TrainingError, match=r"'leave last out' draws nothing.*leave --repeats out"):
        measure(interactions, recipe(LeaveLastOut()), replace(PLAN, repeats=2), progress=recorder)
    assert recorder.names == []


@pytest.mark.slow
def test_the_first_fold_alone_is_the_first_of_all(interactions: Interactions) -> None:
    plan = replace(PLAN, first_fold_only=True)
    recorder = Recorder()
    first = measure(interactions, recipe(KFold(3)), plan, progress=recorder)
    every = measure(interactions, recipe(KFold(3)), PLAN).to_json()
    assert first.figures.folds == 1
    assert als(first)["ndcg"] == every["repeats"][0]["als"]["ndcg"]
    assert recorder.names[0] == "split: ALS iterations"


def test_a_sample_says_how_large_it_is(interactions: Interactions) -> None:
    entry = measure(interactions, recipe(), replace(PLAN, sample=10)).to_json()
    assert entry["users"] == 10
    assert entry["users_with_test"] > 30


@pytest.mark.slow
def test_convergence_is_measured_on_a_validation_part_of_the_training_part(
    interactions: Interactions,
) -> None:
    preset = recipe()
    measured = measure(interactions, preset, replace(PLAN, convergence=True))
    fold = measured.first.fold
    validation = validation_of(fold, preset.split, k=5, seed=PARAMETERS.seed)
    assert measured.first.convergence == measure_convergence(validation, PARAMETERS)
    entry = measured.to_json()
    assert len(entry.pop("convergence")["ndcg"]) == PARAMETERS.iterations
    # It changes nothing else.
    assert entry == measure(interactions, preset, PLAN).to_json()


@pytest.mark.slow
def test_patience_trains_as_many_iterations_as_the_validation_part_asks_for(
    interactions: Interactions,
) -> None:
    patient = measure(interactions, recipe(iterations=40), replace(PLAN, patience=2))
    convergence = patient.first.convergence
    assert convergence is not None
    assert len(convergence.ndcg) == convergence.best + 2 < 40
    assert patient.first.parameters == replace(PARAMETERS, iterations=convergence.iterations)
    told = measure(interactions, recipe(iterations=convergence.iterations), PLAN)
    assert als(patient) == als(told)


@pytest.mark.slow
def test_each_fold_stops_by_its_own_validation_part(interactions: Interactions) -> None:
    recorder = Recorder()
    measure(interactions, recipe(KFold(2)), replace(PLAN, patience=1), progress=recorder)
    assert [name for name in recorder.names if name.endswith("convergence")] == [
        "split 1 of 2: convergence",
        "split 2 of 2: convergence",
    ]


@pytest.mark.parametrize("split", [RandomPerUser(), KFold(3), HeldOutUsers()])
def test_a_validation_part_parts_the_training_part_and_nothing_else(
    interactions: Interactions, split: Split
) -> None:
    fold = next(iter(split.folds(interactions)))
    # The test part is not looked at: without it all is the same.
    blind = Fold(fold.train, fold.test.with_pairs(np.zeros(fold.test.user_items.nnz, dtype=bool)))
    for one in (fold, blind):
        validation = validation_of(one, split, k=5, seed=0)
        both = dense_of(validation.train.user_items)
        both[validation.users] += dense_of(validation.test)
        assert both.tolist() == dense_of(fold.train.user_items).tolist()


def test_a_validation_part_has_no_more_users_than_asked_for(interactions: Interactions) -> None:
    (fold,) = RandomPerUser().folds(interactions)
    few, again, other = (
        validation_of(fold, RandomPerUser(), k=5, seed=seed, sample=7) for seed in (0, 0, 1)
    )
    assert len(few.users) == 7
    assert few.users.tolist() == again.users.tolist() != other.users.tolist()
    # The parts are those of everybody.
    assert few.train.user_items.nnz == other.train.user_items.nnz


@pytest.mark.slow
def test_held_out_users_are_folded_in_from_what_is_told_of_them(interactions: Interactions) -> None:
    measured = measure(interactions, recipe(HeldOutUsers(seed=2)), PLAN)
    run = measured.first
    assert run.fold.given is not None
    recommender = Recommender(run.model)
    for row, user in enumerate(run.evaluation.users.tolist()):
        assert not run.model.has_history(user)
        items, plays = run.fold.given.user_items.row(user)
        listens = [(f"i{item}", float(count)) for item, count in zip(items, plays, strict=True)]
        answer = recommender.recommend(Query(None, n=5, listens=listens))
        assert answer.source is Source.FOLD_IN
        assert run.evaluation.lists["als"][row, :5].tolist() == answer.items


@pytest.mark.slow
def test_held_out_users_are_compared_with_themselves_trained_in(interactions: Interactions) -> None:
    recorder = Recorder()
    measured = measure(interactions, recipe(HeldOutUsers(seed=2)), PLAN, progress=recorder)
    assert list(measured.figures.models) == ["popularity", "als", TRAINED_IN]
    assert {(one.first, one.second) for one in measured.figures.comparisons} == {
        ("als", "popularity"),
        ("als", TRAINED_IN),
    }
    fold = measured.first.fold
    assert fold.given is not None
    whole = fit_model(fold.train.with_pairs_of(fold.given), PARAMETERS)
    recommender = Recommender(whole)
    for row, user in enumerate(measured.first.evaluation.users.tolist()):
        answer = recommender.recommend(Query(f"u{user}", n=5))
        assert answer.source is Source.ALS
        lists = measured.first.evaluation.lists[TRAINED_IN]
        assert lists[row, :5].tolist() == answer.items
    assert "split: held-out users trained in: ALS iterations" in recorder.names
    json.dumps(measured.to_json(), allow_nan=False)


def test_fold_in_finds_what_training_in_finds_where_the_answer_is_certain() -> None:
    split = HeldOutUsers(user_fraction=0.3, min_items=3)
    index = np.arange(40)
    halves = interactions_of((index[:, None] + index) % 2 == 0)
    measured = measure(halves, recipe(split, factors=2, iterations=15), Plan(k=4))
    assert measured.figures.value("als", "precision") == pytest.approx(1.0)
    assert measured.figures.value(TRAINED_IN, "precision") == pytest.approx(1.0)
    assert measured.figures.value("popularity", "precision") < 0.9


@pytest.mark.slow
def test_a_user_with_all_items_in_the_test_part_is_answered_by_popularity(
    rng: np.random.Generator,
) -> None:
    plays = random_plays(rng, n_users=20, n_items=15)
    plays[6] = 0
    plays[6, 3] = 5  # the one item goes to one of the folds
    measured = measure(interactions_of(plays), recipe(KFold(2, seed=1)), PLAN)
    assert measured.figures.users == 20
    evaluation = measured.first.evaluation
    row = evaluation.users.tolist().index(6)
    assert evaluation.n_history[row] == 0
    assert not measured.first.model.has_history(6)
    lists = evaluation.lists
    assert lists["als"][row].tolist() == lists["popularity"][row].tolist()
    json.dumps(measured.to_json(), allow_nan=False)


def test_a_cut_off_above_the_catalogue_is_refused(interactions: Interactions) -> None:
    with pytest.raises(NothingToMeasure, match=r"between 1 and the 30 artists.*not 31"):
        measure(interactions, recipe(), Plan(k=31))


def test_lists_as_long_as_the_catalogue_can_be_measured(interactions: Interactions) -> None:
    figures = measure(interactions, recipe(), Plan(k=30)).figures
    assert figures.value("als", "recall") == 1.0


@pytest.mark.parametrize("split", [RandomPerUser(), KFold(2), HeldOutUsers()])
def test_data_of_a_single_pair_are_refused_with_a_reason(split: Split) -> None:
    with pytest.raises(TrainingError, match=r"artists|folds"):
        measure(interactions_of([[1.0]]), recipe(split), Plan(k=1))


@pytest.mark.slow
def test_all_repeats_measure_the_same_sample(interactions: Interactions) -> None:
    measured = measure(interactions, recipe(), Plan(sample=4, repeats=3))
    assert measured.figures.users <= 4


def test_a_curve_that_cannot_be_made_is_left_out_and_the_figures_stay() -> None:
    # Two artists each: of one that is left in training nothing can be kept back for validation.
    pairs = interactions_of(np.eye(12) + np.roll(np.eye(12), 1, axis=1))
    split = RandomPerUser(test_fraction=0.5, min_items=2)
    measured = measure(pairs, recipe(split), Plan(k=1, convergence=True))
    assert measured.first.convergence is None
    assert measured.figures.users == 12
    with pytest.raises(NothingToMeasure, match="early stopping has no validation part"):
        measure(pairs, recipe(split), Plan(k=1, patience=2))
