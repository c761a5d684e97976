"""Accuracy and variety: coverage of the lists, and the curve of the discovery dial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.measuring.measures import MEASURES
from training.numbers import count, number, percent, plural, setting, signed, written
from training.report import reference_study
from training.report.axes import annotate_along, from_zero, label_ticks, log_x, point, title_y
from training.report.contenders import Contenders, figure_of
from training.report.elements import (
    Cell,
    Chart,
    Column,
    Section,
    Table,
    key_of,
    mark_key,
    published_key,
)
from training.report.svg import draw
from training.study import DIAL_MEASURES, DiscoveryPoint, Study

# Share of the NDCG without discovery that a setting has to reach.
_LEAST_NDCG: Final = 0.95


def variety_section(study: Study, contenders: Contenders) -> Section:
    """Returns the section about accuracy and variety."""
    charts = [_coverage_chart(study, contenders)]
    tables = []
    if study.discovery:
        charts += [
            _dial_chart(study, contenders, "novelty", "novelty, bits"),
            _dial_chart(study, contenders, "gini", "Gini, to the right more even"),
        ]
        tables.append(_dial_table(study.discovery, study.figures.k))
    lead = ["Up is more accurate, to the right more varied."]
    if study.discovery:
        label = contenders.label(contenders.main)
        lead.append(
            f"The discovery dial discounts the scores of {label} by the popularity of an artist; "
            "0 is off. The numbers along the curve are its settings."
            + _other_users(study, contenders)
        )
    return Section("variety", "Accuracy and variety", lead, charts, tables)


def _other_users(study: Study, contenders: Contenders) -> str:
    """Returns a remark if the curve was measured on other lists than the models; or nothing."""
    off = study.discovery[0]
    shown = figure_of(study.figures, contenders.main, "coverage_items").value
    if off.discovery != 0 or off.coverage_items == shown:
        return ""
    return (
        " The curve comes from a sample of users or from one fold alone: at 0 it shows "
        f"{plural(off.coverage_items, 'artist')}, not {count(shown)}."
    )


def _coverage_chart(study: Study, contenders: Contenders) -> Chart:
    figures = study.figures
    look = contenders.looks[contenders.main]
    places = {
        name: (
            figure_of(figures, name, "coverage_items").value,
            figure_of(figures, name, "ndcg").value,
        )
        for name in contenders.looks
    }
    places = {
        name: place for name, place in places.items() if place[0] > 0 and math.isfinite(place[1])
    }
    published = _published(study, contenders)
    curve = [(point.coverage_items, point.ndcg) for point in study.discovery]
    xs = [x for x, _ in [*places.values(), *published.values(), *curve] if x > 0]

    def paint(axes: Axes) -> None:
        if xs:
            log_x(axes, xs)
        for name, (x, y) in places.items():
            point(axes, x, y, contenders.looks[name])
        for name, (x, y) in published.items():
            point(axes, x, y, contenders.looks[name], hollow=True)
        axes.margins(x=0.1, y=0.15)
        if curve:
            _dial_curve(axes, study.discovery, [x for x, _ in curve], look.colour)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        from_zero(axes)
        axes.set_xlabel("different artists shown, logarithmic")
        title_y(axes, f"NDCG@{figures.k}")
        label_ticks(axes)

    title = "Accuracy against coverage"
    svg = draw(
        paint,
        ident="variety-coverage",
        title=title,
        description=(
            f"One point for each model: NDCG@{figures.k} over the number of different artists in "
            "its lists" + ("; a curve for the discovery dial." if curve else ".")
        ),
    )
    keys = [key_of(contenders.looks[name], line=False) for name in contenders.looks]
    keys += [published_key(contenders.looks[name]) for name in published]
    if curve:
        keys.append(mark_key("discovery dial", look.colour, dash=""))
    return Chart(title, svg, _coverage_says(study, contenders), keys)


def _published(study: Study, contenders: Contenders) -> dict[str, tuple[float, float]]:
    if study.preset != reference_study.PRESET or study.figures.k != reference_study.K:
        return {}
    return {
        name: (reference_study.MODELS[name]["coverage_items"], reference_study.MODELS[name]["ndcg"])
        for name in contenders.looks
        if name in reference_study.MODELS
    }


def _dial_curve(
    axes: Axes, points: Sequence[DiscoveryPoint], xs: Sequence[float], colour: str
) -> None:
    ys = [point.ndcg for point in points]
    axes.plot(xs, ys, color=colour, marker="o", markersize=3.2, linewidth=1.5, zorder=3)
    annotate_along(axes, xs, ys, [setting(point.discovery) for point in points])


def _coverage_says(study: Study, contenders: Contenders) -> str:
    parts = []
    for name in (contenders.main, contenders.rival):
        if name is not None:
            shown = figure_of(study.figures, name, "coverage_items").value
            ndcg = figure_of(study.figures, name, "ndcg").value
            parts.append(
                f"{contenders.label(name)} shows {plural(shown, 'artist')} "
                f"at NDCG@{study.figures.k} {number(ndcg)}"
            )
    says = f"{', '.join(parts)}."
    dial = affordable(study.discovery)
    if dial is None:
        return says
    off = study.discovery[0]
    return (
        f"{says} With the dial at {setting(dial.discovery)} it is {count(dial.coverage_items)} "
        f"artists instead of {count(off.coverage_items)}, at {percent(dial.ndcg / off.ndcg)} of "
        "the NDCG."
    )


def affordable(points: Sequence[DiscoveryPoint]) -> DiscoveryPoint | None:
    """Returns the setting with most artists at 95 % of the NDCG or more; None if there is none."""
    if not points or points[0].discovery != 0 or not points[0].ndcg > 0:
        return None
    off = points[0]
    good = [point for point in points[1:] if point.ndcg >= _LEAST_NDCG * off.ndcg]
    best = max(good, key=lambda point: point.coverage_items, default=off)
    return best if best.coverage_items > off.coverage_items else None


def _dial_chart(study: Study, contenders: Contenders, name: str, x: str) -> Chart:
    points = study.discovery
    look = contenders.looks[contenders.main]
    xs = [float(getattr(point, name)) for point in points]

    def paint(axes: Axes) -> None:
        axes.margins(x=0.1, y=0.2)
        _dial_curve(axes, points, xs, look.colour)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        from_zero(axes)
        if name == "gini":
            axes.invert_xaxis()
        axes.set_xlabel(x)
        title_y(axes, f"NDCG@{study.figures.k}")
        label_ticks(axes)

    title = f"Accuracy against {'Gini' if name == 'gini' else name}"
    svg = draw(
        paint,
        ident=f"variety-{name}",
        title=title,
        description=f"A curve of NDCG@{study.figures.k} over {x}, along the settings of the dial.",
    )
    first, last = points[0], points[-1]
    says = (
        f"From {setting(first.discovery)} to {setting(last.discovery)}, "
        f"{'Gini' if name == 'gini' else name} goes from {number(xs[0])} to {number(xs[-1])} and "
        f"NDCG@{study.figures.k} from {number(first.ndcg)} to {number(last.ndcg)} "
        f"({signed(last.ndcg - first.ndcg)})."
    )
    return Chart(title, svg, says)


def _dial_table(points: Sequence[DiscoveryPoint], k: int) -> Table:
    measures = [MEASURES[name] for name in DIAL_MEASURES]
    columns = [
        Column("Discovery", numeric=False),
        *(Column(measure.title(k)) for measure in measures),
    ]
    rows = [
        [
            Cell(setting(point.discovery)),
            *(Cell(written(getattr(point, measure.name), measure.form)) for measure in measures),
        ]
        for point in points
    ]
    return Table("The figures by setting of the dial", columns, rows, folded=True)
