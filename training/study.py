"""A study: the contents of a report: data, comparison of models, and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app import __version__
from app.model.interactions import UserItems
from app.model.model import Model
from app.recommend.query import Strategy
from training.measuring.convergence import Convergence
from training.measuring.evaluation import Contender, Evaluation, evaluate
from training.measuring.experiment import Measured, Run
from training.measuring.figures import Figures
from training.presets import Preset
from training.progress import Progress
from training.tuning.trials import Search

# The settings at which the curve of the discovery dial is measured, and the most users for it.
_DIALS: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
_DIAL_USERS: Final = 2000
# The measures of the curve.
DIAL_MEASURES: Final = ("ndcg", "precision", "coverage_items", "coverage", "novelty", "gini")
_LISTENERS: Final = 4
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class DiscoveryPoint:
    """The measures of the lists at one setting of the discovery dial.

    Attributes:
        discovery: the setting, 0 to 1.
        ndcg, precision, coverage, novelty, gini: at the cut-off of the study.
        coverage_items: number of distinct recommended artists.
    """

    discovery: float
    ndcg: float
    precision: float
    coverage: float
    coverage_items: int
    novelty: float
    gini: float

    def to_json(self) -> dict[str, float]:
        """Returns the point for ``evaluate --json`` and the manifest."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Listed:
    """An artist in the list of a user.

    Attributes:
        name: of the artist.
        hit: whether it is a test artist of the user.
    """

    name: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Listener:
    """A user shown as an example, without an id.

    Attributes:
        plays: names of the most played training artists, with their plays.
        artists: number of all training artists.
        hidden: names of the test artists, most played first.
        lists: contender to its list.
    """

    plays: Sequence[tuple[str, float]]
    artists: int
    hidden: Sequence[str]
    lists: Mapping[str, Sequence[Listed]]


@dataclass(frozen=True, slots=True)
class Study:
    """The contents of a report.

    Attributes:
        dataset: the manifest's entry ``dataset``: name, sources, rows read and dropped, filters.
        user_items: all pairs before the split.
        preset: name of the preset.
        parameters: the manifest's entry ``parameters``.
        created_at: time of the study, with a time zone.
        code_version: version of Encore.
        figures: the comparison of the models.
        convergence: None where it was not measured.
        discovery: the curve of the discovery dial by ascending setting; empty where it was not
            measured.
        listeners: a few example users.
        search: the search that chose the hyperparameters, None if there was none.
    """

    dataset: Mapping[str, Any]
    user_items: UserItems
    preset: str
    parameters: Mapping[str, Any]
    created_at: datetime
    code_version: str
    figures: Figures
    convergence: Convergence | None
    discovery: Sequence[DiscoveryPoint]
    listeners: Sequence[Listener]
    search: Search | None


def study(
    user_items: UserItems,
    dataset: Mapping[str, Any],
    preset: Preset,
    measured: Measured,
    *,
    search: Search | None = None,
    discovery: Sequence[DiscoveryPoint] = (),
    created_at: datetime | None = None,
) -> Study:
    """Collects the contents of a report.

    Args:
        user_items: all pairs before the split.
        dataset: the manifest's entry ``dataset``.
        preset: the recipe.
        measured: the results of the experiment.
        search: the search that chose the hyperparameters, None if there was none.
        discovery: from ``measure_discovery``.
        created_at: time of the study, by default now.
    """
    first = measured.first
    return Study(
        dataset=dataset,
        user_items=user_items,
        preset=preset.name,
        parameters=first.parameters.to_manifest(),
        created_at=created_at or datetime.now(UTC),
        code_version=__version__,
        figures=measured.figures,
        convergence=first.convergence,
        discovery=discovery,
        listeners=_listeners(first, seed=preset.parameters.seed),
        search=search,
    )


def measure_discovery(
    run: Run, *, k: int, seed: int, progress: Progress | None = None
) -> list[DiscoveryPoint]:
    """Measures the lists at several settings of the discovery dial, on the first fold.

    Args:
        run: the fold and its model.
        k: cut-off.
        seed: of the sample of users.
        progress: told of finished lists.
    """
    contenders = {str(dial): Contender(Strategy.AUTO, discovery=dial) for dial in _DIALS}
    n_tested = int((run.fold.test.user_items.row_lengths() > 0).sum())
    evaluation = evaluate(
        run.model,
        run.fold,
        contenders,
        k=k,
        cutoffs=(),
        sample=min(_DIAL_USERS, n_tested),
        seed=seed,
        progress=progress,
    )
    return [_point(evaluation, dial) for dial in _DIALS]


def _point(evaluation: Evaluation, dial: float) -> DiscoveryPoint:
    figures = evaluation.values(str(dial))
    return DiscoveryPoint(
        discovery=dial,
        ndcg=figures["ndcg"],
        precision=figures["precision"],
        coverage=figures["coverage"],
        coverage_items=int(figures["coverage_items"]),
        novelty=figures["novelty"],
        gini=figures["gini"],
    )


def _listeners(run: Run, *, seed: int) -> list[Listener]:
    """Returns random users as examples, one from each quarter of activity."""
    evaluation = run.evaluation
    known = np.flatnonzero(evaluation.n_history > 0)
    by_activity = known[np.argsort(evaluation.n_history[known], kind="stable")]
    rng = np.random.default_rng(seed)
    quarters = [part for part in np.array_split(by_activity, _LISTENERS) if len(part)]
    return [_listener(run, int(rng.choice(part))) for part in quarters]


def _listener(run: Run, row: int) -> Listener:
    """Returns the user in a row of the evaluation as an example."""
    fold, evaluation, model = run.fold, run.evaluation, run.model
    user = int(evaluation.users[row])
    history = (fold.given or fold.train).user_items
    played = _most_played(history, user)
    return Listener(
        plays=[(model.item_names[item], float(plays)) for item, plays in played[:_SHOWN]],
        artists=len(played),
        hidden=[model.item_names[item] for item, _ in _most_played(fold.test.user_items, user)],
        lists={
            name: _listed(model, lists[row, : evaluation.k], evaluation.hits[name][row])
            for name, lists in evaluation.lists.items()
        },
    )


def _listed(model: Model, items: NDArray[np.int32], hits: NDArray[np.bool_]) -> list[Listed]:
    pairs = zip(items.tolist(), hits.tolist(), strict=False)
    return [Listed(model.item_names[item], hit) for item, hit in pairs if item >= 0]


def _most_played(user_items: UserItems, user: int) -> list[tuple[int, float]]:
    items, plays = user_items.row(user)
    order = np.lexsort((items, -plays))
    return [(int(items[place]), float(plays[place])) for place in order]
