"""Tables of figures, as a terminal shows them."""

import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console, RenderableType

from training.cli.tables import (
    convergence_table,
    discovery_table,
    figures_table,
    search_table,
    trial_line,
)
from training.measuring.convergence import Convergence
from training.measuring.figures import Comparison, Estimate, Figures, ItemBand, UserBand
from training.measuring.measures import MEASURES, OfExposure
from training.study import DiscoveryPoint
from training.tuning.trials import Search, Trial

WITH_INTERVAL = [name for name, one in MEASURES.items() if not isinstance(one, OfExposure)]
NAMES = ("popularity", "popularity with seen", "item-knn", "als")


def estimates(value: float) -> Mapping[str, Estimate]:
    counts = {"coverage": 0.0951, "coverage_items": 4352, "gini": 0.9767}
    return {
        name: Estimate(value, value - 0.0023, value + 0.0023)
        if name in WITH_INTERVAL
        else Estimate(counts.get(name, value))
        for name in MEASURES
    }


@pytest.fixture
def figures() -> Figures:
    """Four contenders at four cut-offs, all values made up."""
    values = dict(zip(NAMES, (0.0681, 0.0442, 0.1683, 0.2057), strict=True))
    return Figures(
        split={},
        k=10,
        folds=1,
        users=1892,
        users_with_test=1892,
        models={
            name: {cutoff: estimates(value) for cutoff in (1, 5, 10, 20)}
            for name, value in values.items()
        },
        asked={},
        comparisons=[
            Comparison("als", other, figure, Estimate(0.1384, 0.1331, 0.1432), 1e-9)
            for other in NAMES[:3]
            for figure in ("precision", "ndcg")
        ],
        user_bands=[UserBand("1 to 39 artists", 53, {name: Estimate(0.25) for name in NAMES})],
        item_bands=[
            ItemBand(
                "middle: 1,007 to 5,600 listeners",
                15_767,
                0.352,
                dict.fromkeys(NAMES, 0.196),
                dict.fromkeys(NAMES, 1.0),
            )
        ],
        exposure=dict.fromkeys(NAMES, np.array([1])),
    )


