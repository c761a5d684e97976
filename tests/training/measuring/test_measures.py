"""Measures against fractions worked by hand and against trec_eval; and the table of them."""

import io
import re
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

from app.recommend.query import Strategy
from tests.builders import interactions_of, random_plays, small_model
from tests.training.report.builders import small_study
from training.cli.tables import figures_table
from training.measuring import measures
from training.measuring.evaluation import Contender, evaluate
from training.measuring.measures import MEASURES, Measure, OfExposure, OverPlaces, OverUsers
from training.measuring.summary import summarise
from training.report import render
from training.splitting.drawn import RandomPerUser

ROOT = Path(__file__).parents[3]

# Two users, k = 4: the first has hits at ranks 1 and 3 of 3 test items, the second none of 6.
HITS = np.array([[True, False, True, False], [False, False, False, False]])
N_TEST = np.array([3, 6])


def test_precision_divides_by_k() -> None:
    assert measures.precision(HITS, N_TEST).tolist() == [2 / 4, 0]


def test_recall_divides_by_the_test_items() -> None:
    assert measures.recall(HITS, N_TEST).tolist() == [2 / 3, 0]


def test_ndcg_is_ideal_over_the_smaller_of_k_and_test_items() -> None:
    gain = 1 / log2(2) + 1 / log2(4)
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert measures.ndcg(HITS, N_TEST) == pytest.approx([gain / ideal, 0])


def test_ndcg_of_four_hits_out_of_nine_test_items_is_one() -> None:
    assert measures.ndcg(np.ones((1, 4), dtype=bool), np.array([9])) == pytest.approx([1])


def test_average_precision_sums_precision_at_the_hits() -> None:
    expected = (1 / 1 + 2 / 3) / 3
    assert measures.average_precision(HITS, N_TEST) == pytest.approx([expected, 0])


def test_average_precision_divides_by_k_where_the_test_part_is_longer() -> None:
    one_hit_last = np.array([[False, False, False, True]])
    assert measures.average_precision(one_hit_last, np.array([9])) == pytest.approx([1 / 4 / 4])


def test_reciprocal_rank_is_that_of_the_first_hit() -> None:
    hits = np.array([[False, True, True, False], [False] * 4])
    assert measures.reciprocal_rank(hits, N_TEST).tolist() == [1 / 2, 0]


def test_hit_is_one_with_any_hit() -> None:
    assert measures.hit(HITS, N_TEST).tolist() == [1, 0]


def test_surprise_is_in_bits_and_an_item_without_listeners_counts_as_having_one() -> None:
    assert measures.surprise(np.array([4, 1, 0]), 8).tolist() == [1, 3, 3]


def test_gini_is_zero_when_all_items_are_recommended_alike() -> None:
    assert measures.gini(np.array([3, 3, 3])) == pytest.approx(0)


def test_gini_of_one_item_among_four_is_three_quarters() -> None:
    assert measures.gini(np.array([0, 8, 0, 0])) == pytest.approx(3 / 4)


def test_gini_of_one_two_and_three_is_two_ninths() -> None:
    assert measures.gini(np.array([3, 1, 2])) == pytest.approx(2 / 9)


def test_gini_without_recommendations_is_zero() -> None:
    assert measures.gini(np.zeros(3, dtype=int)) == 0


