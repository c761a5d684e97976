"""The data: how plays, artists and listeners are distributed."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from app.model.interactions import UserItems
from training.numbers import amount, count, number, percent, plural
from training.report import reference_study
from training.report.axes import from_zero, label_ticks, log_x, title_y, vertical
from training.report.elements import Chart, Section, mark_key
from training.report.svg import INK, MODEL_COLOURS, draw
from training.study import Study

_COLOUR: Final = MODEL_COLOURS[5]


def data_section(study: Study) -> Section | None:
    """Returns the section about the data; None where there are no pairs."""
    user_items = study.user_items
    if user_items.nnz == 0:
        return None
    filled = user_items.nnz / (user_items.n_users * user_items.n_items)
    lead = [
        f"{plural(user_items.nnz, 'pair')} of {plural(user_items.n_users, 'user')} and "
        f"{plural(user_items.n_items, 'artist')}: {percent(filled)} of all possible pairs. "
        "Each bar is twice as wide as the one before it."
    ]
    if study.preset == reference_study.PRESET:
        lead.append(
            f"In the published study: {count(reference_study.PAIRS)} pairs of "
            f"{count(reference_study.USERS)} users and {count(reference_study.ARTISTS)} artists."
        )
    charts = [_plays_chart(user_items), _users_chart(user_items), _artists_chart(user_items)]
    return Section("data", "The data", lead, charts)


def octaves(
    values: NDArray[np.floating] | NDArray[np.integer],
    weights: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns a histogram whose bins begin at the powers of two.

    Args:
        values: above zero.
        weights: of the values, by default 1 each.

    Returns:
        Edges, float64, shape (n_bins + 1,), and the share of the weight in each bin, float64,
        shape (n_bins,).
    """
    low = math.floor(math.log2(float(values.min())))
    high = math.floor(math.log2(float(values.max()))) + 1
    edges = np.exp2(np.arange(low, high + 1, dtype=np.float64))
    counts, _ = np.histogram(values, bins=edges, weights=weights)
    return edges, counts / counts.sum()


def _plays_chart(user_items: UserItems) -> Chart:
    plays = user_items.plays
    median, most = (float(one) for one in np.quantile(plays, (0.5, 0.99)))
    title = "Plays per pair"
    svg = _draw_octaves(plays, median, ident="data-plays", title=title, x="plays", y="of pairs")
    says = (
        f"Half of the pairs have {amount(median)} plays or fewer, one in a hundred has more than "
        f"{amount(most)}; the most is {amount(float(plays.max()))}."
    )
    return Chart(title, svg, says)


def _users_chart(user_items: UserItems) -> Chart:
    lengths = user_items.row_lengths()
    lengths = lengths[lengths > 0]
    median = float(np.median(lengths))
    title = "Artists per user"
    svg = _draw_octaves(lengths, median, ident="data-users", title=title, x="artists", y="of users")
    says = (
        f"A user has {number(float(lengths.mean()), 1)} artists on average, median "
        f"{amount(median)}, from {count(lengths.min())} to {count(lengths.max())}."
    )
    return Chart(title, svg, says)


def _artists_chart(user_items: UserItems) -> Chart:
    listeners = user_items.listeners()
    listeners = listeners[listeners > 0]
    median = float(np.median(listeners))
    title = "Listeners per artist"
    svg = _draw_octaves(
        listeners,
        median,
        ident="data-artists",
        title=title,
        x="listeners",
        y="of artists, of pairs",
        weights=listeners,
    )
    few = max(1, len(listeners) // 100)
    head = float(np.sort(listeners)[-few:].sum() / listeners.sum())
    single = float((listeners == 1).mean())
    top = (
        "artist with most listeners makes"
        if few == 1
        else f"{count(few)} artists with most listeners, 1 % of all, make"
    )
    says = (
        f"Half of the artists have {plural(median, 'listener')} or fewer, {percent(single)} have "
        f"one. The {top} up {percent(head)} of all pairs."
    )
    keys = [mark_key("share of artists", _COLOUR, "s"), mark_key("share of pairs", INK, dash="")]
    return Chart(title, svg, says, keys)


def _draw_octaves(
    values: NDArray[np.floating] | NDArray[np.integer],
    median: float,
    *,
    ident: str,
    title: str,
    x: str,
    y: str,
    weights: NDArray[np.integer] | None = None,
) -> str:
    edges, shares = octaves(values)

    def paint(axes: Axes) -> None:
        log_x(axes, [edges[0], edges[-1]])
        axes.stairs(shares, edges, fill=True, color=_COLOUR, alpha=0.75)
        if weights is not None:
            axes.stairs(octaves(values, weights)[1], edges, color=INK, linewidth=1.5)
        axes.margins(x=0.02, y=0.18)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        from_zero(axes)
        vertical(axes, median, f"median {amount(median)}")
        axes.set_xlabel(f"{x}, logarithmic")
        title_y(axes, f"share {y}")
        label_ticks(axes, share="y")

    return draw(
        paint,
        ident=ident,
        title=title,
        description=f"Histogram of {title.lower()}: share {y} over {x} in doubling steps, with the "
        "median.",
    )
