"""What is said to people who call from Python: options as keywords, tables as text and HTML."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from html import escape
from typing import Final

from app.text import visible
from training.errors import DatasetError, TrainingError
from training.progress import NoProgress, Progress

# An option of the command line, in a message.
_OPTION: Final = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
# Options whose keyword has another name.
_KEYWORDS: Final = {"data": "the first argument"}


class Notes:
    """Collects notes; an ``Observer`` that shows no progress.

    Attributes:
        notes: the messages so far.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Adds a note."""
        self.notes.append(_with_keywords(message))

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Ignores the message."""
        del what
        return nullcontext()

    def bars(self) -> AbstractContextManager[Progress]:
        """Ignores all steps."""
        return nullcontext(NoProgress())


@contextmanager
def told_in_keywords() -> Iterator[None]:
    """Names options in errors as keywords, since messages are written for the command line.

    Raises:
        DatasetError, TrainingError: the error of the block.
    """
    try:
        yield
    except (DatasetError, TrainingError) as error:
        error.args = tuple(
            _with_keywords(part) if isinstance(part, str) else part for part in error.args
        )
        raise


def check_names(given: Collection[str], known: Collection[str], what: str) -> None:
    """Refuses an unknown keyword, with the nearest known one.

    Raises:
        TrainingError: there is one.
    """
    for name in given:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known are {', '.join(known)}"
            raise TrainingError(f"{what} takes no {name}{hint}")


def check_kind(given: object, kind: type, call: str, maker: str) -> None:
    """Refuses the result of another call.

    Raises:
        TrainingError: it is of another type.
    """
    if not isinstance(given, kind):
        raise TrainingError(
            f"{call} takes what {maker} returns, and this is {type(given).__name__}"
        )


def _with_keywords(message: str) -> str:
    return _OPTION.sub(_keyword, message)


def _keyword(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    if name.startswith("no_"):
        return f"{name[3:]}=False"
    return _KEYWORDS.get(name, name)


def text_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in plain text; all columns but the first are numbers."""
    cells = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([visible(title), *lines])


def html_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    notes: Sequence[str] = (),
) -> str:
    """Returns the same table in HTML, for a notebook, with notes below it."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{escape(visible(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    below = "".join(f"<p>{escape(visible(note))}</p>" for note in notes)
    return (
        f"<table><caption>{escape(visible(title))}</caption>"
        f"<thead><tr>{row(header, 'th')}</tr></thead><tbody>{body}</tbody></table>{below}"
    )
