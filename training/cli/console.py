"""The two streams of a command: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Bars:
    """Progress bars on stderr, one for each step; a repeated step gets a new bar."""

    progress: Progress

    def step(self, name: str, total: int | None) -> Callable[[int], None]:
        """Starts a bar; without a total it only shows that something goes on."""
        task = self.progress.add_task(escape(name), total=total)
        return lambda done: self.progress.advance(task, done)

    def say(self, line: str) -> None:
        """Prints a line above the bars."""
        console = self.progress.console
        # A pipe gets one line; the live display needs to know where a terminal breaks it.
        soft_wrap = not console.is_terminal
        console.print(line, markup=False, highlight=False, soft_wrap=soft_wrap)


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

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Shows on stderr that something goes on while the block runs."""
        return self.err.status(Text(what))

    def show(self, what: RenderableType) -> None:
        """Prints a sentence as it is, or a table; unless quiet."""
        if not self.quiet:
            self.out.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))

    def note(self, message: str) -> None:
        """Prints something worth knowing, on stderr."""
        self.err.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Prints something that is probably wrong, on stderr; nothing for an empty message."""
        if message:
            line = f"[bold yellow]warning:[/] {escape(message)}"
            self.err.print(line, soft_wrap=True, highlight=False)

    def json(self, value: Any) -> None:
        """Prints JSON."""
        self.out.print_json(data=value)

    def error(self, message: str) -> None:
        """Prints an error in one paragraph."""
        self.err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
