"""Results: measures of contenders on the same test part, with intervals and paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from training.errors import TrainingError
from training.measuring.contenders import chosen_contenders
from training.measuring.evaluation import GivesLists
from training.measuring.experiment import Measured, Plan
from training.measuring.experiment import measure as experiment
from training.measuring.figures import Estimate, Figures
from training.measuring.measures import NDCG, compared, shown
from training.numbers import Form, count, plainly, plural
from training.presets import Preset
from training.python.contenders import Contender, own_contenders
from training.python.data import Data, as_typed
from training.python.wording import (
    check_kind,
    check_names,
    html_table,
    text_table,
    told_in_keywords,
)
from training.report import write
from training.splitting.drawn import Drawn
from training.splitting.splits import SPLITS
from training.study import study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Results:
    """The measured values of the contenders.

    Attributes:
        measured: the values, and the lists of the first fold.
        data: what was measured on.
        recipe: with the split and the hyperparameters.
    """

    measured: Measured
    data: Data
    recipe: Preset

    @property
    def figures(self) -> Figures:
        """The measured values."""
        return self.measured.figures

    @property
    def table(self) -> pl.DataFrame:
        """All values: ``contender``, ``measure``, ``k``, ``value`` and its interval.

        The columns ``low`` and ``high`` are null for a measure without an interval.
        """
        rows = [
            (contender, name, k, float(one.value), one.low, one.high)
            for contender, by_cutoff in self.figures.models.items()
            for k, estimates in by_cutoff.items()
            for name, one in estimates.items()
        ]
        return pl.DataFrame(rows, schema=_TABLE, orient="row")

    @property
    def comparisons(self) -> pl.DataFrame:
        """The paired tests: ``first`` against ``second``, and the ``difference`` of a measure."""
        rows = [
            (
                one.first,
                one.second,
                one.figure,
                one.difference.value,
                one.difference.low,
                one.difference.high,
                one.p_value,
            )
            for one in self.figures.comparisons
        ]
        return pl.DataFrame(rows, schema=_COMPARISONS, orient="row")

    def plot(self, measure: str = NDCG.name) -> Figure:
        """Draws a measure by length of the list, one line for each contender, as in the report.

        Raises:
            TrainingError: there is no such curve.
        """
        from training.python.plots import by_length  # noqa: PLC0415 - matplotlib is slow to load

        curves = {one.name: one for one in compared(self.figures.measures)}
        if measure not in curves:
            raise TrainingError(f"there is no curve of {measure!r}; there are {', '.join(curves)}")
        return by_length(self.figures, curves[measure])

    def report(self, path: str | PathLike[str]) -> None:
        """Writes the page of ``python -m training report``, one HTML file.

        Raises:
            TrainingError: its folder is missing.
            WriteError: it cannot be written.
        """
        contents = study(
            self.data.prepared.interactions.user_items,
            self.data.prepared.provenance.to_manifest(),
            self.recipe,
            self.measured,
        )
        write(contents, Path(path))

    def to_json(self) -> dict[str, Any]:
        """Returns everything as ``python -m training evaluate --json`` does."""
        return self.measured.to_json()

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, list[str], list[list[str]]]:
        figures = self.figures
        rows = [
            [
                one.title(figures.k),
                *(
                    _estimate(by_cutoff[figures.k][one.name], one.form)
                    for by_cutoff in figures.models.values()
                ),
            ]
            for one in shown(figures.measures)
        ]
        folds = f", means of {count(figures.folds)} folds" if figures.folds > 1 else ""
        title = f"{plural(figures.users, 'user')} with test artists{folds}"
        return title, ["", *figures.models], rows


_TABLE = pl.Schema(
    {
        "contender": pl.String,
        "measure": pl.String,
        "k": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)
_COMPARISONS = pl.Schema(
    {
        "first": pl.String,
        "second": pl.String,
        "measure": pl.String,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "p_value": pl.Float64,
    }
)


def measure(
    data: Data,
    contenders: Mapping[str, Contender] | Sequence[str] | None = None,
    *,
    k: int = 10,
    sample_users: int | None = None,
    repeats: int = 1,
    split: str | None = None,
    split_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Results:
    """Measures popularity, item-kNN, ALS and contenders of one's own on the same split.

    Args:
        data: from ``prepare``.
        contenders: name to one's own recommender: a function that takes the training part in the
            form of ``Data.pairs``, user ids and the length of the lists, and returns for each user
            artist ids, best first; or an object with ``fit(train)`` and
            ``recommend(user_ids, n)``. Neither sees the test part. Or names of contenders of
            Encore, such as ``["ease", "item-knn-searched"]``, to compare ALS with these alone.
        k: cut-off of the measures.
        sample_users: measure only this many users, drawn by the seed.
        repeats: number of times that a random split is made, each with the next seed.
        split: the split, by its name on the command line; by default that of the preset.
        split_options: its options, such as ``{"test_fraction": 0.1}``; ``at`` takes a datetime.
        changes: hyperparameters other than those of the data.

    Raises:
        NothingToMeasure: the data are too few for the split or the cut-off.
        TrainingError: there is no such split, option, hyperparameter or contender, or a contender
            does not return lists.
    """
    with told_in_keywords():
        check_kind(data, Data, "measure", "prepare")
        recipe = _split(data.with_changes(changes, "measure"), split, split_options or {})
        recipe = replace(recipe, contenders=_contenders(contenders or {}, recipe.contenders))
        if repeats < 1:
            raise TrainingError(f"repeats has to be at least 1, not {repeats}")
        plan = Plan(k=k, sample=sample_users, repeats=repeats)
        return Results(experiment(data.prepared.interactions, recipe, plan), data, recipe)


def _contenders(
    given: Mapping[str, Contender] | Sequence[str], of_recipe: Mapping[str, GivesLists]
) -> dict[str, GivesLists]:
    """Returns the contenders of given names, or those of the recipe with one's own.

    Raises:
        TrainingError: there is no such contender, or something is none.
    """
    if isinstance(given, Mapping):
        return own_contenders(given, of_recipe)
    if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
        return chosen_contenders(given, of_recipe)
    raise TrainingError(
        "contenders are named: give a dict from name to contender, or a list of names"
    )


def _split(recipe: Preset, name: str | None, options: Mapping[str, Any]) -> Preset:
    """Returns the recipe with another split.

    Raises:
        TrainingError: there is no such split, or it takes no such option.
    """
    if name is None and not options:
        return recipe
    name = name or "random"
    if name not in SPLITS:
        raise TrainingError(f"there is no split {name!r}; known are {', '.join(SPLITS)}")
    kind = SPLITS[name]
    known = {
        option.removeprefix("--").replace("-", "_"): field for option, field in kind.options.items()
    }
    check_names(options, list(known), f"the split '{kind.name}'")
    types = {one.name: str(one.type) for one in fields(kind)}
    values = {
        known[option]: as_typed(option, _in_seconds(value), types[known[option]])
        for option, value in options.items()
    }
    if isinstance(recipe.split, kind):
        return replace(recipe, split=replace(recipe.split, **values))
    if issubclass(kind, Drawn):
        values["seed"] = recipe.parameters.seed
    return replace(recipe, split=kind(**values))


def _in_seconds(value: Any) -> Any:
    """Returns a time in seconds since 1970, UTC unless it names a zone; other values unchanged."""
    if not isinstance(value, datetime):
        return value
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


def _estimate(estimate: Estimate, form: Form) -> str:
    value = plainly(estimate.value, form)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ±{plainly((estimate.high - estimate.low) / 2, form)}"
