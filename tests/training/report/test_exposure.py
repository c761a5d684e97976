from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.report.builders import dial, exposure, small_study
from training.measuring.measures import gini
from training.report.contenders import contenders_of
from training.report.exposure import exposure_section, lorenz, places_to_reach
from training.report.variety import affordable

COUNTS = arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 50))


@pytest.mark.parametrize(
    ("places", "artists"),
    [((5, 3, 2), 1), ((4, 3, 3), 2), ((1, 1, 1, 1), 2), ((0, 7, 0), 1), ((0, 0), 0)],
)
def test_half_of_the_places_go_to_so_many_artists(places: tuple[int, ...], artists: int) -> None:
    assert places_to_reach(exposure(*places)) == artists


def test_the_lorenz_curve_of_four_artists() -> None:
    xs, ys = lorenz(exposure(5, 0, 3, 2))
    np.testing.assert_allclose(xs, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(ys, [0, 0, 0.2, 0.5, 1])


@pytest.mark.slow
@given(COUNTS.filter(lambda counts: counts.sum() > 0))
def test_the_lorenz_curve_bends_one_way_and_encloses_the_gini(counts: np.ndarray) -> None:
    xs, ys = lorenz(counts)
    assert (xs[0], ys[0], xs[-1], ys[-1]) == (0, 0, 1, 1)
    assert (np.diff(ys) >= 0).all()
    assert (np.diff(np.diff(ys) / np.diff(xs)) >= -1e-9).all()
    area = float(np.trapezoid(ys, xs))
    assert 1 - 2 * area == pytest.approx(gini(counts), abs=0.002)


def test_a_long_lorenz_curve_is_thinned_where_it_is_flat(rng: np.random.Generator) -> None:
    counts = np.zeros(160_000, dtype=np.int64)
    counts[:300] = rng.integers(1, 5000, 300)
    xs, ys = lorenz(counts)
    assert len(xs) < 400
    assert np.diff(ys).max() < 0.02


@pytest.mark.slow
def test_the_sentences_under_the_curves_are_counted() -> None:
    places = {"als": exposure(4, 3, 3, 0), "popularity": exposure(10, 0, 0, 0)}
    figures = small_study(exposure=places).figures
    section = exposure_section(figures, contenders_of(figures))
    assert section is not None
    curve, concentration = (chart.says for chart in section.charts)
    assert curve.replace("\N{NO-BREAK SPACE}", " ") == (
        "ALS never shows 1 artist (25.0 %) and popularity never shows 3 artists (75.0 %)."
    )
    assert (
        concentration == "Half of all places go to 2 artists with ALS and 1 artist with popularity."
    )


def test_the_dial_is_turned_as_far_as_accuracy_allows() -> None:
    points = [dial(0, 0.2, 100), dial(0.3, 0.195, 150), dial(0.6, 0.191, 300), dial(1, 0.1, 900)]
    assert affordable(points) == points[2]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [dial(0, 0.2, 100)],
        [dial(0, 0.2, 100), dial(1, 0.1, 900)],
        [dial(0, 0.2, 100), dial(1, 0.2, 90)],
        [dial(0.5, 0.2, 100), dial(1, 0.2, 200)],
        [dial(0, 0.0, 0), dial(1, 0.0, 10)],
    ],
    ids=["none", "one", "too dear", "no gain", "no zero", "no NDCG"],
)
def test_no_setting_is_praised_that_brings_nothing(points: list[object]) -> None:
    assert affordable(points) is None  # type: ignore[arg-type]