def shown(figures: Figures, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(figures_table(figures), markup=False)
    return stream.getvalue()


def test_four_contenders_fit_into_80_columns(figures: Figures) -> None:
    text = shown(figures)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("0.2057 ±0.0023") == len(WITH_INTERVAL)
    assert text.count("0.2057 / 0.2057") == 4
    assert text.count("19.6 / 100") == 4
    assert "…" not in text


def test_more_contenders_take_two_lines_instead_of_losing_digits(figures: Figures) -> None:
    models = {**figures.models, "als, trained in": figures.models["als"]}
    text = shown(replace(figures, models=models, user_bands=[], item_bands=[]))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("±0.0023") == 5 * len(WITH_INTERVAL)
    assert "…" not in text


def test_a_figure_without_interval_stands_alone(figures: Figures) -> None:
    lines = {line.split("  ")[0]: line.split() for line in shown(figures).splitlines()}
    assert lines["Artists shown"] == ["Artists", "shown", *["4,352"] * 4]
    assert lines["Gini"] == ["Gini", *["0.9767"] * 4]


def test_the_title_says_who_was_measured(figures: Figures) -> None:
    assert shown(figures).startswith("Measured at k = 10 on 1,892 users with test artists\n")
    several = replace(figures, folds=5, users=500)
    assert shown(several).startswith(
        "Measured at k = 10 on 500 of 1,892 users with test artists; means of 5 folds\n"
    )


@pytest.mark.parametrize(
    ("difference", "p_value", "sentence"),
    [
        (
            Estimate(0.1384, 0.1331, 0.1432),
            1e-9,
            "als beats item-knn by 0.1384 in Precision (0.1331\N{EN DASH}0.1432), p < 0.001",
        ),
        (
            Estimate(-0.02, -0.03, -0.01),
            0.004,
            "als falls behind item-knn by 0.0200 in Precision (0.0100\N{EN DASH}0.0300), p = 0.004",
        ),
        (
            Estimate(0.0005, -0.001, 0.002),
            0.4217,
            "als and item-knn differ by 0.0005 in Precision, perhaps by chance "
            "(-0.0010 to 0.0020), p = 0.422",
        ),
    ],
)
def test_a_sentence_says_who_is_better_and_how_sure_that_is(
    difference: Estimate, p_value: float, sentence: str, figures: Figures
) -> None:
    comparison = Comparison("als", "item-knn", "precision", difference, p_value)
    assert f"\n{sentence}\n" in shown(replace(figures, comparisons=[comparison]), width=200)


@pytest.mark.parametrize(("p", "how"), [(1e-9, "ahead of"), (0.3, "level with")])
def test_a_contender_that_is_ahead_has_a_line_of_its_own(
    figures: Figures, p: float, how: str
) -> None:
    assert "ahead of" not in shown(figures)
    ahead = replace(
        figures,
        models={**figures.models, "item-knn": {k: estimates(0.2150) for k in (1, 5, 10, 20)}},
        comparisons=[replace(one, p_value=p) for one in figures.comparisons],
    )
    assert f"item-knn is {how} als in NDCG@10: 0.2150 against 0.2057, p" in shown(ahead)
    # The same recommender with other users is no other model.
    served = replace(ahead, asked={"item-knn": {"strategy": "auto"}})
    assert "in NDCG@10: " not in shown(served)


def test_a_search_of_a_contender_is_told_in_a_line(figures: Figures) -> None:
    options = {"strategy": "item-knn", "similarity": "bm25", "neighbours": 50}
    tried = {"objective": "NDCG@10", "users": 1800, "ndcg": 0.2, "tried": [{}, {}, {}]}
    told = shown(replace(figures, asked={"item-knn": {**options, "search": tried}}), width=200)
    assert (
        "item-knn: similarity bm25, neighbours 50; NDCG@10 0.2000 on 1,800 validation users, the "
        "best of 3"
    ) in told
    none = {"objective": "NDCG@10", "users": 0, "ndcg": None, "tried": []}
    told = shown(replace(figures, asked={"item-knn": {**options, "search": none}}), width=200)
    assert "neighbours 50; there was no validation part to choose by" in told


def test_a_single_contender_without_bands_is_a_short_table(figures: Figures) -> None:
    alone = replace(
        figures,
        models={"als": figures.models["als"]},
        comparisons=[],
        user_bands=[],
        item_bands=[],
    )
    text = shown(alone)
    assert "popularity" not in text
    assert text.count("Precision") == 2  # the row, and the title of the cut-offs


@pytest.fixture
def found() -> Search:
    """Six trials, the second of them the best."""
    options = {"relative_regularization": 0.9998, "fold_in_share": 0.1335, "alpha": 0.8995}
    kinds: list[dict[str, object]] = [
        {"weighting": "bm25", "k1": 0.7636, "b": 0.5108},
        {"weighting": "binary"},
    ]
    values = (0.2, 0.3, 0.1, 0.25, 0.05, 0.15)
    trials = [
        Trial(
            number=number,
            parameters={**kinds[number % 2], "factors": 512, **options},
            ndcg=ndcg,
            curve=[ndcg] if number == 2 else [ndcg / 2, ndcg],
            pruned=number == 4,
            seconds=1.0,
        )
        for number, ndcg in enumerate(values)
    ]
    return Search(trials, best=1, k=10, users=1892, space={})


def lines_of(table: RenderableType, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table, markup=False)
    return stream.getvalue().splitlines()


def test_the_best_trials_stand_side_by_side(found: Search) -> None:
    # Was wrong: names of hyperparameters were cut to pieces at 80 columns.
    title, head, _line, *rows = lines_of(search_table(found))
    assert title == "The best of 6 trials (1 given up early) on 1,892 validation users"
    assert head.split() == ["trial", "1", "trial", "3", "trial", "0", "trial", "5", "trial", "2"]
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert table["NDCG@10"] == ["0.3000", "0.2500", "0.2000", "0.1500", "0.1000"]
    assert table["iterations"] == ["2", "2", "2", "2", "1"]
    assert table["weighting"] == ["binary", "binary", "bm25", "binary", "bm25"]
    assert table["k1"] == ["0.7636", "0.7636"]
    assert table["relative_regularization"] == ["0.9998"] * 5
    assert list(table)[2:] == [
        *("weighting", "factors", "relative_regularization", "fold_in_share", "alpha"),
        *("k1", "b"),
    ]
    assert max(map(len, (title, head, *rows))) <= 80


def test_a_trial_is_told_in_a_line(found: Search) -> None:
    lines = [trial_line(found.trials[number], found) for number in (0, 2, 4)]
    assert lines[0] == (
        "trial 0: 0.2000, best 0.3000 (trial 1); weighting bm25, k1 0.7636, b 0.5108, factors 512, "
        "regularization (relative) 0.9998, fold_in_share 0.1335, alpha 0.8995; 2 iterations"
    )
    assert lines[1].endswith("; 1 iteration")
    assert lines[2].endswith("; given up")


def test_a_curve_takes_ten_iterations_a_row() -> None:
    curve = [number / 100 for number in range(1, 14)]
    text = lines_of(convergence_table(Convergence(10, 1892, curve, best=13, patience=None)))
    assert text[1] == "NDCG@10 of 1,892 validation users after each iteration; best after 13"
    # Was wrong: the last digits stood in a line of their own.
    rows = [line.split() for line in text[4:]]
    assert rows[0] == [f"{value:.4f}" for value in curve[:10]]
    assert rows[1] == ["after", "10", "0.1100", "0.1200", "0.1300"]
    assert max(map(len, text)) <= 80


def test_early_stopping_says_how_many_iterations_are_trained() -> None:
    # Was wrong: only the best iteration was told, which is not always the last that is trained.
    curve = [0.1, 0.2, 0.199, 0.15]
    text = lines_of(convergence_table(Convergence(10, 1892, curve, best=2, patience=2)))
    assert text[-1] == "Early stopping: the model is trained for 3 iterations"


def test_the_discovery_dial_has_a_row_for_each_setting() -> None:
    point = DiscoveryPoint(0.25, 0.2057, 0.1684, 0.0951, 1512, 5.106, 0.97667)
    text = lines_of(discovery_table([point]))
    assert text[-1].split() == ["0.25", "0.2057", "0.1684", "1,512", "0.0951", "5.11", "0.9767"]
    assert max(map(len, text)) <= 80
