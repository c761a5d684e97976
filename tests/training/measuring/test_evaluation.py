import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.recommend.ladder import Recommender
from app.recommend.query import PopularityBy, Query, Strategy
from tests.builders import interactions_of, random_plays, small_model
from training.data.interactions import Interactions
from training.errors import NothingToMeasure
from training.measuring.evaluation import CUTOFFS, Contender, GivesLists, evaluate, recommend_lists
from training.measuring.item_knn import ItemKnn
from training.measuring.measures import PRECISION, RECALL
from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.split import Fold

CONTENDERS = {
    "popularity": Contender(Strategy.POPULARITY),
    "als": Contender(Strategy.AUTO),
}
ALL_KINDS: dict[str, GivesLists] = {
    "popularity": Contender(Strategy.POPULARITY),
    "popularity with seen": Contender(
        Strategy.POPULARITY, popularity_by=PopularityBy.PLAYS, include_seen=True
    ),
    "item-knn": ItemKnn(neighbours=5),
    "als": Contender(Strategy.AUTO),
    "discovery": Contender(Strategy.AUTO, discovery=0.7),
}


def nothing(_done: int) -> None:
    """Shows no progress."""


def fold_of(interactions: Interactions, seed: int = 0) -> Fold:
    return next(RandomPerUser(seed=seed).folds(interactions))


def checkerboard_fold(train: Interactions) -> Fold:
    """Every user's test item is the one that is hidden from training: item u of user u."""
    return Fold(train, interactions_of(np.eye(len(train.user_ids))))


def test_als_finds_what_the_checkerboard_hides_and_popularity_does_not(
    checkerboard: Interactions,
) -> None:
    model = small_model(checkerboard, factors=4, iterations=15)
    result = evaluate(model, checkerboard_fold(checkerboard), CONTENDERS, k=1)
    assert len(result.users) == 20
    als, popularity = result.values("als"), result.values("popularity")
    assert als["precision"] == als["recall"] == als["ndcg"] == als["map"] == als["mrr"] == 1
    assert als["coverage_items"] == 20
    assert als["coverage"] == 1
    assert als["gini"] == pytest.approx(0)
    # Each of the 20 items has 9 of the 20 users.
    assert als["novelty"] == pytest.approx(np.log2(20 / 9))
    assert popularity["precision"] < 0.2


def test_figures_equal_a_loop_over_single_queries(rng: np.random.Generator) -> None:
    fold = fold_of(interactions_of(random_plays(rng)), seed=1)
    model = small_model(fold.train)
    recommender = Recommender(model)
    precisions, recalls = [], []
    for user in range(len(model.users)):
        wanted = set(fold.test.user_items.row(user)[0].tolist())
        if wanted:
            answer = recommender.recommend(Query(user_id=model.users.id(user), n=5))
            hits = len(wanted & set(answer.items))
            precisions.append(hits / 5)
            recalls.append(hits / len(wanted))
    result = evaluate(model, fold, CONTENDERS, k=10)
    assert result.per_user("als", PRECISION, 5) == pytest.approx(np.array(precisions))
    assert result.per_user("als", RECALL, 5) == pytest.approx(np.array(recalls))
    assert result.values("als", 5)["precision"] == pytest.approx(np.mean(precisions))


@pytest.mark.slow
@pytest.mark.parametrize("split", [RandomPerUser(), HeldOutUsers(user_fraction=0.5)])
def test_a_smaller_cutoff_gives_the_figures_of_a_shorter_list(
    split: RandomPerUser | HeldOutUsers, rng: np.random.Generator
) -> None:
    fold = next(split.folds(interactions_of(random_plays(rng))))
    model = small_model(fold.train)
    longest = evaluate(model, fold, ALL_KINDS, k=20)
    assert longest.cutoffs == list(CUTOFFS)
    for cutoff in CUTOFFS:
        alone = evaluate(model, fold, ALL_KINDS, k=cutoff, cutoffs=())
        assert alone.cutoffs == [cutoff]
        for name in ALL_KINDS:
            assert np.array_equal(alone.lists[name], longest.lists[name][:, :cutoff])
            assert alone.values(name) == longest.values(name, cutoff)


