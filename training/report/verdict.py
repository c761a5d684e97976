"""The verdict of a study: a few computed sentences and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.measuring.figures import Comparison, Figures
from training.numbers import (
    SIGNIFICANT,
    count,
    interval_of,
    number,
    p_value,
    percent,
    plural,
    signed,
    with_interval,
)
from training.report.contenders import Contenders, figure_of
from training.report.exposure import places_to_reach
from training.study import Study


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number on the first screen.

    Attributes:
        label: its meaning.
        value: of the main contender.
        beside: the value of the rival with its name; empty without a rival.
    """

    label: str
    value: str
    beside: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first screen.

    Attributes:
        headline: the answer in one sentence.
        sentences: the evidence, and the effect on variety.
        tiles: key numbers.
    """

    headline: str
    sentences: Sequence[str]
    tiles: Sequence[Tile]


def verdict_of(study: Study, contenders: Contenders) -> Verdict:
    """Returns the verdict: whether personal lists beat the popular one, and how variety changes."""
    figures = study.figures
    tiles = _tiles(figures, contenders)
    main, rival = contenders.main, contenders.rival
    ndcg = figure_of(figures, main, "ndcg")
    label = contenders.label(main)
    if contenders.personal is None or rival is None:
        headline = f"{label} reaches an NDCG@{figures.k} of {number(ndcg.value)}."
        alone = (
            f"The mean over {plural(figures.users, 'user')}"
            + (f", 95 % interval {interval_of(ndcg)}" if interval_of(ndcg) else "")
            + ". There is no personal and popular model to compare."
        )
        sentences = [alone, *_ahead(figures, contenders), *_variety(figures, contenders)]
        return Verdict(headline, sentences, tiles)
    comparison = find_comparison(figures.comparisons, main, rival, "ndcg")
    sentences = [
        _evidence(figures, contenders, main, rival, comparison),
        *_ahead(figures, contenders),
        *_variety(figures, contenders),
    ]
    return Verdict(_headline(figures, main, rival, comparison), sentences, tiles)


def find_comparison(
    comparisons: Sequence[Comparison], first: str, second: str, figure: str
) -> Comparison | None:
    """Returns the test between two contenders in this order; None if there is none."""
    for one in comparisons:
        if one.figure == figure and (one.first, one.second) == (first, second):
            return one
        if one.figure == figure and (one.first, one.second) == (second, first):
            return Comparison(first, second, figure, -one.difference, one.p_value)
    return None


def is_significant(comparison: Comparison) -> bool:
    """Returns whether the difference is significant."""
    return comparison.p_value < SIGNIFICANT and comparison.difference.value != 0


def _headline(figures: Figures, main: str, rival: str, comparison: Comparison | None) -> str:
    ours = figure_of(figures, main, "ndcg").value
    theirs = figure_of(figures, rival, "ndcg").value
    if not math.isfinite(ours - theirs):
        return "Personal lists and the popular one cannot be compared: a figure is missing."
    if comparison is not None and not is_significant(comparison):
        return "No significant difference between personal lists and the popular one."
    if ours == theirs:
        return "Personal lists and the popular one do equally well."
    if ours < theirs:
        return f"The popular list beats personal ones{_times(theirs, ours, figures.k)}."
    return f"Personal lists beat the popular one{_times(ours, theirs, figures.k)}."


def _times(larger: float, smaller: float, k: int) -> str:
    if smaller <= 0:
        return f", which has no NDCG@{k} at all"
    ratio = larger / smaller
    if ratio < 1.5:
        return f" by {percent(ratio - 1)} in NDCG@{k}"
    return f": {number(ratio, 1 if ratio < 20 else 0)} times its NDCG@{k}"


def _evidence(
    figures: Figures,
    contenders: Contenders,
    main: str,
    rival: str,
    comparison: Comparison | None,
) -> str:
    values = " and ".join(
        f"{contenders.label(name)} {with_interval(figure_of(figures, name, 'ndcg'))}"
        for name in (main, rival)
    )
    start = f"NDCG@{figures.k} is the mean over {plural(figures.users, 'user')}: {values}"
    if comparison is None or not math.isfinite(comparison.difference.value):
        return f"{start}. The difference was not tested."
    difference = comparison.difference
    bounds = f", 95 % interval {interval_of(difference)}" if interval_of(difference) else ""
    tested = f"the difference is {signed(difference.value)}{bounds}, {p_value(comparison.p_value)}"
    if is_significant(comparison) or difference.value == 0:
        return f"{start}; {tested} in a paired test."
    return f"{start}; {tested} in a paired test, so chance may have made it."


def _ahead(figures: Figures, contenders: Contenders) -> list[str]:
    """Returns a sentence about the best contender that is ahead of the main one; none without."""
    main = contenders.main
    best = figures.ahead_of(main)
    if best is None or best == contenders.rival:  # of the rival the headline tells
        return []
    comparison = find_comparison(figures.comparisons, best, main, "ndcg")
    is_sure = comparison is None or is_significant(comparison)
    ours, theirs = (number(figure_of(figures, name, "ndcg").value) for name in (main, best))
    return [
        f"{contenders.label(best)} is {'ahead of' if is_sure else 'level with'} "
        f"{contenders.label(main)} in NDCG@{figures.k}: {theirs} against {ours}"
        + (f", {p_value(comparison.p_value)}." if comparison is not None else ".")
    ]


def _variety(figures: Figures, contenders: Contenders) -> list[str]:
    """Returns a sentence about variety; none if it was not measured."""
    main, rival = contenders.main, contenders.rival
    label = contenders.label(main)
    shown = figure_of(figures, main, "coverage_items").value
    if not math.isfinite(shown):
        return []
    gini = number(figure_of(figures, main, "gini").value)
    share = percent(figure_of(figures, main, "coverage").value)
    whole = f"{share} of the catalogue"
    if figures.users < figures.users_with_test:
        whole += f" in the lists of {plural(figures.users, 'user')}"
    if rival is None:
        return [f"{label} shows {count(shown)} different artists, {whole}; Gini {gini}."]
    theirs = figure_of(figures, rival, "coverage_items").value
    their_gini = number(figure_of(figures, rival, "gini").value)
    start = "Personal lists are more varied" if shown > theirs else "The price is variety"
    if shown == theirs:
        start = "Variety stays as it is"
    sentence = (
        f"{start}: {label} shows {count(shown)} different artists ({whole}), "
        f"{contenders.label(rival)} {count(theirs)}; Gini {gini} against {their_gini}."
    )
    few = places_to_reach(figures.exposure[main]) if main in figures.exposure else 0
    if not few:
        return [sentence]
    half = "Even so, half" if shown > theirs else "Half"
    return [f"{sentence} {half} of the places in its lists go to {plural(few, 'artist')}."]


def _tiles(figures: Figures, contenders: Contenders) -> list[Tile]:
    kinds = (
        (f"NDCG@{figures.k}", "ndcg", number),
        (f"of a list of {figures.k} are hits", "precision", percent),
        ("of users get a hit", "hit_rate", percent),
        ("artists shown", "coverage_items", count),
    )
    tiles = []
    for label, name, write in kinds:
        value = figure_of(figures, contenders.main, name).value
        if not math.isfinite(value):
            continue
        beside = ""
        if contenders.rival is not None:
            theirs = figure_of(figures, contenders.rival, name).value
            beside = f"{contenders.label(contenders.rival)}: {write(theirs)}"
        tiles.append(Tile(label, write(value), beside))
    return tiles
