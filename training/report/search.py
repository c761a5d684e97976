"""The part about the search: its trials and its best hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from training.numbers import (
    MISSING,
    count,
    duration,
    joined,
    number,
    plural,
    round_percent,
    setting,
    settings,
)
from training.report import reference_study
from training.report.axes import BEST, TRIED, best_mark, label_ticks, log_x, title_y
from training.report.convergence import NEARLY
from training.report.elements import Cell, Chart, Column, Key, Section, Table, mark_key
from training.report.svg import INK, MUTED, PAPER, draw
from training.study import Study
from training.tuning.trials import Search, Trial

_FEW: Final = 7
_WIDE: Final = 4  # listed values with a larger ratio are likely steps by a factor


def search_part(study: Study) -> Section | None:
    """Returns the part about the search; None if there was none."""
    search = study.search
    if search is None or not search.trials:
        return None
    best = best_of(search)
    pruned = sum(trial.pruned for trial in search.trials)
    given_up = f", {count(pruned)} of them given up early" if pruned else ""
    lead = [
        f"The search: {plural(len(search.trials), 'trial')} in "
        f"{duration(sum(trial.seconds for trial in search.trials))}{given_up}, judged by "
        f"NDCG@{search.k} on {plural(search.users, 'user')} of a validation part; "
        f"{_what_it_saw(study)}. The best is trial {best.number} with {number(best.ndcg)}."
    ]
    if not _is_winner(study.parameters, search):
        lead.append("The figures on this page are those of other hyperparameters than the best.")
    if study.preset == reference_study.PRESET:
        lead.append(
            f"The published study made {reference_study.SEARCH_DRAWS} random draws; the best, "
            f"{settings(reference_study.SEARCH_WINNER)}, had a "
            f"Precision@{reference_study.K} of {number(reference_study.SEARCH_BEST)}, measured on "
            "test users."
        )
    charts = []
    if len(_finite(search)) > 1:
        charts.append(_history_chart(search))
        charts += [
            _parameter_chart(search, name, ident=f"search-{place}")
            for place, name in enumerate(parameter_names(search))
            if _is_varied(search, name)
        ]
    return Section("search", "search", lead, charts, [_space_table(search)])


def best_of(search: Search) -> Trial:
    """Returns the best trial."""
    return next((one for one in search.trials if one.number == search.best), search.trials[0])


def parameter_names(search: Search) -> list[str]:
    """Returns the names of the tried hyperparameters, in the order of the space."""
    names = dict.fromkeys(search.space)
    for trial in search.trials:
        names |= dict.fromkeys(trial.parameters)
    return list(names)


def _is_varied(search: Search, name: str) -> bool:
    values = (one.parameters[name] for one in _finite(search) if name in one.parameters)
    return len({setting(value) for value in values}) > 1


def _finite(search: Search) -> list[Trial]:
    return [trial for trial in search.trials if math.isfinite(trial.ndcg)]


def floor_of(search: Search) -> float:
    """Returns the beginning of the axes, so that a few bad trials do not flatten the rest."""
    values = sorted(trial.ndcg for trial in _finite(search))
    if not values:
        return 0.0
    median, best = values[len(values) // 2], values[-1]
    return max(values[0], median - 1.5 * (best - median))


def _history_chart(search: Search) -> Chart:
    trials = _finite(search)
    so_far = np.maximum.accumulate([-math.inf if t.pruned else t.ndcg for t in trials])

    def paint(axes: Axes) -> None:
        _trials(axes, search, [trial.number for trial in trials], trials)
        is_there = np.isfinite(so_far)
        numbers = np.array([trial.number for trial in trials])
        axes.step(
            numbers[is_there], so_far[is_there], where="post", color=INK, linewidth=1.2, zorder=2
        )
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("trial")
        title_y(axes, f"NDCG@{search.k}")
        label_ticks(axes, y=False)

    title = "The course of the search"
    svg = draw(
        paint,
        ident="search-history",
        title=title,
        description=f"Dots of NDCG@{search.k} by trial, and a line of the best so far.",
    )
    best = best_of(search)
    # The first trial that was nearly as good.
    near = next((t for t in trials if not t.pruned and t.ndcg >= NEARLY * best.ndcg), best)
    says = f"The best came as trial {best.number}"
    if near.number != best.number:
        says += f"; trial {near.number} was already within {round_percent(1 - NEARLY)} of it"
    keys = [*_keys(search), mark_key("best so far", INK, dash="")]
    return Chart(title, svg, f"{says}.{_below(search)}", keys)


def _keys(search: Search) -> list[Key]:
    keys = [mark_key("finished", TRIED, "o")]
    if any(trial.pruned for trial in search.trials):
        keys.append(mark_key("given up early", MUTED, "X"))
    return [*keys, mark_key("best", BEST, "D")]


def _below(search: Search) -> str:
    number = sum(trial.ndcg < floor_of(search) for trial in _finite(search))
    if not number:
        return ""
    return f" Below the axis, and so drawn on it: {plural(number, 'trial')}."


def _trials(axes: Axes, search: Search, xs: Sequence[float], trials: Sequence[Trial]) -> None:
    """Draws trials as dots, the pruned ones as crosses, the best one as a diamond."""
    floor = floor_of(search)
    ys = [max(trial.ndcg, floor) for trial in trials]
    for is_pruned, marker, colour in ((True, "x", MUTED), (False, "o", TRIED)):
        chosen = [place for place, trial in enumerate(trials) if trial.pruned == is_pruned]
        axes.plot(
            [xs[place] for place in chosen],
            [ys[place] for place in chosen],
            marker,
            color=colour,
            markersize=4.5,
            markeredgewidth=1.2 if is_pruned else 0.6,
            markeredgecolor=colour if is_pruned else PAPER,
            clip_on=False,
            zorder=3,
        )
    for x, trial in zip(xs, trials, strict=True):
        if trial.number == search.best:
            best_mark(axes, x, trial.ndcg)
    high = max((trial.ndcg for trial in _finite(search)), default=1.0)
    room = (high - floor) or high or 1.0
    axes.set_ylim(floor - 0.06 * room, high + 0.1 * room)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def _parameter_chart(search: Search, name: str, *, ident: str) -> Chart:
    trials = [trial for trial in _finite(search) if name in trial.parameters]
    values = [trial.parameters[name] for trial in trials]
    is_numeric = all(_is_number(value) for value in values)
    categories = [] if is_numeric else sorted({setting(value) for value in values})
    label = name.replace("_", " ")

    def paint(axes: Axes) -> None:
        axes.margins(x=0.06)
        if is_numeric:
            _trials(axes, search, [float(value) for value in values], trials)
            _scale(axes, [float(value) for value in values], search.space.get(name, ""))
        else:
            xs = [
                _beside(categories.index(setting(value)), t.number)
                for value, t in zip(values, trials, strict=True)
            ]
            _trials(axes, search, xs, trials)
            axes.set_xticks(range(len(categories)), categories)
            axes.set_xlim(-0.5, len(categories) - 0.5)
        title_y(axes, f"NDCG@{search.k}")

    svg = draw(
        paint,
        ident=ident,
        title=label,
        description=f"Dots of NDCG@{search.k} over {label}, one for each trial.",
        height=190,
    )
    says = _numbers_say(search, name, trials) if is_numeric else _words_say(name, trials)
    return Chart(label, svg, says)


def _beside(place: int, number: int) -> float:
    """Returns the place of a trial beside the tick of its category, so that dots do not overlap."""
    return place + (number * 0.618 % 1 - 0.5) * 0.5


def _what_it_saw(study: Study) -> str:
    if study.figures.folds == 1:
        return "the test part was not used"
    return "it used no test pair of the first fold, but those of the other folds"


def _is_winner(parameters: Mapping[str, Any], search: Search) -> bool:
    best = best_of(search).parameters
    return all(parameters.get(name) == value for name, value in best.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scale(axes: Axes, values: Sequence[float], space: str) -> None:
    distinct = sorted(set(values))
    is_range = " to " in space and "log" not in space
    if not is_range and distinct[0] > 0 and distinct[-1] / distinct[0] >= _WIDE:
        log_x(axes, distinct)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if len(distinct) <= _FEW and " to " not in space:
        axes.xaxis.set_major_locator(FixedLocator(distinct))
        axes.xaxis.set_minor_locator(NullLocator())
    label_ticks(axes, y=False)


def _numbers_say(search: Search, name: str, trials: Sequence[Trial]) -> str:
    best = best_of(search).parameters.get(name)
    good = sorted((t for t in trials if not t.pruned), key=lambda t: -t.ndcg)[:5]
    says = f"Best: {setting(best)}." if best is not None else ""
    values = [trial.parameters[name] for trial in good]
    if len(good) > 1:
        low, high = setting(min(values)), setting(max(values))
        where = f"are all at {low}" if low == high else f"lie from {low} to {high}"
        says += f" The {len(good)} best trials {where}."
    return says.strip()


def _words_say(name: str, trials: Sequence[Trial]) -> str:
    groups: dict[str, list[float]] = {}
    for trial in trials:
        groups.setdefault(setting(trial.parameters[name]), []).append(trial.ndcg)
    ordered = sorted(groups.items(), key=lambda entry: -max(entry[1]))
    parts = [
        f"{value} {number(max(ndcg))} in {plural(len(ndcg), 'trial')}" for value, ndcg in ordered
    ]
    return f"The best of each: {joined(parts)}."


def _space_table(search: Search) -> Table:
    columns = [
        Column("Hyperparameter", numeric=False),
        Column("Searched", numeric=False),
        Column("Best trial"),
    ]
    best = dict(best_of(search).parameters)
    if best_of(search).curve:
        best.setdefault("iterations", best_of(search).iterations)
    rows = [
        [
            Cell(name.replace("_", " ")),
            Cell(search.space.get(name, "")),
            Cell(setting(best[name]) if name in best else MISSING),
        ]
        for name in parameter_names(search)
    ]
    return Table("What was searched, and what won", columns, rows)
