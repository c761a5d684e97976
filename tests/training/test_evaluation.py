import numpy as np
import pytest

from app.recommender import PopularityBy, Query, Recommender, Strategy
from tests.builders import interactions_of, random_plays, small_model
from training.errors import NothingToMeasure
from training.evaluation import Contender, evaluate, recommend_lists
from training.interactions import Interactions
from training.split import RandomPerUser

CONTENDERS = {
    "popularity": Contender(Strategy.POPULARITY),
    "als": Contender(Strategy.AUTO),
}


def checkerboard_test_part(train: Interactions) -> Interactions:
    """Every user's test item is the one that training kept back: item u of user u."""
    return interactions_of(np.eye(len(train.user_ids)))


def test_als_finds_what_the_checkerboard_kept_back_and_popularity_does_not(
    checkerboard: Interactions,
) -> None:
    model = small_model(checkerboard, factors=4, iterations=15)
    result = evaluate(model, checkerboard_test_part(checkerboard), CONTENDERS, k=1)
    assert result.users == 20
    als, popularity = result.models["als"], result.models["popularity"]
    assert als["precision"] == als["recall"] == als["ndcg"] == als["map"] == als["mrr"] == 1
    assert als["coverage_items"] == 20
    assert als["coverage"] == 1
    assert als["gini"] == pytest.approx(0)
    assert popularity["precision"] < 0.2


def test_figures_equal_a_loop_over_single_queries(rng: np.random.Generator) -> None:
    train, test = RandomPerUser(seed=1).split(interactions_of(random_plays(rng)))
    model = small_model(train)
    recommender = Recommender(model)
    precisions, recalls = [], []
    for user in range(len(model.users)):
        wanted = set(test.user_items.row(user)[0].tolist())
        if wanted:
            answer = recommender.recommend(Query(user_id=model.users.id(user), n=5))
            hits = len(wanted & set(answer.items.tolist()))
            precisions.append(hits / 5)
            recalls.append(hits / len(wanted))
    result = evaluate(model, test, CONTENDERS, k=5)
    assert result.users == len(precisions)
    assert result.models["als"]["precision"] == pytest.approx(np.mean(precisions))
    assert result.models["als"]["recall"] == pytest.approx(np.mean(recalls))


def test_users_without_test_items_are_left_out() -> None:
    train = interactions_of([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]])
    test = interactions_of([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    result = evaluate(small_model(train, factors=2), test, CONTENDERS, k=1)
    assert result.users == 1
    assert result.models["popularity"]["precision"] == 1


def test_training_items_are_never_listed_unless_the_contender_asks(
    rng: np.random.Generator,
) -> None:
    model = small_model(interactions_of(random_plays(rng)))
    users = np.arange(len(model.users))
    own = [set(model.user_items.row(int(user))[0].tolist()) for user in users]
    lists = recommend_lists(model, CONTENDERS["als"], users, 10, lambda _done: None)
    assert all(not own[user] & set(lists[user].tolist()) for user in users)
    study = Contender(Strategy.POPULARITY, popularity_by=PopularityBy.PLAYS, include_seen=True)
    lists = recommend_lists(model, study, users, 10, lambda _done: None)
    assert np.array_equal(lists, np.tile(model.popularity.by_plays[:10], (len(users), 1)))


def test_a_test_user_without_training_is_answered_by_popularity() -> None:
    train = interactions_of([[3, 1, 0], [1, 0, 1], [0, 0, 0]])
    test = interactions_of([[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    result = evaluate(small_model(train, factors=2), test, CONTENDERS, k=1)
    assert result.users == 1
    assert result.models["als"]["precision"] == 1


def test_an_artist_that_only_the_test_part_has_is_never_a_hit() -> None:
    # Was wrong: lists as long as the catalogue ended with it, and it counted.
    train = interactions_of([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]])
    test = interactions_of([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    result = evaluate(small_model(train, factors=2), test, CONTENDERS, k=3)
    for figures in result.models.values():
        assert figures["hit_rate"] == figures["recall"] == 0
        assert figures["coverage_items"] <= 3


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_the_catalogue_is_refused(k: int) -> None:
    train = interactions_of(np.ones((2, 4)))
    with pytest.raises(
        NothingToMeasure, match=rf"between 1 and the 4 artists of the training part, not {k}"
    ):
        evaluate(small_model(train), train, CONTENDERS, k=k)


def test_an_empty_test_part_is_refused() -> None:
    train = interactions_of(np.ones((2, 4)))
    with pytest.raises(NothingToMeasure, match="nothing to measure"):
        evaluate(small_model(train), interactions_of(np.zeros((2, 4))), CONTENDERS, k=1)
