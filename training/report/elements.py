"""The elements of a report that the template shows: charts, tables and sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.report.contenders import Look
from training.report.svg import variable_of

# In a box of 22 x 10, around its middle.
_SHAPES: Final = {
    "o": "M7.5 5a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "s": "M8 2h6v6h-6z",
    "^": "M11 1l4 7.5h-8z",
    "D": "M11 .8l4.2 4.2l-4.2 4.2l-4.2-4.2z",
    "v": "M11 9l4-7.5h-8z",
    "P": "M9.7 1h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    "X": "M8 1l3 2.6l3-2.6l1.4 1.5l-2.9 2.5l2.9 2.5l-1.4 1.5l-3-2.6l-3 2.6l-1.4-1.5"
    "l2.9-2.5l-2.9-2.5z",
    "|": "M10.2 0h1.6v10h-1.6z",
    "": "",
}


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend.

    Attributes:
        label: its text.
        colour: variable of the style sheet.
        dash: of its line, in SVG; empty for a solid line, None for no line.
        shape: path of its marker, empty for none.
        hollow: whether the marker is an outline.
    """

    label: str
    colour: str
    dash: str | None
    shape: str
    hollow: bool = False


def key_of(look: Look, *, line: bool = True) -> Key:
    """Returns the entry of a contender in the legend."""
    dash = " ".join(f"{length:g}" for length in look.dash) if line else None
    return Key(look.label, variable_of(look.colour), dash, _SHAPES[look.marker])


def published_key(look: Look) -> Key:
    """Returns the entry of the published figures of a contender in the legend."""
    colour = variable_of(look.colour)
    return Key(f"{look.label}, published", colour, None, _SHAPES[look.marker], hollow=True)


def mark_key(
    label: str, colour: str, marker: str = "", *, dash: str | None = None, hollow: bool = False
) -> Key:
    """Returns the entry of another mark in the legend."""
    return Key(label, variable_of(colour), dash, _SHAPES[marker], hollow)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with the sentence under it.

    Attributes:
        title: heading.
        svg: from ``training.report.svg.draw``.
        says: a sentence about the chart with its main numbers.
        keys: legend; empty where a chart has one kind of mark.
    """

    title: str
    svg: str
    says: str
    keys: Sequence[Key] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: its main text.
        detail: smaller, beside or under it.
        best: whether to mark it as the best of its row.
    """

    text: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: its head.
        detail: smaller, under it.
        numeric: whether it is aligned to the right.
        colour: variable of the colour of a contender, shown as a stroke; empty for none.
        quiet: whether it is pale, for figures from elsewhere.
    """

    title: str
    detail: str = ""
    numeric: bool = True
    colour: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column has the headings of the rows.

    Attributes:
        title: caption.
        columns: all columns, the first one included.
        rows: one cell for each column.
        folded: whether it is closed at first.
        note: a sentence under it.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report.

    Attributes:
        ident: anchor.
        title: heading.
        lead: sentences under it.
        charts, tables: its contents, in this order.
    """

    ident: str
    title: str
    lead: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
