"""The contenders of a study: their roles, and how each is drawn and called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from training.measuring.figures import Estimate, Figures
from training.report.svg import MODEL_COLOURS

_LONGEST: Final = 40
_ABBREVIATIONS: Final = (("als", "ALS"), ("knn", "kNN"), ("ease", "EASE"))
# By matplotlib's names. Their number is coprime to that of the colours, so that pairs repeat late.
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: Final[tuple[tuple[float, ...], ...]] = ((), (6, 2.5), (1.5, 2), (7, 2, 1.5, 2), (3, 1.5))


@dataclass(frozen=True, slots=True)
class Look:
    """How a contender is drawn, the same throughout a report.

    Attributes:
        label: its name for people.
        colour: one of ``MODEL_COLOURS``.
        marker: matplotlib's name of the marker.
        dash: lengths of dashes and gaps; empty for a solid line.
    """

    label: str
    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]] | str:
        """The dash in the form of matplotlib."""
        return (0.0, self.dash) if self.dash else "-"


@dataclass(frozen=True, slots=True)
class Contenders:
    """The roles and looks of the contenders.

    Attributes:
        personal: the contender with a list for each user, None if there is none.
        popular: the contender with one list for all, None if there is none.
        looks: contender to its look, the personal one first.
    """

    personal: str | None
    popular: str | None
    looks: Mapping[str, Look]

    @property
    def main(self) -> str:
        """The contender that the report is about."""
        return self.personal or self.popular or next(iter(self.looks))

    @property
    def rival(self) -> str | None:
        """The contender that the main one is compared with, None if there is no other."""
        return self.popular if self.popular != self.main else None

    def label(self, name: str) -> str:
        """Returns the name of a contender for people."""
        return label_of(name)


def contenders_of(figures: Figures) -> Contenders:
    """Returns the contenders of a study."""
    names = list(figures.models)
    populars = [name for name in names if _is_popular(figures, name)]
    personals = [name for name in names if name not in populars]
    personal = "als" if "als" in personals else next(iter(personals), None)
    popular = "popularity" if "popularity" in populars else next(iter(populars), None)
    first = [name for name in (personal, popular) if name is not None]
    order = first + [name for name in names if name not in first]
    looks = {
        name: Look(
            label_of(name),
            MODEL_COLOURS[place % len(MODEL_COLOURS)],
            _MARKERS[place % len(_MARKERS)],
            _DASHES[place % len(_DASHES)],
        )
        for place, name in enumerate(order)
    }
    return Contenders(personal, popular, looks)


def label_of(name: str) -> str:
    """Returns the name of a contender with the usual capitals, cut to fit into a legend."""
    for small, usual in _ABBREVIATIONS:
        name = re.sub(rf"\b{small}\b", usual, name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _is_popular(figures: Figures, name: str) -> bool:
    strategy = figures.asked.get(name, {}).get("strategy")
    return strategy == "popularity" if strategy else name.startswith("popularity")


def figure_of(figures: Figures, name: str, figure: str, k: int | None = None) -> Estimate:
    """Returns the value of a measure of a contender; NaN where it was not measured."""
    at_k = figures.models[name].get(figures.k if k is None else k, {})
    return at_k.get(figure, Estimate(float("nan")))
