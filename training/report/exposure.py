"""Exposure: how the places in the lists are shared among the artists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from training.measuring.figures import Figures
from training.numbers import joined, percent, plural
from training.report.axes import label_ticks, log_x, point, title_y
from training.report.contenders import Contenders
from training.report.elements import Chart, Key, Section, key_of, mark_key
from training.report.svg import INK, MUTED, draw

_POINTS: Final = 150
_QUARTERS: Final = (0, 0.25, 0.5, 0.75, 1)


def exposure_section(figures: Figures, contenders: Contenders) -> Section | None:
    """Returns the section about exposure; None where all lists are empty."""
    shown = {
        name: figures.exposure[name]
        for name in contenders.looks
        if name in figures.exposure and figures.exposure[name].sum() > 0
    }
    if not shown:
        return None
    charts = [_lorenz_chart(shown, contenders), _concentration_chart(shown, contenders)]
    lead = [
        f"How the places in the lists of {_whose(figures)}, {figures.k} each, are shared among the "
        f"{plural(len(next(iter(shown.values()))), 'artist')} of the training data."
    ]
    return Section("exposure", "Who gets shown", lead, charts)


def _whose(figures: Figures) -> str:
    if figures.folds > 1:
        return "the first fold's users"
    return plural(figures.users, "user")


def places_to_reach(exposure: NDArray[np.int64], share: float = 0.5) -> int:
    """Returns the number of most shown artists that take a share of all places together.

    Args:
        exposure: int64, shape (n_items,), places of each item.
        share: of all places, above 0.

    Returns:
        The smallest such number; 0 without places.
    """
    total = int(exposure.sum())
    if total == 0:
        return 0
    taken = np.cumsum(np.sort(exposure)[::-1])
    return int(np.searchsorted(taken, share * total)) + 1


def lorenz(exposure: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the Lorenz curve, thinned to a few hundred points.

    Args:
        exposure: int64, shape (n_items,), places of each item, some above zero.

    Returns:
        Share of the items, least shown first, and share of the places that they take; both
        float64, from 0 to 1.
    """
    taken = np.concatenate([[0], np.cumsum(np.sort(exposure))])
    shares = taken / taken[-1]
    # Even steps in both directions, since the curve begins flat and ends steep.
    chosen = _thin(len(taken), shares)
    return chosen / (len(taken) - 1), shares[chosen]


def _thin(size: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    along = np.linspace(0, size - 1, _POINTS).round().astype(np.int64)
    up = np.searchsorted(shares, np.linspace(0, 1, _POINTS))
    is_zero = int(np.searchsorted(shares, 0, side="right")) - 1  # the last point on the floor
    return np.unique(np.concatenate([along, np.minimum(up, size - 1), [is_zero]]))


def _lorenz_chart(shown: Mapping[str, NDArray[np.int64]], contenders: Contenders) -> Chart:
    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        for name, exposure in shown.items():
            look = contenders.looks[name]
            xs, ys = lorenz(exposure)
            axes.plot(xs, ys, color=look.colour, linestyle=look.linestyle, clip_on=False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_locator(FixedLocator(_QUARTERS))
        axes.yaxis.set_major_locator(FixedLocator(_QUARTERS))
        axes.set_xlabel("share of artists, least shown first")
        title_y(axes, "share of places")
        label_ticks(axes, share="xy")

    title = "Lorenz curve of exposure"
    svg = draw(
        paint,
        ident="exposure-lorenz",
        title=title,
        description="Share of places over share of artists, one curve for each model; the dotted "
        "diagonal would be equal shares.",
    )
    keys = [_line_key(contenders, name) for name in shown]
    keys.append(mark_key("equal shares", MUTED, dash="1 2"))
    return Chart(title, svg, _never_shown(shown, contenders), keys)


def _never_shown(shown: Mapping[str, NDArray[np.int64]], contenders: Contenders) -> str:
    parts = []
    for name, exposure in shown.items():
        never = int((exposure == 0).sum())
        share = percent(never / len(exposure))
        parts.append(f"{contenders.label(name)} never shows {plural(never, 'artist')} ({share})")
    return f"{joined(parts[:2])}."  # the main one and its rival come first


def _line_key(contenders: Contenders, name: str) -> Key:
    look = contenders.looks[name]
    return mark_key(look.label, look.colour, dash=" ".join(f"{one:g}" for one in look.dash))


def _concentration_chart(shown: Mapping[str, NDArray[np.int64]], contenders: Contenders) -> Chart:
    longest = max(int((exposure > 0).sum()) for exposure in shown.values())

    def paint(axes: Axes) -> None:
        if longest > 1:
            log_x(axes, [1, longest])
        axes.axhline(0.5, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
        for name, exposure in shown.items():
            look = contenders.looks[name]
            taken = np.cumsum(np.sort(exposure)[::-1])
            taken = taken[: int((exposure > 0).sum())] / taken[-1]
            ranks = np.unique(np.geomspace(1, len(taken), _POINTS).round().astype(np.int64))
            axes.plot(
                ranks, taken[ranks - 1], color=look.colour, linestyle=look.linestyle, clip_on=False
            )
            half = places_to_reach(exposure)
            point(axes, half, taken[half - 1], look)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_locator(FixedLocator(_QUARTERS))
        axes.set_xlabel("artists, most shown first, logarithmic")
        title_y(axes, "share of places")
        label_ticks(axes, share="y")

    title = "How many artists take the places"
    svg = draw(
        paint,
        ident="exposure-concentration",
        title=title,
        description="Share of places that the most shown artists take together, one curve for each "
        "model; marks where half is reached.",
    )
    halves = [
        f"{plural(places_to_reach(exposure), 'artist')} with {contenders.label(name)}"
        for name, exposure in shown.items()
    ]
    keys = [key_of(contenders.looks[name]) for name in shown]
    return Chart(title, svg, f"Half of all places go to {joined(halves)}.", keys)
