"""Models: fitted on data, or opened from a models folder; they recommend as the service does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from app.artifacts.models_folder import ModelsFolder
from app.model.model import Model as Parts
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Strategy
from app.variables import variable
from training.engines.engine import Built, Recipe
from training.engines.in_memory import LoadedInMemory
from training.errors import TrainingError
from training.measuring.experiment import MEASURED_USERS, Plan
from training.numbers import plural
from training.publishing.export import lists_frame
from training.publishing.publish import Published
from training.publishing.publish import publish as published
from training.python.data import Data
from training.python.wording import Notes, check_kind, check_names, told_in_keywords

_BLOCK: Final = 1024
# Options of a list that a call takes by another name, or not at all.
_NOT_AS_OPTION: Final = frozenset({"user_id", "n", "activity"})
_OPTIONS: Final = tuple(one.name for one in fields(Query) if one.name not in _NOT_AS_OPTION)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Model:
    """A model.

    Attributes:
        parts: its arrays, and what else it consists of.
        card: what was trained, on what, and how well it did.
        built: what is published with it; None for a model from a models folder.
        notes: what was said while it was made.
    """

    parts: Parts
    card: Mapping[str, Any]
    built: Built | None = None
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        model = self.parts
        size = f"{plural(len(model.users), 'user')}, {plural(len(model.items), 'artist')}"
        return f"<Model {model.version}: {size}, {model.item_factors.shape[1]} factors>"

    @property
    def users(self) -> pl.Series:
        """The ids of the users, String."""
        return pl.Series("user_id", list(self.parts.users.strings), dtype=pl.String)

    @property
    def artists(self) -> pl.DataFrame:
        """The artists: ``artist_id``, ``name``, ``listeners`` and ``plays``, most popular first."""
        model = self.parts
        order = np.asarray(model.popularity.by_listeners)
        return pl.DataFrame(
            {
                "artist_id": pl.Series(list(model.items.strings), dtype=pl.String),
                "name": pl.Series(list(model.item_names), dtype=pl.String),
                "listeners": np.asarray(model.popularity.listeners),
                "plays": np.asarray(model.popularity.plays),
            }
        )[order]

    def recommend(
        self, users: str | Sequence[str] | pl.Series | None = None, n: int = 10, **options: Any
    ) -> pl.DataFrame:
        """Recommends artists, by the code of the service.

        Args:
            users: the id of a user or of several; by default one unknown user, who gets popular
                artists, or those that fit the ``listens`` of the options.
            n: length of a list, at least 1.
            options: as in ``POST /recommend``: ``strategy``, ``exclude``, ``candidates``,
                ``include_seen``, ``discovery``, ``listens`` (artist id to plays)…

        Returns:
            Columns ``user_id``, ``rank``, ``artist_id``, ``name``, ``score`` (null for an artist
            from a lower rung) and ``source``.

        Raises:
            TrainingError: there is no such option, or its value is out of range.
            UnknownUser: ``strategy="als"`` for a user without history.
        """
        asked: list[str | None] = [None]
        if users is not None:
            asked = [users] if isinstance(users, str) else list(_several("users", users))
        query = _query(n, options)
        recommender = Recommender(self.parts)
        parts = []
        try:
            for start in range(0, len(asked), _BLOCK):
                ids = asked[start : start + _BLOCK]
                queries = [replace(query, user_id=_id(user)) for user in ids]
                parts.append(lists_frame(recommender, queries))
        except ValueError as error:
            raise TrainingError(str(error)) from None
        return pl.concat(parts) if parts else lists_frame(recommender, [])

    def publish(
        self, models: str | PathLike[str] | None = None, *, force: bool = False
    ) -> Published:
        """Publishes the model, so that a service over the folder takes it up.

        Args:
            models: the models folder, made if it is missing; by default that of the service.
            force: whether to make it current even if its data shrank by more than half since the
                current one.

        Returns:
            Its version, and whether it is current.

        Raises:
            TrainingError: it comes from a models folder, so it is published already.
            WriteError: the folder cannot be written.
        """
        if self.built is None:
            raise TrainingError(f"{self.parts.version} is published already; copy its folder")
        return published(
            self.parts, _folder(models), card=self.card, report=self.built.report, force=force
        )


def fit(data: Data, *, evaluation: bool = False, **changes: Any) -> Model:
    """Fits a model on all pairs, as ``python -m training train`` does.

    Args:
        data: from ``prepare``.
        evaluation: whether to measure on a split first; the model then is published with its
            figures and a report.
        changes: hyperparameters other than those of the data.

    Raises:
        TrainingError: there is no such hyperparameter, a value is out of range, or training
            diverged.
    """
    notes = Notes()
    with told_in_keywords():
        check_kind(data, Data, "fit", "prepare")
        recipe = data.with_changes(changes, "fit")
        plan = Plan(sample=MEASURED_USERS, convergence=True) if evaluation else None
        built = LoadedInMemory(data.prepared).build(
            Recipe(recipe, plan, with_report=evaluation), notes
        )
    return Model(built.model, built.card, built, (*data.notes, *notes.notes))


def load(models: str | PathLike[str] | None = None, version: str | None = None) -> Model:
    """Opens a published model.

    Args:
        models: the models folder; by default that of the service (``ENCORE_MODELS``, or
            ``models``).
        version: which one; by default the current one.

    Raises:
        ModelNotFound: there is no such version.
        InvalidArtifact: a file of it does not match its manifest.
    """
    folder = ModelsFolder(_folder(models))
    parts = folder.open(folder.find(version))
    return Model(parts, parts.card)


def _folder(models: str | PathLike[str] | None) -> Path:
    return Path(models or os.environ.get(variable("models")) or "models")


def _query(n: int, options: dict[str, Any]) -> Query:
    """Returns the query of options, without a user.

    Raises:
        TrainingError: there is no such option, or its value is out of range.
    """
    check_names(options, _OPTIONS, "recommend")
    if not isinstance(n, int) or n < 1:
        raise TrainingError(f"n has to be a whole number from 1 on, not {n!r}")
    values = dict(options)
    try:
        if "strategy" in values:
            values["strategy"] = Strategy(values["strategy"])
        if isinstance(values.get("listens"), Mapping):
            values["listens"] = list(values["listens"].items())
        elif values.get("listens"):
            raise TypeError("listens are artist ids with their plays, such as {'a1': 3}")
        for name in {"exclude", "candidates"} & values.keys():
            values[name] = _several(name, values[name])
        return Query(n=n, **values)
    except (TypeError, ValueError) as error:
        raise TrainingError(str(error)) from None


def _id(user: object) -> str | None:
    if user is None or isinstance(user, str):
        return user
    raise TrainingError(f"ids are text, and this is {type(user).__name__}: {user!r}; give str(id)")


def _several(name: str, ids: Any) -> Any:
    """Returns ids as they are given; one alone would be taken for its letters, so it is refused."""
    if ids is None or (isinstance(ids, Iterable) and not isinstance(ids, str | bytes)):
        return ids
    raise TrainingError(f"{name} is {ids!r}; expected ids as text, such as ['{ids}']")
