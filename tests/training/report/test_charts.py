from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes

from tests.builders import user_items_of
from tests.training.report.builders import full_study, small_search, small_study
from training.report.bands import bands_section
from training.report.contenders import contenders_of
from training.report.distributions import data_section, octaves
from training.report.elements import Section
from training.report.search import floor_of
from training.report.svg import INK, draw
from training.report.tuning import tuning_section
from training.study import Study
from training.tuning.trials import Trial


def says(section: Section | None) -> list[str]:
    assert section is not None
    return [chart.says.replace("\N{NO-BREAK SPACE}", " ") for chart in section.charts]


def tuning_of(study: Study) -> Section | None:
    return tuning_section(study, contenders_of(study.figures))


def test_a_chart_has_only_ids_that_are_used_and_names_them_after_itself() -> None:
    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], marker="o", color=INK)
        axes.set_title("a < b & $c$")

    svg = draw(paint, ident="chart", title="t", description="d")
    root = ElementTree.fromstring(svg)  # noqa: S314
    idents = [element.get("id") for element in root.iter() if element.get("id")]
    assert idents
    assert all(str(ident).startswith("chart-") for ident in idents)
    used = svg.count("#chart-")
    assert used >= len(idents) - 2  # title and description are used by the page
    assert "a &lt; b &amp; $c$" in svg
    assert "var(--ink)" in svg
    assert "figure_1" not in svg


def test_bins_begin_at_powers_of_two() -> None:
    edges, shares = octaves(np.array([1, 2, 3, 4, 300]))
    np.testing.assert_array_equal(edges, 2.0 ** np.arange(10))
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.2, 0, 0, 0, 0, 0, 0.2])


def test_bins_hold_what_is_below_one_and_equal_values() -> None:
    edges, shares = octaves(np.array([0.3, 0.3], dtype=np.float32))
    np.testing.assert_array_equal(edges, [0.25, 0.5])
    np.testing.assert_array_equal(shares, [1])


def test_bins_can_be_weighted() -> None:
    listeners = np.array([1, 1, 2])
    _, shares = octaves(listeners, listeners)
    np.testing.assert_allclose(shares, [0.5, 0.5])


@pytest.mark.slow
def test_the_data_are_described_in_numbers() -> None:
    section = data_section(small_study())
    plays, users, artists = says(section)
    assert section is not None
    assert section.lead[0].startswith("10 pairs of 4 users and 5 artists: 50.0")
    assert plays.startswith("Half of the pairs have 4 plays or fewer")
    assert plays.endswith("the most is 300.")
    assert users == "A user has 2.5 artists on average, median 2.5, from 1 to 4."
    assert artists == (
        "Half of the artists have 2 listeners or fewer, 0 % have one. The artist with most "
        "listeners makes up 40.0 % of all pairs."
    )


def test_no_pairs_no_picture_of_them() -> None:
    study = small_study()
    assert data_section(replace(study, user_items=user_items_of([[0, 0]]))) is None


def test_who_gains_is_told_from_the_bands() -> None:
    figures = full_study().figures
    users, recall, places = says(bands_section(figures, contenders_of(figures)))
    assert users == (
        "ALS over popularity: most for users with 10 to 99 artists (+0.200), least for those with "
        "1 to 9 artists (+0.0200)."
    )
    assert recall == (
        "Of the hidden artists, from the best known band down: ALS finds 40.0 % and 10.0 %; "
        "popularity finds 30.0 % and 0 %."
    )
    assert "70.0 % of its places; that band holds 50.0 %" in places


@pytest.mark.slow
def test_convergence_is_told_from_the_curve() -> None:
    curve, *_ = says(tuning_of(full_study()))
    assert curve == ("From 0.100 after the first iteration to 0.200 after 3, the best.")


@pytest.mark.slow
def test_a_curve_that_was_nearly_there_before_says_when() -> None:
    study = full_study()
    assert study.convergence is not None
    longer = replace(study.convergence, ndcg=[0.1, 0.199, 0.2], best=3)
    curve, *_ = says(tuning_of(replace(study, convergence=longer)))
    assert curve.endswith("after 3, the best; 99 % of that is there after 2.")


@pytest.mark.slow
def test_the_search_is_told_from_its_trials() -> None:
    section = tuning_of(small_study(search=small_search(12)))
    history, weighting, factors = says(section)
    assert section is not None
    assert section.title == "Search"
    assert (
        section.lead[0]
        .replace("\N{NO-BREAK SPACE}", " ")
        .startswith("The search: 12 trials in 24 s, 1 of them given up early")
    )
    assert history.startswith("The best came as trial 11; trial 9 was already within 1 % of it.")
    assert weighting == "The best of each: log 0.211 in 6 trials and bm25 0.210 in 6 trials."
    assert factors == "Best: 384. The 5 best trials lie from 256 to 384."


def test_a_hyperparameter_that_never_varied_has_no_chart() -> None:
    trials = [
        Trial(number, {"alpha": 2.0, "b": number / 10}, 0.2, [0.2], False, 1.0)
        for number in range(3)
    ]
    section = tuning_of(small_study(search=small_search(trials=trials, best=0, space={})))
    assert section is not None
    assert [chart.title for chart in section.charts] == ["The course of the search", "b"]
    assert [row[0].text for row in section.tables[0].rows] == ["alpha", "b"]


def test_few_bad_trials_do_not_flatten_the_rest() -> None:
    search = small_search(20)
    bad = Trial(20, {}, 0.001, [0.001], False, 1.0)
    assert floor_of(replace(search, trials=[*search.trials, bad])) > 0.19
    assert floor_of(search) == pytest.approx(0.2)
