"""The search of a contender for its own options."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.model.interactions import UserItems
from app.model.model import Popularity
from tests.builders import interactions_of, random_plays, small_model
from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError
from training.measuring.contenders import CONTENDERS
from training.measuring.convergence import Validation
from training.measuring.ease import Ease
from training.measuring.evaluation import evaluate
from training.measuring.item_knn import ItemKnn
from training.measuring.searched import Chosen, Searched, ndcg_of
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold

KNN = Searched(ItemKnn(neighbours=3), {"similarity": ("cosine", "bm25"), "neighbours": (1, 3, 9)})


@pytest.fixture
def train(rng: np.random.Generator) -> Interactions:
    return interactions_of(random_plays(rng, n_users=60, n_items=25))


def validation(train: Interactions) -> Validation:
    return Validation(next(iter(RandomPerUser().validation().folds(train))), k=5)


def choose(searched: Searched, train: Interactions) -> Chosen:
    return searched.choose(train.user_items, lambda: validation(train), k=5)


def test_the_best_of_what_was_tried_is_chosen(train: Interactions) -> None:
    chosen = choose(KNN, train)
    best = max(chosen.tried, key=lambda one: one.ndcg)
    assert isinstance(chosen.contender, ItemKnn)
    assert chosen.contender.similarity == best.options["similarity"]
    assert chosen.contender.neighbours == best.options["neighbours"]
    assert chosen.users == len(validation(train).users)
    assert 1 < len(chosen.tried) <= KNN.most


def test_what_was_tried_is_measured_on_the_validation_part(train: Interactions) -> None:
    part = validation(train)
    popularity = Popularity.count(part.train.user_items)
    for one in choose(KNN, train).tried:
        contender = ItemKnn(one.options["similarity"], one.options["neighbours"])
        assert one.ndcg == ndcg_of(contender, part, popularity)


def test_its_figure_is_that_of_evaluation(train: Interactions) -> None:
    inner = next(iter(RandomPerUser().validation().folds(train)))
    part = Validation(inner, k=5)
    measured = evaluate(small_model(inner.train), inner, {"item-knn": ItemKnn()}, k=5)
    assert part.users.tolist() == measured.users.tolist()
    value = ndcg_of(ItemKnn(), part, Popularity.count(inner.train.user_items))
    assert value == pytest.approx(measured.values("item-knn")["ndcg"])


def test_the_same_data_give_the_same_choice(train: Interactions) -> None:
    for searched in (KNN, CONTENDERS["ease"].gives):
        assert isinstance(searched, Searched)
        assert choose(searched, train) == choose(searched, train)


def test_numbers_are_walked_from_the_start_to_the_first_that_is_worse(train: Interactions) -> None:
    grid = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    chosen = choose(Searched(Ease(10.0), {"relative_regularization": grid}), train)
    places = [grid.index(one.options["relative_regularization"]) for one in chosen.tried]
    assert places[0] == grid.index(10.0)
    assert sorted(places) == list(range(min(places), max(places) + 1))
    by_place = dict(zip(places, (one.ndcg for one in chosen.tried), strict=True))
    best = max(by_place, key=lambda place: by_place[place])
    assert isinstance(chosen.contender, Ease)
    assert by_place[grid.index(chosen.contender.relative_regularization)] == by_place[best]
    assert all(by_place.get(best + step, 0.0) <= by_place[best] for step in (1, -1))


def test_without_a_validation_part_the_start_is_chosen() -> None:
    pairs = interactions_of(np.eye(12))

    def refuse() -> Validation:
        raise NothingToMeasure("no user has enough artists")

    chosen = KNN.choose(pairs.user_items, refuse, k=1)
    assert chosen.contender == KNN.start
    assert chosen.to_manifest()["search"] == {
        "objective": "NDCG@1",
        "users": 0,
        "ndcg": None,
        "tried": [],
    }


def test_data_that_are_too_large_are_refused_before_the_search() -> None:
    n = 15_001
    wide = UserItems(
        np.arange(n + 1, dtype=np.int64),
        np.arange(n, dtype=np.int32),
        np.ones(n, dtype=np.float32),
        n,
    )

    def unasked() -> Validation:
        raise AssertionError("the validation part was made")

    with pytest.raises(TrainingError, match="EASE inverts"):
        Searched(Ease(), {"relative_regularization": (1.0,)}).choose(wide, unasked, k=5)


def test_the_manifest_has_what_was_chosen_and_tried(train: Interactions) -> None:
    entry = choose(KNN, train).to_manifest()
    json.dumps(entry, allow_nan=False)
    assert entry["strategy"] == "item-knn"
    search = entry["search"]
    assert search["objective"] == "NDCG@5"
    assert search["ndcg"] == max(one["ndcg"] for one in search["tried"])
    assert set(search["tried"][0]) == {"similarity", "neighbours", "ndcg"}


def test_by_itself_it_searches_on_a_random_part(train: Interactions) -> None:
    model, users = small_model(train), np.arange(20)
    fold = Fold(train, train)
    lists = KNN.lists(model, fold, users, 5, lambda _done: None)
    assert np.array_equal(
        lists, choose(KNN, train).lists(model, fold, users, 5, lambda _done: None)
    )
    assert KNN.to_manifest()["neighbours"] == [1, 3, 9]


def test_the_start_of_each_search_is_on_its_grid() -> None:
    for one in CONTENDERS.values():
        if isinstance(one.gives, Searched):
            for name, values in one.gives.space.items():
                assert getattr(one.gives.start, name) in values
