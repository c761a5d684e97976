"""Data to fit on: plays through the filters of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
import polars as pl

from app.model.weighting import WeightingName
from training.data.filters import Filters
from training.data.interactions import Interactions
from training.data.shape import Shape
from training.datasets.reading.ids import NAME_PREFIX
from training.errors import TrainingError
from training.fitting.hyperparameters import LINEAR, LINEAR_WEIGHTINGS, LinearParameters, Parameters
from training.numbers import count
from training.pipeline import Prepared
from training.pipeline import prepare as filtered
from training.presets import DEFAULT, FILTERS, HYPERPARAMETERS, PRESETS, Preset, changed
from training.python.plays import Plays
from training.python.wording import (
    check_kind,
    check_names,
    html_table,
    text_table,
    told_in_keywords,
)

# Filters and hyperparameters with their types, as texts.
_TYPES: Final = {
    prefix + one.name: str(one.type)
    for kind, prefix in ((Filters, ""), (Parameters, ""), (LinearParameters, LINEAR))
    for one in fields(kind)
}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Data:
    """Pairs of user and artist that are left after the filters, with their recipe.

    Attributes:
        prepared: the pairs, and where they come from.
        recipe: the preset with its changes.
        notes: from reading.
    """

    prepared: Prepared
    recipe: Preset
    notes: Sequence[str] = ()

    @property
    def pairs(self) -> pl.DataFrame:
        """The pairs, by user and artist; see ``pairs_of``."""
        return pairs_of(self.prepared.interactions)

    def with_changes(self, changes: dict[str, Any], call: str) -> Preset:
        """Returns the recipe with other hyperparameters.

        Args:
            changes: names of hyperparameters to their values.
            call: the name of the call, for messages.

        Raises:
            TrainingError: there is no such hyperparameter, or a value is out of range.
        """
        for name in changes:
            if name in FILTERS:
                raise TrainingError(f"{name} is a filter, which has its place in prepare")
        return recipe_of(self.recipe, changes, HYPERPARAMETERS, call)

    def __repr__(self) -> str:
        return "\n".join([text_table(*self._table()), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=self.notes)

    def _table(self) -> tuple[str, list[str], list[list[str]]]:
        provenance = self.prepared.provenance
        rows = [
            [step.name, count(step.records), count(step.users), count(step.items)]
            for step in provenance.steps
        ]
        title = f"Data of {provenance.dataset}, preset {self.recipe.name}"
        return title, ["", "rows", "users", "artists"], rows


def prepare(plays: Plays, *, preset: str = DEFAULT.name, **changes: Any) -> Data:
    """Applies the filters of a recipe.

    Args:
        plays: from ``read``.
        preset: the recipe to start from.
        changes: changes to it: filters (``min_user_records``, ``min_item_records``, ``top_users``)
            and hyperparameters (``factors``, ``alpha``, ``half_life``…), with the names of
            ``python -m training train``.

    Raises:
        TrainingError: there is no such preset or change, a value is out of range, or the filters
            leave nothing.
    """
    with told_in_keywords():
        check_kind(plays, Plays, "prepare", "read")
        if preset not in PRESETS:
            raise TrainingError(f"there is no preset {preset!r}; known are {', '.join(PRESETS)}")
        recipe = recipe_of(PRESETS[preset], changes, (*FILTERS, *HYPERPARAMETERS), "prepare")
        if (
            recipe.drop_items_without_id
            and plays.records.item_ids.str.starts_with(NAME_PREFIX).any()
        ):
            raise TrainingError(
                f"the preset {preset} leaves out artists without id, which happens while reading: "
                "give read(drop_items_without_id=True)"
            )
        prepared = filtered(plays.records, recipe)
        recipe = recipe.for_data(Shape.of(prepared.interactions.user_items))
        notes = [f"hyperparameters: {recipe.choice}"] if recipe.choice else []
        return Data(prepared, recipe, [*plays.notes, *notes])


def recipe_of(preset: Preset, changes: dict[str, Any], known: Sequence[str], call: str) -> Preset:
    """Returns a preset with changes.

    Raises:
        TrainingError: a change is not among the known ones, or its value is out of range.
    """
    check_names(changes, known, call)
    for key, known_names in (
        ("weighting", tuple(WeightingName)),
        (f"{LINEAR}weighting", LINEAR_WEIGHTINGS),
    ):
        if key in changes and changes[key] not in known_names:
            raise TrainingError(
                f"there is no {key} {changes[key]!r}; known are {', '.join(known_names)}"
            )
        if key in changes:
            changes = changes | {key: WeightingName(changes[key])}
    return changed(
        preset,
        {name: as_typed(name, value, _TYPES.get(name, "float")) for name, value in changes.items()},
    )


def as_typed(name: str, value: Any, kind: str) -> Any:
    """Returns the value of a field as a number of Python, if it has the right type.

    Args:
        name: of the field, for messages.
        value: its value, which may be a number of numpy.
        kind: the type of the field as a text, such as ``int | None``.

    Raises:
        TrainingError: it has another type.
    """
    if value is None and "None" in kind:
        return None
    if not isinstance(value, bool):
        if kind.startswith("int") and isinstance(value, Integral):
            return int(value)
        if kind.startswith("float") and isinstance(value, Real):
            return float(value)
    if not kind.startswith(("int", "float")):
        return value
    wanted = "a whole number" if kind.startswith("int") else "a number"
    raise TrainingError(f"{name} has to be {wanted}, not {value!r}")


def pairs_of(interactions: Interactions) -> pl.DataFrame:
    """Returns pairs as a table: ``user_id``, ``artist_id``, ``name`` and ``plays``.

    Where times are known, ``last_played`` is the time of the pair's last record, in UTC.
    """
    matrix = interactions.user_items
    items = interactions.items.take(matrix.indices)
    pairs = pl.DataFrame(
        {
            "user_id": interactions.user_ids.gather(matrix.row_of_each_pair()),
            "artist_id": items.ids,
            "name": items.names,
            "plays": matrix.plays,
        }
    )
    timed = interactions.timed
    if timed is None or not len(timed):
        return pairs
    last = pl.Series("last_played", np.maximum.reduceat(timed.timestamps, timed.starts()))
    return pairs.with_columns(pl.from_epoch(last, "s").dt.replace_time_zone("UTC"))
