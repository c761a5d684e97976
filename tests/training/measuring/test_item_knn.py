import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.model import Model
from tests.builders import dense_of, interactions_of, random_plays, small_model
from training.data.interactions import Interactions
from training.errors import TrainingError
from training.measuring.item_knn import ItemKnn, Similarity
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold


def nothing(_done: int) -> None:
    """Shows no progress."""


def lists_of(
    model: Model, train: Interactions, k: int, *, given: Interactions | None = None, **options: Any
) -> NDArray[np.int64]:
    """Everyone's list; the test part plays no role in it."""
    fold = Fold(train, train, given)
    return ItemKnn(**options).lists(model, fold, np.arange(len(train.user_ids)), k, nothing)


def test_neighbours_of_what_the_user_has_are_recommended_best_first() -> None:
    # Item 1 shares two listeners with item 0, item 2 shares one, item 3 none.
    train = interactions_of(
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    )
    assert lists_of(small_model(train), train, 2)[0].tolist() == [1, 2]


def test_lists_equal_a_loop_over_cosines(rng: np.random.Generator) -> None:
    plays = random_plays(rng, n_users=25, n_items=30)
    train = interactions_of(plays)
    weights = np.log1p(plays.astype(np.float64))
    norms = np.linalg.norm(weights, axis=0)
    scores = weights @ (weights.T @ weights / np.outer(norms, norms))
    lists = lists_of(small_model(train), train, 5, neighbours=30)
    for user, listed in enumerate(lists):
        unseen = np.flatnonzero(plays[user] == 0)
        order = sorted(unseen, key=lambda item: (-round(scores[user, item], 9), item))
        assert listed.tolist() == order[:5]


@pytest.mark.parametrize("similarity", ["cosine", "tf-idf", "bm25"])
def test_neighbours_are_those_of_implicit(similarity: Similarity, rng: np.random.Generator) -> None:
    from implicit.nearest_neighbours import (  # noqa: PLC0415 - takes a second to load
        BM25Recommender,
        CosineRecommender,
        TFIDFRecommender,
    )
    from scipy import sparse  # noqa: PLC0415

    train = interactions_of(random_plays(rng))
    plays = dense_of(train.user_items).astype(np.float64)
    kinds = {"cosine": CosineRecommender, "tf-idf": TFIDFRecommender, "bm25": BM25Recommender}
    theirs = kinds[similarity](K=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a format that it made itself
        theirs.fit(
            sparse.csr_matrix(plays if similarity == "bm25" else np.log1p(plays)),
            show_progress=False,
        )
    ours = ItemKnn(similarity, neighbours=7).fit(train.user_items)
    assert ours.toarray() == pytest.approx(theirs.similarity.toarray())
    assert np.diff(ours.indptr).max() == 7


def test_ties_break_by_lower_index() -> None:
    # Items 1, 2 and 3 have the same listeners.
    train = interactions_of([[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]])
    assert lists_of(small_model(train), train, 2)[2].tolist() == [1, 2]


@pytest.mark.parametrize("similarity", ["cosine", "tf-idf", "bm25"])
def test_lists_hold_each_unseen_training_item_once(
    similarity: Similarity, rng: np.random.Generator
) -> None:
    # Unlike implicit's own lists, which are padded with seen items.
    plays = random_plays(rng, n_users=25, n_items=20)
    plays[:, 17] = 0
    train = interactions_of(plays)
    lists = lists_of(small_model(train), train, 20, similarity=similarity, neighbours=3)
    for user, listed in enumerate(lists):
        unseen = set(np.flatnonzero(plays[user] == 0)) - {17}
        assert set(listed[: len(unseen)]) == unseen
        assert (listed[len(unseen) :] == -1).all()


def test_a_short_list_is_filled_by_popularity() -> None:
    # User 0 has item 0, whose only neighbour is item 1; of the others item 3 has most listeners.
    train = interactions_of([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    assert lists_of(small_model(train), train, 4)[0].tolist() == [1, 3, 2, -1]


def test_a_user_without_history_gets_popularity(rng: np.random.Generator) -> None:
    plays = random_plays(rng)
    plays[4] = 0
    train = interactions_of(plays)
    model = small_model(train)
    assert np.array_equal(lists_of(model, train, 6)[4], model.popularity.by_listeners[:6])


def test_a_held_out_user_is_known_by_what_is_given() -> None:
    told = [[0, 0, 0, 0]] * 4 + [[5, 0, 0, 0]]
    train = interactions_of([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0] * 4])
    lists = lists_of(small_model(train), train, 4, given=interactions_of(told))
    assert lists[4].tolist() == [1, 2, 3, -1]


def test_a_shorter_list_is_the_beginning_of_a_longer_one(rng: np.random.Generator) -> None:
    train, _ = RandomPerUser().split(interactions_of(random_plays(rng)))
    model = small_model(train)
    longest = lists_of(model, train, 20, neighbours=4)
    for k in (1, 7, 19):
        assert np.array_equal(lists_of(model, train, k, neighbours=4), longest[:, :k])


def test_neighbours_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    train = interactions_of(random_plays(rng, n_users=200, n_items=150)).user_items
    one, two = (ItemKnn(neighbours=9).fit(train, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.toarray(), two.toarray())


@pytest.mark.parametrize("similarity", ["cosine", "tf-idf", "bm25"])
def test_shrinkage_lessens_what_rests_on_few_users(
    similarity: Similarity, rng: np.random.Generator
) -> None:
    # More items than one block of the computation has.
    train = interactions_of(random_plays(rng, n_users=30, n_items=300, density=0.1)).user_items
    listens = dense_of(train) > 0
    common = listens.T.astype(np.float64) @ listens
    whole = ItemKnn(similarity, neighbours=300).fit(train).toarray()
    shrunk = ItemKnn(similarity, neighbours=300, shrinkage=4.0).fit(train).toarray()
    assert shrunk == pytest.approx(whole * common / (common + 4.0))
    few = ItemKnn(similarity, neighbours=5, shrinkage=4.0).fit(train)
    assert np.diff(few.indptr).max() == 5
    for row in (0, 150, 299):
        expected = np.sort(shrunk[row])[::-1][:5]
        assert np.sort(few[[row]].toarray()[0])[::-1][:5] == pytest.approx(expected)


def test_the_manifest_says_how_lists_were_made() -> None:
    assert ItemKnn(shrinkage=3.0).to_manifest()["shrinkage"] == 3.0
    assert ItemKnn("bm25", 50).to_manifest() == {
        "strategy": "item-knn",
        "similarity": "bm25",
        "neighbours": 50,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "jaccard"}, "tf-idf or bm25, not 'jaccard'"),
        ({"neighbours": 0}, "not 0"),
        ({"shrinkage": -1.0}, "at least 0, not -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        ItemKnn(**options)
