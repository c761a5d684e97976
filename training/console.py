"""What the command line shows: tables on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from training.datasets import DATASETS
from training.pipeline import Figures, Prepared

_FIGURES: Final = {
    "precision": "Precision",
    "recall": "Recall",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
    "coverage_items": "Artists shown",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "gini": "Gini",
}


@dataclass(frozen=True, slots=True)
class Bars:
    """Progress bars on stderr, one for each step; a repeated step gets a new bar."""

    progress: Progress

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Starts a bar."""
        task = self.progress.add_task(escape(name), total=total)
        return lambda done: self.progress.advance(task, done)


def _console(stream: TextIO) -> Console:
    # A file or a pipe has no width that tables should be cut to.
    return Console(file=stream, width=None if stream.isatty() else 200)


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of a command.

    Attributes:
        out: stdout, for results.
        err: stderr, for everything else.
        quiet: whether tables are left out, because the result is JSON.
    """

    quiet: bool = False
    out: Console = field(default_factory=lambda: _console(sys.stdout))
    err: Console = field(default_factory=lambda: _console(sys.stderr))

    @contextmanager
    def bars(self) -> Iterator[Bars]:
        """Shows progress bars while the block runs."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.err,
        ) as progress:
            yield Bars(progress)

    def show(self, what: RenderableType) -> None:
        """Prints a sentence as it is, or a table; unless quiet."""
        if not self.quiet:
            self.out.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))

    def note(self, message: str) -> None:
        """Prints something worth knowing, on stderr."""
        self.err.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """Prints JSON."""
        self.out.print_json(data=value)

    def error(self, message: str) -> None:
        """Prints an error in one paragraph."""
        self.err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def records_table(prepared: Prepared) -> Group:
    """Shows what was read, what fell out and why."""
    rows = prepared.records.rows
    table = _table("", "rows", "users", "artists")
    table.add_row("rows in the files", f"{rows.read:,}", "", "")
    for reason, count in sorted(rows.dropped.items(), key=lambda entry: -entry[1]):
        table.add_row(f"  left out: {escape(reason)}", f"-{count:,}", "", "")
    for remark, count in sorted(rows.noted.items(), key=lambda entry: -entry[1]):
        table.add_row(f"  kept: {escape(remark)}", f"{count:,}", "", "", style="dim")
    for step in prepared.steps:
        table.add_row(step.name, f"{step.records:,}", f"{step.users:,}", f"{step.items:,}")
    return _titled(f"What was read of {prepared.records.dataset}", table)


def figures_table(figures: Figures) -> Group:
    """Shows the figures of all contenders, with their spread where there are repeats."""
    first = figures.evaluations[0]
    repeats = len(figures.evaluations)
    spread = f"; mean ± deviation of {repeats} splits" if repeats > 1 else ""
    table = _table("", *first.models)
    for name, label in _FIGURES.items():
        cells = []
        for contender in first.models:
            mean = figures.mean(contender, name)
            form = ",.0f" if name == "coverage_items" else ".4f"
            cell = f"{mean:{form}}"
            if repeats > 1:
                cell += f" ± {figures.deviation(contender, name):{form}}"
            cells.append(cell)
        table.add_row(label, *cells)
    users = f"{first.users:,} users with test artists"
    return _titled(f"Measured at k = {first.k} on {users}{spread}", table)


def datasets_list() -> Group:
    """Shows the known datasets."""
    entries: list[RenderableType] = []
    for dataset in DATASETS.values():
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("files", escape(", ".join(dataset.files)))
        table.add_row("from", escape(dataset.source))
        table.add_row("licence", escape(dataset.licence))
        title = Text.assemble((dataset.name, "bold"), f": {dataset.description}")
        entries += [title, table, Text()]
    return Group(*entries)


def versions_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Shows published versions."""
    table = _table("version", "users", "artists", "NDCG")
    table.add_column("dataset", overflow="fold")
    table.add_column("state", overflow="fold")
    titles = ("version", "users", "artists", "NDCG", "dataset", "state")
    for row in rows:
        table.add_row(*(escape(row.get(title, "")) for title in titles))
    return table


def _titled(title: str, table: Table) -> Group:
    # Not the table's own title, which wraps at the table's width.
    return Group(Text(title, style="bold"), table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=first != "", overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table
