"""The two streams of a command: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from app.text import visible, visible_lines
from training.files import check_apart, check_new, check_place, write_json

STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Bars:
    """Progress bars on stderr, one for each step; a repeated step gets a new bar."""

    progress: Progress

    def step(self, name: str, total: int | None) -> Callable[[int], None]:
        """Starts a bar; without a total it only shows that the step is running."""
        task = self.progress.add_task(escape(visible(name)), total=total)
        return lambda done: self.progress.advance(task, done)

    def say(self, line: str) -> None:
        """Prints a line above the bars."""
        console = self.progress.console
        # A pipe gets one line; on a terminal the live display has to break lines itself.
        soft_wrap = not console.is_terminal
        console.print(visible(line), markup=False, highlight=False, soft_wrap=soft_wrap)


class PlainConsole(Console):
    """A console whose terminal obeys rich, and nothing that names and ids hold.

    Whatever is printed passes ``render``: sentences, cells of tables, bars and errors.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields the segments of what is to be printed, with nothing hidden in their text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible_lines(segment.text), segment.style)


def console_on(stream: TextIO) -> Console:
    """Returns a console that prints on a stream."""
    # Tables in a file or a pipe are not cut to the width of a terminal.
    return PlainConsole(file=stream, width=None if stream.isatty() else 200)


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of a command.

    Attributes:
        json_to: the value of ``--json``: a file, ``-`` for stdout, or None without the option.
        overwrite: whether a file that is there may be replaced.
        out: stdout, for results.
        err: stderr, for everything else.

    Raises:
        TrainingError: the file is there; its folder is missing, or it is a folder itself.
        WriteError: the folder of the file cannot be written to.
    """

    json_to: Path | None = None
    overwrite: bool = False
    out: Console = field(default_factory=lambda: console_on(sys.stdout))
    err: Console = field(default_factory=lambda: console_on(sys.stderr))

    def __post_init__(self) -> None:
        """Refuses a file that is there or could not be written, before work is done for it."""
        if self.json_file is not None:
            check_new(self.json_file, overwrite=self.overwrite)

    @property
    def json_file(self) -> Path | None:
        """The file for JSON; None if JSON is printed, or without ``--json``."""
        return None if self.json_to == STDOUT else self.json_to

    def check_out(self, out: Path, *beside: Path) -> None:
        """Refuses a file for the result that is there, could not be written, or is named twice.

        Args:
            out: the file.
            beside: further files, which may be there; they are written to as well.

        Raises:
            TrainingError: it is there; two files are the same, that of ``--json`` included; the
                folder of one is missing, or it is a folder itself.
            WriteError: a folder cannot be written to.
        """
        check_new(out, overwrite=self.overwrite)
        for place in beside:
            check_place(place)
        check_apart(*filter(None, [out, *beside, self.json_file]))

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
        """Shows a message on stderr while the block runs."""
        return self.err.status(Text(what))

    def show(self, what: RenderableType) -> None:
        """Prints a sentence or a table, unless stdout is for JSON."""
        if self.json_to != STDOUT:
            what = visible(what) if isinstance(what, str) else what
            self.out.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))

    def print_lines(self, text: str) -> None:
        """Prints a text of several lines on stdout as it is, such as a file."""
        self.out.print(visible_lines(text), end="", markup=False, highlight=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """Prints a note on stderr."""
        self.err.print(f"note: {visible(message)}", markup=False, highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Prints a warning on stderr; nothing for an empty message."""
        if message:
            line = f"[bold yellow]warning:[/] {escape(visible(message))}"
            self.err.print(line, soft_wrap=True, highlight=False)

    def result(self, value: Any, what: str = "the result is") -> None:
        """Prints the result as JSON or writes it to a file; does nothing without ``--json``.

        Args:
            value: the result.
            what: the beginning of the sentence that names the file.

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
        self.err.print(
            f"[bold red]error:[/] {escape(visible(message))}", soft_wrap=True, highlight=False
        )