def test_k_joins_the_cutoffs_and_those_above_the_catalogue_are_left_out() -> None:
    plays = np.triu(np.ones((8, 12)))
    plays[:, 11] = 0  # 11 items are in training
    train = interactions_of(plays)
    result = evaluate(small_model(train), Fold(train, train), CONTENDERS, k=7)
    assert result.k == 7
    assert result.cutoffs == [1, 5, 7, 10]
    assert result.lists["als"].shape == (8, 10)


def test_exposure_counts_the_places_of_each_item() -> None:
    train = interactions_of([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    result = evaluate(small_model(train, factors=2), Fold(train, train), ALL_KINDS, k=2)
    assert result.exposure("popularity with seen").tolist() == [3, 3, 0, 0]
    assert result.exposure("popularity with seen", 1).tolist() == [3, 0, 0, 0]
    assert result.exposure("popularity").tolist() == [0, 2, 2, 2]


def test_users_without_test_items_are_left_out() -> None:
    train = interactions_of([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]])
    test = interactions_of([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    result = evaluate(small_model(train, factors=2), Fold(train, test), CONTENDERS, k=1)
    assert result.users.tolist() == [0]
    assert result.values("popularity")["precision"] == 1


def test_a_sample_is_drawn_by_seed_and_says_of_how_many(rng: np.random.Generator) -> None:
    fold = fold_of(interactions_of(random_plays(rng)))
    model = small_model(fold.train)
    result, again, other = (
        evaluate(model, fold, CONTENDERS, k=5, sample=7, seed=seed) for seed in (0, 0, 1)
    )
    assert len(result.users) == 7
    assert np.array_equal(result.users, again.users)
    assert not np.array_equal(result.users, other.users)
    everyone = evaluate(model, fold, CONTENDERS, k=5)
    assert np.array_equal(result.users_with_test, everyone.users)
    assert np.array_equal(result.lists["als"], everyone.lists["als"][result.users])
    assert np.array_equal(result.hits["als"], everyone.hits["als"][result.users])
    enough = evaluate(model, fold, CONTENDERS, k=5, sample=1000)
    assert np.array_equal(enough.users, everyone.users)


def test_folds_of_the_same_users_get_the_same_sample(rng: np.random.Generator) -> None:
    first, second = (
        evaluate(small_model(fold.train), fold, CONTENDERS, k=5, sample=9, seed=4).users
        for fold in KFold(n_folds=2).folds(interactions_of(random_plays(rng, n_users=60)))
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_nobody_is_refused(sample: int) -> None:
    train = interactions_of(np.ones((2, 4)))
    with pytest.raises(NothingToMeasure, match=f"at least 1 user, not {sample}"):
        evaluate(small_model(train), Fold(train, train), CONTENDERS, k=1, sample=sample)


def test_training_items_are_never_listed_unless_the_contender_asks(
    rng: np.random.Generator,
) -> None:
    model = small_model(interactions_of(random_plays(rng)))
    users = np.arange(len(model.users))
    own = [set(model.user_items.row(int(user))[0].tolist()) for user in users]
    lists = recommend_lists(model, CONTENDERS["als"], users, 10, nothing)
    assert all(not own[user] & set(lists[user].tolist()) for user in users)
    study = Contender(Strategy.POPULARITY, popularity_by=PopularityBy.PLAYS, include_seen=True)
    lists = recommend_lists(model, study, users, 10, nothing)
    assert np.array_equal(lists, np.tile(model.popularity.by_plays[:10], (len(users), 1)))


def test_a_contender_asks_with_any_option_of_a_query() -> None:
    asked = Contender(Strategy.AUTO, PopularityBy.PLAYS, offset=3, explore=0.2, seed=1)
    assert asked.query == Query(offset=3, explore=0.2, seed=1)
    assert asked.to_manifest() == {
        "strategy": "auto",
        "popularity_by": "plays",
        "include_seen": False,
        "discovery": 0.0,
        "offset": 3,
        "explore": 0.2,
        "seed": 1,
    }
    assert list(Contender(Strategy.AUTO).to_manifest()) == [
        "strategy",
        "popularity_by",
        "include_seen",
        "discovery",
    ]


def test_a_test_user_without_training_is_answered_by_popularity() -> None:
    train = interactions_of([[3, 1, 0], [1, 0, 1], [0, 0, 0]])
    test = interactions_of([[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    result = evaluate(small_model(train, factors=2), Fold(train, test), ALL_KINDS, k=1)
    assert result.users.tolist() == [2]
    assert result.n_history.tolist() == [0]
    for name in ALL_KINDS:
        assert result.values(name)["precision"] == 1


def test_held_out_users_are_answered_from_what_is_given(rng: np.random.Generator) -> None:
    whole = interactions_of(random_plays(rng))
    fold = next(HeldOutUsers().folds(whole))
    assert fold.given is not None
    model = small_model(fold.train)
    result = evaluate(model, fold, ALL_KINDS, k=10)
    recommender = Recommender(model)
    for row, user in enumerate(result.users):
        items, plays = fold.given.user_items.row(user)
        assert result.n_history[row] == len(items) > 0
        listens = [(f"i{item}", float(count)) for item, count in zip(items, plays, strict=True)]
        answer = recommender.recommend(Query(listens=listens, n=10))
        assert result.lists["als"][row, :10].tolist() == answer.items
        for name in ("popularity", "item-knn", "als"):
            assert not set(items.tolist()) & set(result.lists[name][row].tolist())


def test_an_artist_that_only_the_test_part_has_is_never_a_hit() -> None:
    # Was wrong: lists as long as the catalogue ended with it, and it counted.
    train = interactions_of([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]])
    test = interactions_of([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    result = evaluate(small_model(train, factors=2), Fold(train, test), ALL_KINDS, k=3)
    for name in ALL_KINDS:
        figures = result.values(name)
        assert figures["hit_rate"] == figures["recall"] == 0
        assert figures["coverage_items"] <= 3


@pytest.mark.slow
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_hits_are_listed_items_of_the_same_user(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train = interactions_of(random_plays(rng, n_users=6, n_items=9))
    test = interactions_of((rng.random((6, 9)) < 0.3) | np.eye(6, 9, dtype=bool))
    result = evaluate(
        small_model(train, factors=2, iterations=1), Fold(train, test), CONTENDERS, k=9
    )
    for name in CONTENDERS:
        for row, user in enumerate(result.users):
            wanted = set(test.user_items.row(user)[0].tolist())
            listed = result.lists[name][row].tolist()
            assert result.hits[name][row].tolist() == [item in wanted for item in listed]


def test_how_lists_were_made_is_told() -> None:
    train = interactions_of(np.eye(3))
    asked = evaluate(small_model(train, factors=2), Fold(train, train), ALL_KINDS, k=1).asked
    assert json.loads(json.dumps(asked)) == asked
    assert asked["discovery"] == {
        "strategy": "auto",
        "popularity_by": "listeners",
        "include_seen": False,
        "discovery": 0.7,
    }


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_the_catalogue_is_refused(k: int) -> None:
    train = interactions_of(np.ones((2, 4)))
    with pytest.raises(
        NothingToMeasure, match=rf"between 1 and the 4 artists of the training part, not {k}"
    ):
        evaluate(small_model(train), Fold(train, train), CONTENDERS, k=k)


def test_an_empty_test_part_is_refused() -> None:
    train = interactions_of(np.ones((2, 4)))
    with pytest.raises(NothingToMeasure, match="nothing to measure"):
        evaluate(
            small_model(train), Fold(train, interactions_of(np.zeros((2, 4)))), CONTENDERS, k=1
        )
