"""The two streams of a command: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

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

from training.files import check_place, write_json

STDOUT: Final = Path("-")


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
        json_to: what ``--json`` says: a file, ``-`` for stdout, None where nobody wants JSON.
        out: stdout, for results.
        err: stderr, for everything else.

    Raises:
        TrainingError: the file's folder is missing, or it is a folder itself.
        WriteError: its folder is not to be written to.
    """

    json_to: Path | None = None
    out: Console = field(default_factory=lambda: _console(sys.stdout))
    err: Console = field(default_factory=lambda: _console(sys.stderr))

    def __post_init__(self) -> None:
        """Refuses a file that could not be written, before work is done for it."""
        if self.json_file is not None:
            check_place(self.json_file)

    @property
    def json_file(self) -> Path | None:
        """The file that JSON is written to; None where it is printed, or nobody wants it."""
        return None if self.json_to == STDOUT else self.json_to

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
        """Prints a sentence as it is, or a table; unless stdout is for JSON."""
        if self.json_to != STDOUT:
            self.out.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))

    def note(self, message: str) -> None:
        """Prints something worth knowing, on stderr."""
        self.err.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Prints something that is probably wrong, on stderr; nothing for an empty message."""
        if message:
            line = f"[bold yellow]warning:[/] {escape(message)}"
            self.err.print(line, soft_wrap=True, highlight=False)

    def result(self, value: Any, what: str = "the result is") -> None:
        """Prints the result as JSON, or writes it to a file; nothing where nobody wants JSON.

        Args:
            value: the result.
            what: begins the sentence that names the file.

        Raises:
            WriteError: the file cannot be written.
        """
        if self.json_to == STDOUT:
            self.out.print_json(data=value)
        elif self.json_file is not None:
            write_json(self.json_file, value)
            self.show(f"{what} in {self.json_file}")

    def error(self, message: str) -> None:
        """Prints an error in one paragraph."""
        self.err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
