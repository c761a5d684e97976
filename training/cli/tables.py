"""The tables and sentences that commands show; ``Output.show`` takes their texts literally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.events.event_types import EACH_TYPES, OPINION_TYPES, EventType
from app.schemas.times import write_time
from app.store.entries import Statistics
from app.text import visible
from training.data.records import RowCounts
from training.datasets import DATASETS
from training.measuring.convergence import Convergence
from training.measuring.figures import Comparison, Estimate, Figures
from training.measuring.measures import NDCG, PRECISION, Measure, shown
from training.numbers import (
    SIGNIFICANT,
    Form,
    count,
    interval_of,
    p_value,
    plainly,
    plural,
    settings,
)
from training.pipeline import Provenance, describe_period
from training.study import DiscoveryPoint
from training.tuning.trials import Search, Trial

_CURVE_COLUMNS: Final = 10
_BEST: Final = 5
_OF_VERSION: Final = ("dataset", "period", "preset", "blocks")
_SHORT: Final = {"relative_regularization": "regularization (relative)"}

_EVENTS: Final = {
    "events in the store": "events",
    "  plays added": "plays",
    "  plays that the dataset holds already": "plays_in_data",
    "  plays of a second in which the dataset has them, counted once": "plays_in_both",
    **{f"  {kind.effect.past} artists": kind.plural for kind in OPINION_TYPES},
    **{f"  {kind.plural}": kind.plural for kind in EACH_TYPES},
}


def records_table(provenance: Provenance) -> Group:
    """Shows the rows that were read, and those that were left out with the reason."""
    rows = provenance.rows
    table = _table("", "rows", "users", "artists")
    if rows.read:
        table.add_row("rows in the files", count(rows.read), "", "")
    for reason, number in sorted(rows.dropped.items(), key=lambda entry: -entry[1]):
        label = f"  left out: {reason}{_example(rows, reason)}"
        table.add_row(label, f"-{count(number)}", "", "")
    for remark, number in sorted(rows.noted.items(), key=lambda entry: -entry[1]):
        label = f"  kept: {remark}{_example(rows, remark)}"
        users, items = (
            count(ids[remark]) if remark in ids else ""
            for ids in (rows.noted_users, rows.noted_items)
        )
        table.add_row(label, count(number), users, items, style="dim")
    for label, name in _EVENTS.items():
        if number := (provenance.events or {}).get(name, 0):
            table.add_row(label, count(number), "", "")
    for step in provenance.steps:
        table.add_row(step.name, count(step.records), count(step.users), count(step.items))
    parts: list[RenderableType] = [_titled(f"What was read of {provenance.dataset}", table)]
    if (period := describe_period(provenance.period)) is not None:
        parts.append(Text(f"The records are from {period['first']} to {period['last']}"))
    return Group(*parts)


def _example(rows: RowCounts, what: str) -> str:
    return f", {rows.examples[what]}" if what in rows.examples else ""


def figures_table(figures: Figures) -> Group:
    """Shows the figures of all contenders with intervals, paired tests, cut-offs and bands."""
    users = plural(figures.users, "user")
    if figures.users < figures.users_with_test:
        users = f"{count(figures.users)} of {plural(figures.users_with_test, 'user')}"
    folds = f"; means of {figures.folds} folds" if figures.folds > 1 else ""
    title = f"Measured at k = {figures.k} on {users} with test artists{folds}"
    parts: list[RenderableType] = [
        _titled(title, _measures(figures)),
        Text(
            "± is half of the 95 % bootstrap interval over users; p is of the paired t-test", "dim"
        ),
        *(
            Text(_sentence(one, PRECISION))
            for one in figures.comparisons
            if one.figure == PRECISION.name
        ),
        *(Text(sentence, "bold") for sentence in _ahead(figures)),
        *(Text(sentence, "dim") for sentence in _searched(figures)),
        Text(),
        _titled("Precision / NDCG by cut-off", _cutoffs(figures)),
    ]
    if figures.user_bands:
        title = f"NDCG@{figures.k} of users by their artists in training"
        parts += [Text(), _titled(title, _user_bands(figures))]
    if figures.item_bands:
        title = "Artists by popularity: share of test pairs; % of these found / % of places"
        parts += [Text(), _titled(title, _item_bands(figures))]
    return Group(*parts)


def _measures(figures: Figures) -> Table:
    table = _compact("", *figures.models)
    for one in shown(figures.measures):
        estimates = [by_cutoff[figures.k][one.name] for by_cutoff in figures.models.values()]
        table.add_row(one.label, *(_estimate(estimate, one.form) for estimate in estimates))
    return table


def _estimate(estimate: Estimate, form: Form) -> str:
    value = plainly(estimate.value, form)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ±{plainly((estimate.high - estimate.low) / 2, form)}"


def _pair(first: str, second: str) -> str:
    return f"{first} / {second}"


def _sentence(comparison: Comparison, measure: Measure) -> str:
    first, second, difference = comparison.first, comparison.second, comparison.difference
    amount = f"{plainly(abs(difference.value), Form.NUMBER)} in {measure.label}"
    if comparison.p_value >= SIGNIFICANT:
        what = f"{first} and {second} differ by {amount}, perhaps by chance"
    else:
        verb = "beats" if difference.value > 0 else "falls behind"
        what = f"{first} {verb} {second} by {amount}"
    bounds = interval_of(-difference if difference.value < 0 else difference, plain=True)
    sure = p_value(comparison.p_value, plain=True)
    return f"{what} ({bounds}), {sure}" if bounds else f"{what}, {sure}"


def _ahead(figures: Figures) -> list[str]:
    """Returns the sentence about a contender that is ahead; none without one."""
    against = [one for one in figures.comparisons if one.figure == NDCG.name]
    best = figures.ahead_of(against[0].first) if against else None
    for one in against:
        if one.second == best:
            how = "ahead of" if one.p_value < SIGNIFICANT else "level with"
            ours, theirs = (figures.value(name, NDCG.name) for name in (one.first, one.second))
            return [
                f"{one.second} is {how} {one.first} in NDCG@{figures.k}: {theirs:.4f} against "
                f"{ours:.4f}, {p_value(one.p_value, plain=True)}"
            ]
    return []


def _searched(figures: Figures) -> list[str]:
    """Returns a sentence about the options that each search of a contender chose."""
    sentences = []
    for name, asked in figures.asked.items():
        if "search" not in asked:
            continue
        options = {key: one for key, one in asked.items() if key not in ("strategy", "search")}
        search, where = asked["search"], "there was no validation part to choose by"
        if search["tried"]:
            where = (
                f"{search['objective']} {search['ndcg']:.4f} on "
                f"{plural(search['users'], 'validation user')}, the best of {len(search['tried'])}"
            )
        sentences.append(f"{name}: {settings(options)}; {where}")
    return sentences


def _cutoffs(figures: Figures) -> Table:
    table = _compact("k", *figures.models)
    for cutoff in next(iter(figures.models.values())):
        pairs = [
            _pair(*(f"{figures.value(name, one, cutoff):.4f}" for one in ("precision", "ndcg")))
            for name in figures.models
        ]
        table.add_row(str(cutoff), *pairs)
    return table


def _user_bands(figures: Figures) -> Table:
    table = _compact("", "users", *figures.models)
    for band in figures.user_bands:
        cells = [f"{estimate.value:.4f}" for estimate in band.models.values()]
        table.add_row(band.label, count(band.users), *cells)
    return table


def _item_bands(figures: Figures) -> Table:
    table = _compact("", "artists", "test", *figures.models)
    # The labels are long, so the names of contenders wrap.
    for column in table.columns[3:]:
        column.max_width = 12
    for band in figures.item_bands:
        cells = [
            _pair(f"{100 * band.recall[name]:.1f}", f"{100 * band.exposure[name]:.0f}")
            for name in figures.models
        ]
        table.add_row(band.label, count(band.items), f"{band.test_share:.0%}", *cells)
    return table


def convergence_table(convergence: Convergence) -> Group:
    """Shows the curve on the validation part, with ten iterations in each row."""
    table = _compact("", *(str(place) for place in range(1, _CURVE_COLUMNS + 1)))
    table.padding = 0  # eleven columns in 80
    for start in range(0, len(convergence.ndcg), _CURVE_COLUMNS):
        part = convergence.ndcg[start : start + _CURVE_COLUMNS]
        label = "" if start == 0 else f"after {start}"
        table.add_row(label, *(f"{value:.4f}" for value in part))
    title = (
        f"NDCG@{convergence.k} of {plural(convergence.users, 'validation user')} after each "
        f"iteration; best after {convergence.best}"
    )
    parts: list[RenderableType] = [Text(), _titled(title, table)]
    if convergence.patience is not None:
        iterations = plural(convergence.iterations, "iteration")
        parts.append(Text(f"Early stopping: the model is trained for {iterations}"))
    return Group(*parts)


def discovery_table(points: Sequence[DiscoveryPoint]) -> Group:
    """Shows the measures of the lists by setting of the discovery dial."""
    table = _compact("discovery", "NDCG", "Precision", "Artists", "Coverage", "Novelty", "Gini")
    for point in points:
        table.add_row(
            f"{point.discovery:g}",
            f"{point.ndcg:.4f}",
            f"{point.precision:.4f}",
            count(point.coverage_items),
            f"{point.coverage:.4f}",
            f"{point.novelty:.2f}",
            f"{point.gini:.4f}",
        )
    return Group(Text(), _titled("Lists of als by setting of the discovery dial", table))


def search_table(found: Search) -> Group:
    """Shows the five best trials, one in each column."""
    best = sorted(found.trials, key=lambda trial: -trial.ndcg)[:_BEST]
    table = _compact("", *(f"trial {trial.number}" for trial in best))
    table.add_row(f"NDCG@{found.k}", *(f"{trial.ndcg:.4f}" for trial in best))
    table.add_row("iterations", *(str(trial.iterations) for trial in best))
    for name in dict.fromkeys(name for trial in best for name in trial.parameters):
        table.add_row(name, *(_value(trial.parameters.get(name, "")) for trial in best))
    pruned = sum(trial.pruned for trial in found.trials)
    title = (
        f"The best of {plural(len(found.trials), 'trial')} ({pruned} given up early) on "
        f"{plural(found.users, 'validation user')}"
    )
    return _titled(title, table)


def trial_line(trial: Trial, so_far: Search) -> str:
    """Returns a line with the result of a trial, and the best result so far."""
    values = ", ".join(
        f"{_SHORT.get(name, name)} {_value(value)}" for name, value in trial.parameters.items()
    )
    ending = "given up" if trial.pruned else plural(trial.iterations, "iteration")
    best = f"best {so_far.winner.ndcg:.4f} (trial {so_far.best})"
    return f"trial {trial.number}: {trial.ndcg:.4f}, {best}; {values}; {ending}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def datasets_list() -> Group:
    """Shows the known datasets."""
    entries: list[RenderableType] = []
    for dataset in DATASETS.values():
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("files", ", ".join(dataset.files))
        table.add_row("from", dataset.source)
        table.add_row("licence", dataset.licence)
        title = Text.assemble((dataset.name, "bold"), f": {dataset.description}")
        entries += [title, table, Text()]
    return Group(*entries)


def versions_list(rows: Sequence[Mapping[str, str]]) -> Group:
    """Shows published versions, each on a few lines that fit into 60 columns."""
    entries: list[RenderableType] = []
    for row in rows:
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        size = [f"{row[name]} {name}" for name in ("users", "artists") if name in row]
        lines = {"size": ", ".join(size), **{name: row.get(name, "") for name in _OF_VERSION}}
        if row.get("NDCG"):
            lines[f"NDCG@{row['k']}"] = row["NDCG"]
        for label, text in lines.items():
            if text:
                table.add_row(label, visible(text))
        title = Text(visible(row["version"]), "bold")
        if row.get("state"):
            title.append(f"  {visible(row['state'])}", "not bold")
        entries += [title, table]
    return Group(*entries)


def statistics_table(statistics: Statistics) -> Group:
    """Shows the contents of an event store."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
    table.add_column()
    table.add_column(justify="right")
    for kind in EventType:
        table.add_row(kind.plural, count(statistics.events.get(kind, 0)))
    table.add_row("users", count(statistics.users))
    table.add_row("artists", count(statistics.artists))
    if statistics.first is not None and statistics.last is not None:
        for label, moment in (("first event", statistics.first), ("last event", statistics.last)):
            table.add_row(label, write_time(moment).isoformat(timespec="seconds"))
    table.add_row("erased users", count(statistics.erased_users))
    table.add_row("unavailable artists", count(statistics.unavailable_artists))
    table.add_row("last number", count(statistics.last_sequence))
    for store_id, number in statistics.origins.items():
        table.add_row(f"  those of {store_id} up to", count(number))
    return _titled(f"Event store {statistics.store_id}", table)


def _titled(title: str, table: Table) -> Group:
    # Not the title of the table itself, which wraps at its width.
    return Group(Text(title, style="bold"), table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=first != "", overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _compact(first: str, *others: str) -> Table:
    """Makes a table that four contenders fit into at 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right", overflow="fold")
    return table
