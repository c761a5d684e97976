"""Common drawing functions of the charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from training.measuring.figures import Estimate
from training.numbers import round_percent, tick
from training.report.contenders import Look
from training.report.svg import FONT_SIZE, GRID, INK, MODEL_COLOURS, MUTED, PAPER

BEST: Final = MODEL_COLOURS[1]
TRIED: Final = MODEL_COLOURS[0]

_ROW: Final = 11.0
_LABEL: Final = 21.0
_DISTANCE: Final = 26.0


def label_ticks(axes: Axes, *, x: bool = True, y: bool = True, share: str = "") -> None:
    """Formats the numbers of the ticks.

    Args:
        axes: the axes.
        x: whether to format the x axis.
        y: whether to format the y axis.
        share: ``x``, ``y`` or both letters: axes with shares, shown in per cent.
    """
    for name, wanted, axis in (("x", x, axes.xaxis), ("y", y, axes.yaxis)):
        if wanted:
            write = round_percent if name in share else tick
            axis.set_major_formatter(FuncFormatter(lambda value, _, write=write: write(value)))


def log_x(axes: Axes, values: Sequence[float]) -> None:
    """Makes the x axis logarithmic, with a few round ticks in the range of the values."""
    axes.set_xscale("log")
    low, high = min(values), max(values)
    decades = math.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 1.7 else (1.0, 3.0) if decades < 2.5 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(10, steps, numticks=7))
    axes.xaxis.set_minor_locator(NullLocator())
    if decades < 0.3:
        axes.xaxis.set_major_locator(FixedLocator(sorted({low, high})))
    if low == high:  # no range; matplotlib would choose one, with a warning
        axes.set_xlim(low / 2, high * 2)


def line(
    axes: Axes,
    xs: Sequence[float],
    estimates: Sequence[Estimate],
    look: Look,
) -> None:
    """Draws a contender's line with its markers and the band of its intervals."""
    values = [one.value for one in estimates]
    axes.plot(
        xs,
        values,
        color=look.colour,
        linestyle=look.linestyle,
        marker=look.marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        clip_on=False,
        zorder=3,
    )
    bounds = [(one.low, one.high) for one in estimates]
    lows = [math.nan if low is None else low for low, _ in bounds]
    highs = [math.nan if high is None else high for _, high in bounds]
    if len(xs) > 1:
        axes.fill_between(xs, lows, highs, color=look.colour, alpha=0.14, linewidth=0, zorder=2)
    else:
        axes.vlines(xs, lows, highs, color=look.colour, linewidth=1.4, zorder=2)


def point(axes: Axes, x: float, y: float, look: Look, *, hollow: bool = False) -> None:
    """Draws a contender as a single mark; a published figure is an outline."""
    axes.plot(
        [x],
        [y],
        look.marker,
        color=look.colour,
        markersize=7.5,
        markerfacecolor=PAPER if hollow else look.colour,
        markeredgecolor=look.colour if hollow else PAPER,
        markeredgewidth=1.5 if hollow else 1,
        clip_on=False,
        zorder=4,
    )


def best_mark(axes: Axes, x: float, y: float) -> None:
    """Marks the best of a curve or of many trials."""
    axes.plot(
        [x],
        [y],
        "D",
        color=BEST,
        markersize=7.5,
        markeredgecolor=PAPER,
        markeredgewidth=1,
        clip_on=False,
        zorder=5,
    )


def from_zero(axes: Axes) -> None:
    """Begins the y axis at zero."""
    high = axes.get_ylim()[1]
    axes.set_ylim(0, high if high > 0 else 1)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of dots: a contender, or another mark.

    Attributes:
        estimates: one for each group.
        colour, marker: of its dots.
    """

    estimates: Sequence[Estimate]
    colour: str
    marker: str


def dots_height(groups: int, rows: int) -> float:
    """Returns the height that ``dots`` needs."""
    return 44 + groups * (_LABEL + rows * _ROW + 6)


def dots(axes: Axes, groups: Sequence[str], rows: Sequence[Row]) -> None:
    """Draws groups of dots with intervals, each group under its label.

    Labels are above their dots, not beside them, so that long labels fit on a phone.
    """
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.yaxis.set_visible(False)
    step = _LABEL + len(rows) * _ROW + 6
    for group, label in enumerate(groups):
        top = group * step
        axes.text(
            0, top + 9, label, transform=axes.get_yaxis_transform(), va="center", fontsize=FONT_SIZE
        )
        for place, row in enumerate(rows):
            _dot(axes, row.estimates[group], top + _LABEL + place * _ROW + 2, row)
        if group:
            axes.axhline(top - 4, color=GRID, linewidth=0.8)
    axes.set_ylim(len(groups) * step - 4, -2)
    ends = [end for row in rows for one in row.estimates for end in (one.value, one.high)]
    high = max((end for end in ends if end is not None and math.isfinite(end)), default=0)
    axes.set_xlim(0, high * 1.06 if high > 0 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _dot(axes: Axes, estimate: Estimate, y: float, row: Row) -> None:
    if not math.isfinite(estimate.value):
        return
    axes.hlines(y, 0, estimate.value, color=row.colour, linewidth=1, alpha=0.35)
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(y, estimate.low, estimate.high, color=row.colour, linewidth=1.4)
    axes.plot(
        [estimate.value],
        [y],
        row.marker,
        color=row.colour,
        markeredgecolor=row.colour if row.marker == "|" else PAPER,
        markeredgewidth=1.8 if row.marker == "|" else 0.8,
        markersize=9 if row.marker == "|" else 6.5,
        clip_on=False,
        zorder=3,
    )


def annotate_along(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]
) -> None:
    """Writes labels beside the points of a curve, ends first, as long as they do not overlap."""
    axes.autoscale_view()
    points = axes.transData.transform(np.column_stack([xs, ys]))
    taken: list[int] = []
    for place in (0, *range(len(xs) - 1, 0, -1)):
        if all(np.hypot(*(points[place] - points[other])) > _DISTANCE for other in taken):
            taken.append(place)
            axes.annotate(
                labels[place],
                (xs[place], ys[place]),
                xytext=(5, 5),
                textcoords="offset points",
                color=INK,
                fontsize=FONT_SIZE - 1,
            )


def vertical(axes: Axes, x: float, label: str) -> None:
    """Draws a thin vertical line with a label at its top, on the side that has room."""
    axes.axvline(x, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    axes.autoscale_view()
    place = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
    is_left = place < 0.55
    axes.annotate(
        label,
        (x, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5 if is_left else -5, -2),
        textcoords="offset points",
        ha="left" if is_left else "right",
        va="top",
        color=INK,
        fontsize=FONT_SIZE - 0.5,
    )


def title_y(axes: Axes, what: str) -> None:
    """Writes the label of the y axis above it, since a rotated label takes width."""
    axes.set_title(what, color=MUTED)