def trec_eval(
    lists: list[list[int]], wanted: list[set[int]], k: int
) -> dict[str, NDArray[np.float64]]:
    """Returns what trec_eval says of each user, by its own names of measures."""
    relevant = {f"u{user}": {f"i{item}": 1 for item in items} for user, items in enumerate(wanted)}
    # Its order is by score; and it knows no cut-off of the reciprocal rank but the list's end.
    ranked = {
        f"u{user}": {f"i{item}": float(k - rank) for rank, item in enumerate(items[:k])}
        for user, items in enumerate(lists)
    }
    names = {f"{name}.{k}" for name in ("P", "recall", "ndcg_cut", "map_cut", "success")}
    judged = pytrec_eval.RelevanceEvaluator(relevant, names | {"recip_rank"}).evaluate(ranked)
    measures = [*(name.replace(".", "_") for name in names), "recip_rank"]
    return {
        name.removesuffix(f"_{k}"): np.array([judged[user][name] for user in relevant])
        for name in measures
    }


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), k=st.sampled_from([1, 2, 5, 10, 20]))
def test_measures_agree_with_trec_eval(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n_items = 40
    wanted = [set(rng.permutation(n_items)[: rng.integers(1, 30)].tolist()) for _ in range(8)]
    # Some lists are shorter than k.
    lists = [rng.permutation(n_items)[: rng.integers(1, 25)].tolist() for _ in wanted]
    hits = np.zeros((len(lists), k), dtype=bool)
    for user, items in enumerate(lists):
        hits[user, : len(items)] = [item in wanted[user] for item in items[:k]]
    n_test = np.array([len(items) for items in wanted])
    expected = trec_eval(lists, wanted, k)
    assert measures.precision(hits, n_test) == pytest.approx(expected["P"])
    assert measures.recall(hits, n_test) == pytest.approx(expected["recall"])
    assert measures.ndcg(hits, n_test) == pytest.approx(expected["ndcg_cut"])
    assert measures.reciprocal_rank(hits, n_test) == pytest.approx(expected["recip_rank"])
    assert measures.hit(hits, n_test) == pytest.approx(expected["success"])
    # trec_eval divides by all test items, also where a list of k cannot hold them.
    out_of = n_test / np.minimum(n_test, k)
    assert measures.average_precision(hits, n_test) == pytest.approx(expected["map_cut"] * out_of)


EXTRA: list[Measure] = [
    OverUsers(
        name="first_hit",
        label="First hit",
        of=lambda hits, n_test: measures.hit(hits[:, :1], n_test),
        says="Share of listeners whose first of {k} artists is hidden.",
        gist="Lists that begin well",
    ),
    OverPlaces(
        name="listeners",
        label="Listeners",
        of=lambda listeners, n_users: listeners / n_users,
        says="How well known the artists are.",
    ),
    OfExposure(
        name="most_shown",
        label="Most shown",
        of=lambda counts: int(counts.max()),
        says="Places of the artist with most.",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRA, ids=lambda one: one.name)
def test_a_measure_is_shown_wherever_the_table_is(extra: Measure, rng: np.random.Generator) -> None:
    # Was wrong: it came out in JSON only, not on the terminal and not in the report.
    fold = next(RandomPerUser().folds(interactions_of(random_plays(rng, n_users=40, n_items=50))))
    contenders = {"popularity": Contender(Strategy.POPULARITY), "als": Contender(Strategy.AUTO)}
    rows = measures.table(*MEASURES.values(), extra)
    evaluation = evaluate(small_model(fold.train), fold, contenders, k=5, measures=rows)
    figures = summarise([evaluation], {"name": "random"})
    entry = figures.to_json()
    assert entry["models"]["als"][extra.name] == evaluation.value("als", extra)
    assert entry["at"]["als"]["10"][extra.name] == evaluation.value("als", extra, 10)
    assert (extra.name in entry["intervals"]["als"]) == (not isinstance(extra, OfExposure))
    assert re.search(rf"^{extra.label} .*\d", on_a_terminal(figures_table(figures)), re.M)
    page = render(replace(small_study(), figures=figures))
    assert page.count(extra.title(5)) >= 1
    assert extra.title("k") in page
    assert extra.says.format(k="k") in page
    tested = [one["figure"] for one in entry["comparisons"]]
    assert (extra.name in tested) == isinstance(extra, OverUsers)
    assert ("Lists that begin well at k = 1" in page) == isinstance(extra, OverUsers)


def on_a_terminal(what: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(what)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([EXTRA[0], EXTRA[0]], "two measures have the same name"),
        ([MEASURES["coverage"]], "'after' names a missing measure in: coverage"),
    ],
)
def test_a_table_with_a_mistake_is_refused(rows: list[Measure], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        measures.table(*rows)


def test_names_in_json_stay() -> None:
    names = ["precision", "recall", "ndcg", "map", "mrr", "hit_rate"]
    names += ["coverage", "coverage_items", "novelty", "gini"]
    assert [name for name in MEASURES if name in names] == names


def test_a_share_is_shown_after_its_count_and_comes_before_it_in_json() -> None:
    json_order, shown = list(MEASURES), [one.name for one in measures.shown(MEASURES)]
    assert json_order.index("coverage") + 1 == json_order.index("coverage_items")
    assert shown.index("coverage_items") + 1 == shown.index("coverage")
    assert sorted(json_order) == sorted(shown)


def test_the_page_about_evaluation_has_the_table() -> None:
    page = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    section = page.partition("\n## Measures\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| `(\w+)` \| (.+) \|$", section, re.M)
    expected = [(one.title("k"), one.name) for one in measures.shown(MEASURES)]
    assert [(title, name) for title, name, _ in rows] == expected
    assert [name for _, name, says in rows if MEASURES[name].paper not in says] == []
