"""Figures of all folds together, on lists worked by hand and on real ones."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from app.recommend.query import Strategy
from tests.builders import interactions_of, random_plays, small_model
from training.measuring.evaluation import Contender, Evaluation, GivesLists, evaluate
from training.measuring.figures import Figures
from training.measuring.item_knn import ItemKnn
from training.measuring.measures import MEASURES, NDCG, OverPlaces
from training.measuring.resampling import Bootstrap
from training.measuring.summary import summarise
from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.split import Split

CONTENDERS: dict[str, GivesLists] = {
    "popularity": Contender(Strategy.POPULARITY),
    "item-knn": ItemKnn(neighbours=5),
    "als": Contender(Strategy.AUTO),
}


def evaluation_of(
    lists: Mapping[str, Sequence[Sequence[int]]],
    wanted: Sequence[set[int]],
    *,
    users: Sequence[int] | None = None,
    history: Sequence[int] | None = None,
    listeners: Sequence[int] = (9, 5, 4, 2, 1, 1),
    **changes: Any,
) -> Evaluation:
    """The evaluation of lists as they are, at k = their length."""
    k = len(next(iter(lists.values()))[0])
    users = range(len(wanted)) if users is None else users
    tested = [item for items in wanted for item in items]
    fields: dict[str, Any] = {
        "k": k,
        "cutoffs": [k],
        "users": np.array(users),
        "users_with_test": np.array(users),
        "n_test": np.array([len(items) for items in wanted]),
        "n_history": np.array(history or [1] * len(wanted)),
        "test_counts": np.bincount(tested, minlength=len(listeners)),
        "listeners": np.array(listeners),
        "n_training_users": 9,
        "lists": {name: np.array(made, dtype=np.int32) for name, made in lists.items()},
        "hits": {
            name: np.array(
                [[item in own for item in row] for row, own in zip(made, wanted, strict=True)]
            )
            for name, made in lists.items()
        },
        "asked": {name: {"strategy": name} for name in lists},
    }
    return Evaluation(**fields | changes)


def evaluations_of(split: Split, rng: np.random.Generator) -> list[Evaluation]:
    folds = split.folds(interactions_of(random_plays(rng, n_users=40, n_items=50)))
    return [evaluate(small_model(fold.train), fold, CONTENDERS, k=5) for fold in folds]


def test_figures_are_those_of_the_one_evaluation(rng: np.random.Generator) -> None:
    (evaluation,) = evaluations_of(RandomPerUser(), rng)
    figures = summarise([evaluation], {"name": "random"})
    assert (figures.k, figures.folds, figures.split) == (5, 1, {"name": "random"})
    assert figures.users == figures.users_with_test == len(evaluation.users)
    assert list(figures.models) == list(CONTENDERS)
    for name in CONTENDERS:
        assert list(figures.models[name]) == [1, 5, 10, 15, 20]
        for cutoff, estimates in figures.models[name].items():
            values = {figure: estimate.value for figure, estimate in estimates.items()}
            assert values == evaluation.values(name, cutoff)
        assert isinstance(figures.value(name, "coverage_items"), int)


def test_intervals_are_percentiles_of_means_over_resampled_users(
    rng: np.random.Generator,
) -> None:
    (evaluation,) = evaluations_of(RandomPerUser(), rng)
    n_users = len(evaluation.users)
    counts = Bootstrap(n_users, seed=5).sums(np.eye(n_users), np.arange(n_users))
    figures = summarise([evaluation], {}, seed=5)
    for name in CONTENDERS:
        ndcg = evaluation.per_user(name, NDCG, 10)
        means = [np.repeat(ndcg, row.astype(int)).mean() for row in counts]
        expected = np.percentile(means, [2.5, 97.5])
        assert figures.models[name][10]["ndcg"].interval == pytest.approx(expected)
        novelty = MEASURES["novelty"]
        assert isinstance(novelty, OverPlaces)
        bits, places = evaluation.over_places(name, novelty, 10)
        means = [(row @ bits) / (row @ places) for row in counts]
        expected = np.percentile(means, [2.5, 97.5])
        assert figures.models[name][10]["novelty"].interval == pytest.approx(expected)


def test_counts_of_the_catalogue_have_no_interval(rng: np.random.Generator) -> None:
    figures = summarise(evaluations_of(RandomPerUser(), rng), {})
    estimates = figures.models["als"][5]
    without = {figure for figure, estimate in estimates.items() if estimate.interval is None}
    assert without == {"coverage", "coverage_items", "gini"}
    for figure in estimates.keys() - without:
        low, high = estimates[figure].interval or (1, 0)
        assert low <= estimates[figure].value <= high


def test_figures_of_several_folds_are_means_of_theirs() -> None:
    # Precision@2 of user 0 is 1/2 and 1, of user 1 it is 0 in the one fold that tests them.
    one = evaluation_of({"als": [[0, 3]]}, [{0, 1}], users=[0])
    two = evaluation_of({"als": [[0, 1], [2, 3]]}, [{0, 1}, {5}], users=[0, 1])
    figures = summarise([one, two], {})
    assert figures.folds == 2
    assert figures.users == 2
    assert figures.value("als", "precision") == (1 / 2 + (1 + 0) / 2) / 2
    assert figures.value("als", "coverage_items") == (2 + 4) / 2
    assert figures.exposure["als"].tolist() == [1, 0, 0, 1, 0, 0]  # of the first fold
    assert [fold["als"]["precision"] for fold in figures.per_fold] == [1 / 2, 1 / 2]


def test_users_are_resampled_once_for_all_folds() -> None:
    # The folds give 1 and 1/2 if both users are drawn, and 1 and 1 or 1 and 0 if only one is.
    one = evaluation_of({"als": [[0]]}, [{0}], users=[4])
    two = evaluation_of({"als": [[0], [1]]}, [{0}, {5}], users=[4, 7])
    counts = Bootstrap(2).sums(np.eye(2), np.arange(2))
    # A fold of which nobody is drawn is not there.
    means = [np.mean([1, first / (first + second)]) if first else 0.0 for first, second in counts]
    interval = summarise([one, two], {}).models["als"][1]["precision"].interval
    assert interval == pytest.approx(np.percentile(means, [2.5, 97.5]))


@pytest.mark.slow
def test_folds_of_different_users_come_together(rng: np.random.Generator) -> None:
    first, second = (
        evaluations_of(HeldOutUsers(seed=seed), np.random.default_rng(3))[0] for seed in (0, 1)
    )
    figures = summarise([first, second], {})
    assert figures.users == len(set(first.users) | set(second.users)) > len(first.users)
    assert figures.value("als", "ndcg") == pytest.approx(
        (first.values("als")["ndcg"] + second.values("als")["ndcg"]) / 2
    )


@pytest.mark.slow
def test_the_last_contender_is_compared_with_each_other_one(rng: np.random.Generator) -> None:
    evaluations = evaluations_of(KFold(n_folds=2), rng)
    figures = summarise(evaluations, {})
    pairs = [(one.first, one.second, one.figure) for one in figures.comparisons]
    assert pairs == [
        ("als", other, figure)
        for other in ("popularity", "item-knn")
        for figure in ("precision", "recall", "ndcg")
    ]
    comparison = figures.comparisons[2]
    difference = figures.value("als", "ndcg") - figures.value("popularity", "ndcg")
    assert comparison.difference.value == pytest.approx(difference)
    means = {}
    for name in ("als", "popularity"):
        by_user: dict[int, list[float]] = {}
        for one in evaluations:
            for user, value in zip(one.users, one.per_user(name, NDCG), strict=True):
                by_user.setdefault(int(user), []).append(value)
        means[name] = [np.mean(by_user[user]) for user in sorted(by_user)]
    expected = stats.ttest_rel(means["als"], means["popularity"]).pvalue
    assert comparison.p_value == pytest.approx(float(expected))
    of_another = summarise(evaluations, {}, subject="popularity").comparisons[0]
    assert (of_another.first, of_another.second) == ("popularity", "item-knn")


def test_the_interval_of_a_difference_is_paired() -> None:
    # The models differ by the same in each user, however much the users differ.
    wanted: list[set[int]] = [{0, 1}, {2, 5}, {3, 4}, {0, 5}]
    lists = [sorted(items) for items in wanted]
    half = [[items[0], 1 if items[1] != 1 else 2] for items in lists]
    comparison = summarise([evaluation_of({"half": half, "all": lists}, wanted)], {}).comparisons[0]
    assert comparison.figure == "precision"
    assert comparison.difference.interval == [1 / 2, 1 / 2]
    assert comparison.p_value == 0


def test_equal_contenders_do_not_differ() -> None:
    lists = [[0, 1], [3, 5]]
    figures = summarise([evaluation_of({"one": lists, "two": lists}, [{0}, {1}])], {})
    for comparison in figures.comparisons:
        assert comparison.difference.interval == [0, 0]
        assert comparison.p_value == 1


def test_a_single_user_has_intervals_without_width() -> None:
    figures = summarise([evaluation_of({"a": [[0, 1]], "b": [[0, 2]]}, [{0, 2}])], {})
    assert figures.models["a"][2]["precision"].interval == [1 / 2, 1 / 2]
    assert figures.comparisons[0].p_value == 1
    json.dumps(figures.to_json(), allow_nan=False)


def test_empty_lists_have_figures_without_an_interval_of_novelty() -> None:
    figures = summarise([evaluation_of({"als": [[-1, -1]]}, [{0}])], {})
    assert figures.value("als", "novelty") == 0
    assert figures.models["als"][2]["novelty"].interval is None
    assert figures.item_bands[0].exposure == {"als": 0}
    json.dumps(figures.to_json(), allow_nan=False)


def test_user_bands_hold_their_users_ndcg() -> None:
    evaluation = evaluation_of(
        {"als": [[0], [1], [2], [3], [4]]},
        [{0}, {0}, {2}, {0}, {0}],
        history=[0, 2, 2, 8, 9],
    )
    bands = summarise([evaluation], {}).user_bands
    assert [(band.label, band.users, band.models["als"].value) for band in bands] == [
        ("no artists", 1, 1),
        ("2 artists", 2, 1 / 2),
        ("8 artists", 1, 0),
        ("9 artists", 1, 0),
    ]
    assert bands[0].models["als"].interval == [1, 1]
    assert bands[1].models["als"].interval == [0, 1]


def test_a_users_band_is_that_of_the_mean_history_over_the_folds() -> None:
    folds = [
        evaluation_of({"als": [[0], [1]]}, [{0}, {0}], history=history)
        for history in ([0, 3], [1, 3])
    ]
    bands = summarise(folds, {}).user_bands
    assert [(band.label, band.users) for band in bands] == [("1 artist", 1), ("3 artists", 1)]
    assert bands[0].models["als"].value == 1


def test_item_bands_hold_recall_and_exposure() -> None:
    # A third of the 18 pairs each: item 0; items 1 and 2; items 3, 4 and 5. Item 6 is not trained.
    evaluation = evaluation_of(
        {"all": [[0, 1], [0, 3]], "als": [[4, 1], [2, -1]]},
        [{0, 1, 6}, {3, 2, 0}],
        listeners=[6, 3, 3, 2, 2, 2, 0],
    )
    bands = summarise([evaluation], {}).item_bands
    assert [band.label for band in bands] == [
        "head: 6 listeners",
        "middle: 3 listeners",
        "tail: 2 listeners",
        "new: not in training",
    ]
    assert [band.items for band in bands] == [1, 2, 3, 1]
    assert [band.test_share for band in bands] == [2 / 6, 2 / 6, 1 / 6, 1 / 6]
    assert [band.recall["all"] for band in bands] == [2 / 2, 1 / 2, 1 / 1, 0]
    assert [band.recall["als"] for band in bands] == [0, 2 / 2, 0, 0]
    assert [band.exposure["all"] for band in bands] == [2 / 4, 1 / 4, 1 / 4, 0]
    assert [band.exposure["als"] for band in bands] == [0, 2 / 3, 1 / 3, 0]


def test_an_item_is_new_only_in_the_folds_that_lack_it() -> None:
    folds = [
        evaluation_of({"als": [[0]]}, [{3}], listeners=listeners)
        for listeners in ([8, 4, 4, 0], [8, 4, 4, 1])
    ]
    bands = {band.label.split(":")[0]: band for band in summarise(folds, {}).item_bands}
    assert bands["new"].items == 1
    assert bands["new"].test_share == 1 / 2
    assert bands["tail"].test_share == 1 / 2


def figures_of(threads: str, monkeypatch: pytest.MonkeyPatch) -> Figures:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", threads)
    rng = np.random.default_rng(8)
    evaluations = evaluations_of(KFold(n_folds=2), rng)
    return summarise(evaluations, {"name": "k-fold"}, seed=1)


@pytest.mark.slow
def test_figures_repeat_exactly_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (
        json.dumps(figures_of(threads, monkeypatch).to_json(), allow_nan=False)
        for threads in ("1", "2", "2")
    )
    assert first == second == third


@pytest.mark.slow
def test_another_seed_draws_other_resamples(rng: np.random.Generator) -> None:
    evaluations = evaluations_of(RandomPerUser(), rng)
    first, second = (
        summarise(evaluations, {}, seed=seed).models["als"][5]["ndcg"] for seed in (0, 1)
    )
    assert first.value == second.value
    assert first.interval != second.interval
