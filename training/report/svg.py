"""Charts as SVG for a page: matplotlib draws, the style sheet sets fonts and colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.text import visible, visible_lines

# Placeholders for colours: each becomes a variable of the style sheet, so that a chart follows
# light mode, dark mode and print.
INK: Final = "#010100"
MUTED: Final = "#010200"
GRID: Final = "#010300"
PAPER: Final = "#010400"
MODEL_COLOURS: Final = tuple(f"#0200{place:02x}" for place in range(6))
_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    **{colour: f"--model-{place}" for place, colour in enumerate(MODEL_COLOURS)},
}

WIDTH: Final = 340
HEIGHT: Final = 220
FONT_SIZE: Final = 11.5

_THEME: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "encore",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine lays out alike
    "font.size": FONT_SIZE,
    "text.color": INK,
    "figure.facecolor": "none",
    "figure.constrained_layout.h_pad": 3 / 72,
    "figure.constrained_layout.w_pad": 3 / 72,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT_SIZE,
    "axes.titlepad": 8,
    "axes.labelpad": 4,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0.04,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "lines.scale_dashes": False,
    "lines.dash_capstyle": "butt",
    "lines.solid_capstyle": "round",
}

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_COLOUR: Final = re.compile("|".join(_VARIABLES))
_LONG_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
_DECLARED: Final = re.compile(r"^ *(--[\w-]+): (#\w+);$", re.MULTILINE)
_FONT_SIZE: Final = re.compile(r"([\d.]+)px")


def variable_of(colour: str) -> str:
    """Returns the variable of a placeholder in the style sheet, such as ``--ink``."""
    return _VARIABLES[colour]


def draw(
    paint: Callable[[Axes], None],
    *,
    ident: str,
    title: str,
    description: str,
    height: float = HEIGHT,
) -> str:
    """Draws a chart.

    Args:
        paint: draws on the axes, in the placeholder colours of this module.
        ident: prefix of all ids, unique in the page.
        title: the name of the chart, for screen readers.
        description: its axes and marks, for screen readers.
        height: in CSS pixels if the chart is ``WIDTH`` wide.

    Returns:
        An ``<svg>`` element; the same input gives the same text.
    """
    with themed():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
        paint(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    # Names may hold controls, with which this would be no XML.
    root = ElementTree.fromstring(visible_lines(text.getvalue()))  # noqa: S314 - by matplotlib
    _clean(root, ident)
    _describe(root, ident, title, description)
    return ElementTree.tostring(root, encoding="unicode")


@contextmanager
def themed(colour_of: Callable[[str], str] = lambda colour: colour) -> Iterator[None]:
    """Sets the theme while the block runs; a matplotlibrc of this machine has no effect.

    Args:
        colour_of: returns the colour for a placeholder.
    """
    theme = {
        name: colour_of(value) if value in _VARIABLES else value for name, value in _THEME.items()
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", theme))
        yield


@cache
def _light_colours() -> dict[str, str]:
    """Returns variable to colour of light mode, which the style sheet has first."""
    sheet = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    found = _DECLARED.findall(sheet)
    return dict(reversed(found))


def on_paper(colour: str) -> str:
    """Returns the colour of a placeholder in light mode."""
    return _light_colours()[_VARIABLES[colour]]


def _clean(root: ElementTree.Element, ident: str) -> None:
    """Removes metadata and global styles, and makes ids unique in the page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child) in ("metadata", "style"):
                parent.remove(child)
    used = set(_references(root))
    for element in root.iter():
        element.tag = _local(element)
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        attributes = dict(element.attrib)
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set("id", f"{ident}-{value}")
            elif name == _LINK:
                element.set("href", f"#{ident}-{value[1:]}")
            elif name == "transform" and value.startswith("rotate(-0 "):
                continue
            elif name == "style":
                element.set("style", _style(value))
            else:
                value = _REFERENCE.sub(rf"url(#{ident}-\1)", value)  # noqa: PLW2901
                element.set(name, _LONG_NUMBER.sub(_shorten, value))
    _unwrap(root)


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == _LINK:
                yield value[1:]
            yield from _REFERENCE.findall(value)


def _style(style: str) -> str:
    """Returns a style with variables for colours, and without the name of the font."""
    declarations = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # matplotlib 3.10: size and family in one
            size = _FONT_SIZE.search(value)
            name, value = "font-size", size[0] if size else f"{FONT_SIZE}px"
        if name and name != "font-family":
            declarations.append(f"{name}:{_COLOUR.sub(_as_variable, value)}")
    return ";".join(declarations)


def _as_variable(match: re.Match[str]) -> str:
    return f"var({_VARIABLES[match[0]]})"


def _shorten(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _unwrap(root: ElementTree.Element) -> None:
    """Removes groups without attributes, innermost first."""
    for element in list(root):
        _unwrap(element)
    children: list[ElementTree.Element] = []
    for element in root:
        is_bare = not element.attrib and (element.tag == "g" or not len(element))
        children.extend(element if is_bare else [element])
    root[:] = children


def _describe(root: ElementTree.Element, ident: str, title: str, description: str) -> None:
    view_box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": _NAMESPACE,
            "viewBox": view_box,
            "role": "img",
            "aria-labelledby": f"{ident}-title {ident}-desc",
            "stroke-linejoin": "round",
        }
    )
    for place, (name, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(name, {"id": f"{ident}-{name}"})
        element.text = visible(text)
        root.insert(place, element)


def _local(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]
