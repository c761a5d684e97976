from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from app.recommend.ladder import Recommender
from app.recommend.query import Query, Strategy
from tests.builders import PARAMETERS, interactions_of, random_plays
from training.data.filters import Filters
from training.data.interactions import Interactions
from training.measuring.evaluation import Contender
from training.measuring.experiment import Measured, Plan, measure
from training.presets import Preset
from training.splitting.drawn import HeldOutUsers, RandomPerUser
from training.study import Study, measure_discovery, study

RECIPE = Preset(
    name="test",
    drop_items_without_id=False,
    filters=Filters(),
    split=RandomPerUser(min_items=3),
    parameters=PARAMETERS,
    contenders={"popularity": Contender(Strategy.POPULARITY), "als": Contender(Strategy.AUTO)},
)
N_USERS = 48


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    """Users whose ids are secrets, the later the more active."""
    rng = np.random.default_rng(8)
    plays = random_plays(rng, N_USERS, 40, density=1.0)
    plays *= rng.random(plays.shape) < np.linspace(0.1, 0.9, N_USERS)[:, None]
    plays[:, 0] += 1
    return interactions_of(plays, user_ids=[f"secret{user:02}" for user in range(N_USERS)])


@pytest.fixture(scope="module")
def measured(interactions: Interactions) -> Measured:
    return measure(interactions, RECIPE, Plan(k=5))


def study_of(interactions: Interactions, measured: Measured, *, seed: int = 7) -> Study:
    recipe = replace(RECIPE, parameters=replace(PARAMETERS, seed=seed))
    return study(interactions.user_items, {"name": "test"}, recipe, measured)


def test_a_study_says_how_it_came_about(interactions: Interactions, measured: Measured) -> None:
    before = datetime.now(UTC)
    shown = study_of(interactions, measured)
    assert shown.dataset == {"name": "test"}
    assert shown.preset == "test"
    assert shown.parameters == PARAMETERS.to_manifest()
    assert before <= shown.created_at <= datetime.now(UTC)
    assert shown.figures is measured.figures
    assert shown.user_items is interactions.user_items
    assert (shown.convergence, list(shown.discovery), shown.search) == (None, [], None)


@pytest.mark.slow
def test_a_study_shows_the_hyperparameters_that_early_stopping_left(
    interactions: Interactions,
) -> None:
    recipe = replace(RECIPE, parameters=replace(PARAMETERS, iterations=30))
    patient = measure(interactions, recipe, Plan(k=5, patience=1))
    shown = study(interactions.user_items, {}, recipe, patient)
    assert shown.convergence is patient.first.convergence
    assert shown.convergence is not None
    assert shown.parameters["iterations"] == shown.convergence.iterations < 30


def test_a_listener_of_each_quarter_of_activity_is_shown(
    interactions: Interactions, measured: Measured
) -> None:
    known = sorted(measured.first.evaluation.n_history.tolist())
    quarters = np.array_split(known, 4)
    for seed in range(5):
        listeners = study_of(interactions, measured, seed=seed).listeners
        assert len(listeners) == 4
        for listener, quarter in zip(listeners, quarters, strict=True):
            assert quarter[0] <= listener.artists <= quarter[-1]


def test_the_seed_chooses_the_listeners(interactions: Interactions, measured: Measured) -> None:
    first = study_of(interactions, measured).listeners
    assert study_of(interactions, measured).listeners == first
    assert study_of(interactions, measured, seed=8).listeners != first


def test_no_id_of_a_user_is_in_a_study(interactions: Interactions, measured: Measured) -> None:
    shown = study_of(interactions, measured)
    assert "secret" not in repr([shown.listeners, shown.figures, shown.parameters])


