"""Convergence: the curve over the iterations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.measuring.convergence import Convergence
from training.numbers import number, plural, round_percent
from training.report import reference_study
from training.report.axes import BEST, TRIED, best_mark, label_ticks, title_y
from training.report.contenders import Contenders
from training.report.elements import Chart, Section, mark_key
from training.report.svg import PAPER, draw
from training.study import Study

# This share of the best value is nearly as good.
NEARLY: Final = 0.99


def convergence_part(study: Study, contenders: Contenders) -> Section | None:
    """Returns the curve over the iterations; None where it was not measured."""
    curve = study.convergence
    if curve is None or not len(curve.ndcg):
        return None
    charts = [_convergence_chart(curve)]
    if study.preset == reference_study.PRESET:
        charts.append(_published_chart(curve, contenders))
    limit = ""
    if curve.patience is not None:
        limit = f" Training stops after {plural(curve.patience, 'iteration')} without a better one."
    lead = [
        f"Accuracy after each iteration is measured on {plural(curve.users, 'user')} of a "
        f"validation part, which is cut from the training part.{limit}"
    ]
    return Section("convergence", "convergence", lead, charts)


def _convergence_chart(curve: Convergence) -> Chart:
    iterations = range(1, len(curve.ndcg) + 1)

    def paint(axes: Axes) -> None:
        axes.plot(iterations, curve.ndcg, color=TRIED, marker="o", markersize=4, clip_on=False)
        best_mark(axes, curve.best, curve.ndcg[curve.best - 1])
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("iterations")
        title_y(axes, f"NDCG@{curve.k} on validation")
        label_ticks(axes)

    title = "Accuracy by iteration"
    svg = draw(
        paint,
        ident="convergence-curve",
        title=title,
        description=f"A curve of NDCG@{curve.k} over the iterations; a diamond marks the best.",
    )
    best = curve.ndcg[curve.best - 1]
    says = (
        f"From {number(curve.ndcg[0])} after the first iteration to {number(best)} after "
        f"{curve.best}, the best"
    )
    nearly = next((i for i, ndcg in enumerate(curve.ndcg, 1) if ndcg >= NEARLY * best), None)
    if nearly is not None and nearly < curve.best:
        says += f"; {round_percent(NEARLY)} of that is there after {nearly}"
    keys = [mark_key("each iteration", TRIED, "o", dash=""), mark_key("best", BEST, "D")]
    return Chart(title, svg, f"{says}.", keys)


def _published_chart(curve: Convergence, contenders: Contenders) -> Chart:
    """Draws the published curve and ours, each as a share of its best value.

    The measures differ, so the values themselves cannot share an axis.
    """
    look = contenders.looks[contenders.main]
    ours = _shares(curve.ndcg)
    published = _shares(list(reference_study.CONVERGENCE.values()))
    iterations = list(reference_study.CONVERGENCE)

    def paint(axes: Axes) -> None:
        axes.plot(range(1, len(ours) + 1), ours, color=look.colour, marker="o", markersize=4)
        axes.plot(
            iterations,
            published,
            color=look.colour,
            linestyle=(0, (5, 2.5)),
            marker="o",
            markerfacecolor=PAPER,
            markeredgewidth=1.5,
            linewidth=1.3,
        )
        axes.set_ylim(0, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("iterations")
        title_y(axes, "share of the best value")
        label_ticks(axes, share="y")

    title = "Beside the published curve"
    svg = draw(
        paint,
        ident="convergence-published",
        title=title,
        description="Two curves over the iterations, ours and the published one, each as a share "
        "of its best value.",
    )
    values = ", ".join(f"{number(p)} ({i})" for i, p in reference_study.CONVERGENCE.items())
    says = (
        f"Published: Precision@{reference_study.K} on test users, with the iterations in brackets, "
        f"{values}. Ours is NDCG@{curve.k} on validation users, so only the shapes can be compared."
    )
    keys = [
        mark_key("ours", look.colour, "o", dash=""),
        mark_key("published", look.colour, "o", dash="5 2.5", hollow=True),
    ]
    return Chart(title, svg, says, keys)


def _shares(values: Sequence[float]) -> list[float]:
    best = max((one for one in values if math.isfinite(one)), default=0)
    return [one / best if best > 0 else 0.0 for one in values]
