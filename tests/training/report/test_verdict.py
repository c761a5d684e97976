from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.training.report.builders import estimates, exposure, small_study
from training.measuring.figures import Comparison, Estimate
from training.report.contenders import contenders_of, label_of
from training.report.verdict import Verdict, verdict_of

MODELS = ("als", "popularity")


def verdict(**changes: Any) -> Verdict:
    study = small_study(**changes)
    return verdict_of(study, contenders_of(study.figures))


def verdict_with(models: dict[str, Any], comparisons: list[Comparison]) -> Verdict:
    study = small_study(models=list(models), comparisons=comparisons)
    study = replace(study, figures=replace(study.figures, models=models))
    return verdict_of(study, contenders_of(study.figures))


def compared(difference: float, p_value: float, *, first: str = "als") -> list[Comparison]:
    second = "popularity" if first == "als" else "als"
    bounds = (difference - 0.01, difference + 0.01)
    return [Comparison(first, second, "ndcg", Estimate(difference, *bounds), p_value)]


def test_a_clear_lead_is_told_as_a_multiple() -> None:
    answer = verdict(comparisons=compared(0.1, 1e-9))
    assert answer.headline == "Personal lists beat the popular one: 2.0 times its NDCG@10."
    text = answer.sentences[0].replace("\N{NO-BREAK SPACE}", " ")
    assert "ALS 0.200 (0.180–0.220) and popularity 0.100 (0.090–0.110)" in text  # noqa: RUF001
    assert "the difference is +0.100, 95 % interval 0.090–0.110, p < 0.001" in text  # noqa: RUF001


def test_a_lead_that_chance_may_have_made_is_called_so() -> None:
    answer = verdict(comparisons=compared(0.1, 0.2))
    assert answer.headline.startswith("No significant difference")
    assert "chance may have made it" in answer.sentences[0]


def test_a_small_lead_is_told_in_per_cent() -> None:
    models = {"als": {10: estimates(0.11)}, "popularity": {10: estimates(0.1)}}
    answer = verdict_with(models, compared(0.01, 0.001))
    assert answer.headline.replace("\N{NO-BREAK SPACE}", " ") == (
        "Personal lists beat the popular one by 10.0 % in NDCG@10."
    )


def test_a_popular_list_that_wins_is_said_to_win() -> None:
    models = {"als": {10: estimates(0.1)}, "popularity": {10: estimates(0.3)}}
    answer = verdict_with(models, compared(-0.2, 1e-9))
    assert answer.headline == "The popular list beats personal ones: 3.0 times its NDCG@10."


def test_nothing_is_divided_by_zero() -> None:
    models = {"als": {10: estimates(0.1)}, "popularity": {10: estimates(0.0)}}
    answer = verdict_with(models, compared(0.1, 1e-9))
    assert answer.headline == "Personal lists beat the popular one, which has no NDCG@10 at all."


def test_a_test_the_other_way_round_is_turned() -> None:
    answer = verdict(comparisons=compared(-0.1, 1e-9, first="popularity"))
    assert "the difference is +0.100" in answer.sentences[0]


def test_without_a_test_none_is_claimed() -> None:
    assert "The difference was not tested." in verdict(comparisons=[]).sentences[0]


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ((100, 50), "Personal lists are more varied: ALS shows 100 different artists"),
        ((50, 100), "The price is variety: ALS shows 50 different artists"),
        ((50, 50), "Variety stays as it is"),
    ],
)
def test_variety_is_told_whichever_way_it_goes(shown: tuple[int, int], says: str) -> None:
    models = {
        name: {10: estimates(0.2, items=items)} for name, items in zip(MODELS, shown, strict=True)
    }
    assert verdict_with(models, []).sentences[1].startswith(says)


def test_half_of_the_places_is_counted_from_the_exposure() -> None:
    answer = verdict(exposure={"als": exposure(1, 5, 4, 0)})  # 5 of 10 is half
    assert answer.sentences[1].endswith("half of the places in its lists go to 1 artist.")


def test_a_model_that_is_ahead_is_named() -> None:
    models = {
        "popularity": {10: estimates(0.1)},
        "item-knn": {10: estimates(0.3)},
        "als": {10: estimates(0.2)},
    }
    says = "item-kNN is ahead of ALS in NDCG@10: 0.300 against 0.200"
    assert f"{says}." in verdict_with(models, []).sentences
    tests = [Comparison("als", "item-knn", "ndcg", Estimate(-0.1), 0.01)]
    assert f"{says}, p\xa0=\xa00.010." in verdict_with(models, tests).sentences


def test_a_model_that_is_ahead_is_named_without_a_popular_one() -> None:
    models = {"ease": {10: estimates(0.3)}, "als": {10: estimates(0.2)}}
    answer = verdict_with(models, [])
    assert "EASE is ahead of ALS in NDCG@10: 0.300 against 0.200." in answer.sentences


def test_a_model_that_is_ahead_by_chance_is_called_level() -> None:
    models = {
        "popularity": {10: estimates(0.1)},
        "item-knn": {10: estimates(0.201)},
        "als": {10: estimates(0.2)},
    }
    tests = [Comparison("als", "item-knn", "ndcg", Estimate(-0.001), 0.5)]
    answer = verdict_with(models, tests)
    says = "item-kNN is level with ALS in NDCG@10: 0.201 against 0.200"
    assert any(text.startswith(says) for text in answer.sentences)


def test_the_tiles_compare_the_two() -> None:
    tile = verdict().tiles[-1]
    assert (tile.label, tile.value, tile.beside) == ("artists shown", "100", "popularity: 50")


def test_the_popular_contender_is_known_by_its_strategy() -> None:
    asked = {"best": {"strategy": "auto"}, "charts": {"strategy": "popularity"}}
    contenders = contenders_of(small_study(models=("charts", "best"), asked=asked).figures)
    assert (contenders.personal, contenders.popular) == ("best", "charts")
    assert list(contenders.looks) == ["best", "charts"]


def test_contenders_look_different() -> None:
    names = [f"model {number}" for number in range(20)]
    contenders = contenders_of(small_study(models=names).figures)
    looks = {(look.colour, look.marker) for look in contenders.looks.values()}
    assert len(looks) == len(names)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("als", "ALS"),
        ("als, trained in", "ALS, trained in"),
        ("item-knn", "item-kNN"),
        ("also", "also"),
    ],
)
def test_abbreviations_get_their_capitals(name: str, label: str) -> None:
    assert label_of(name) == label