def test_a_listener_shows_what_they_play_and_what_was_hidden(
    interactions: Interactions, measured: Measured
) -> None:
    fold = measured.first.fold
    for listener in study_of(interactions, measured).listeners:
        user = next(
            user
            for user in measured.first.evaluation.users.tolist()
            if set(listener.hidden)
            == {f"name of i{item}" for item in fold.test.user_items.row(user)[0]}
            and listener.artists == len(fold.train.user_items.row(user)[0])
        )
        items, plays = fold.train.user_items.row(user)
        played = sorted(zip(-plays, items, strict=True))
        assert listener.plays == [(f"name of i{item}", -count) for count, item in played[:10]]
        items, plays = fold.test.user_items.row(user)
        hidden = sorted(zip(-plays, items, strict=True))
        assert listener.hidden == [f"name of i{item}" for _, item in hidden]
        answer = Recommender(measured.first.model).recommend(Query(f"secret{user:02}", n=5))
        listed = listener.lists["als"]
        assert [one.name for one in listed] == [f"name of i{item}" for item in answer.items]
        assert [one.hit for one in listed] == [one.name in listener.hidden for one in listed]
        assert list(listener.lists) == ["popularity", "als"]


def test_some_hit_is_marked(interactions: Interactions, measured: Measured) -> None:
    listeners = [
        one for seed in range(5) for one in study_of(interactions, measured, seed=seed).listeners
    ]
    marks = {listed.hit for one in listeners for listed in one.lists["als"]}
    assert marks == {True, False}


@pytest.mark.slow
def test_where_there_are_few_users_few_are_shown() -> None:
    plays = np.ones((3, 8))
    few = interactions_of(plays)
    shown = study(few.user_items, {}, RECIPE, measure(few, RECIPE, Plan(k=2)))
    assert len(shown.listeners) == 3


def test_a_user_without_a_history_is_not_shown(rng: np.random.Generator) -> None:
    plays = random_plays(rng, 4, 12, density=0.8)
    interactions = interactions_of(plays)
    measured = measure(interactions, RECIPE, Plan(k=2))
    evaluation = measured.first.evaluation
    n_history = evaluation.n_history.copy()
    n_history[1] = 0
    run = replace(measured.first, evaluation=replace(evaluation, n_history=n_history))
    shown = study(interactions.user_items, {}, RECIPE, replace(measured, first=run))
    assert len(shown.listeners) == 3
    assert sorted(one.artists for one in shown.listeners) == sorted(np.delete(n_history, 1))


@pytest.mark.slow
def test_held_out_users_show_what_was_told_of_them(interactions: Interactions) -> None:
    recipe = replace(RECIPE, split=HeldOutUsers(min_items=3, user_fraction=0.3))
    measured = measure(interactions, recipe, Plan(k=5))
    given = measured.first.fold.given
    assert given is not None
    told = given.user_items.row_lengths()
    for listener in study(interactions.user_items, {}, recipe, measured).listeners:
        assert listener.artists in told[told > 0]
        assert list(listener.lists) == ["popularity", "als", "als, trained in"]


def test_the_curve_of_the_discovery_dial_begins_at_the_model_itself(measured: Measured) -> None:
    points = measure_discovery(measured.first, k=5, seed=0)
    assert [point.discovery for point in points] == [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]
    first, last = points[0], points[-1]
    figures = measured.first.evaluation.values("als")
    assert first.to_json() == {
        "discovery": 0.0,
        **{
            name: figures[name]
            for name in ("ndcg", "precision", "coverage", "coverage_items", "novelty", "gini")
        },
    }
    assert last.novelty > first.novelty
    assert [point.coverage_items for point in points] == [
        round(40 * point.coverage) for point in points
    ]


@pytest.mark.slow
def test_the_curve_is_measured_for_held_out_users_as_well(interactions: Interactions) -> None:
    recipe = replace(RECIPE, split=HeldOutUsers(min_items=3))
    measured = measure(interactions, recipe, Plan(k=5))
    first = measure_discovery(measured.first, k=5, seed=0)[0]
    assert first.ndcg == measured.first.evaluation.values("als")["ndcg"]


@pytest.mark.slow
def test_the_curve_repeats_with_its_seed(measured: Measured) -> None:
    one, other = (measure_discovery(measured.first, k=5, seed=3) for _ in range(2))
    assert one == other
