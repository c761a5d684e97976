"""The engine that trains with Spark."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.model.blocks import AlsBlock
from app.model.fold_in import gramian
from app.model.id_map import IdMap, StringTable
from app.model.items import Items
from app.model.model import Model, Popularity
from app.ranking.scoring import item_norms
from training.data.records import REASON_ERASED
from training.datasets import ensure_dataset
from training.datasets.reading.sources import STANDARD_INPUT, shown_path
from training.engines.engine import Built, Recipe, Source
from training.engines.reading import check_rows, erased_left_out, read_erased
from training.engines.spark import factors
from training.engines.spark.failures import told
from training.engines.spark.measuring import Fitted, evaluate
from training.engines.spark.reading import read_records
from training.engines.spark.session import open_session
from training.engines.spark.settings import SparkSettings
from training.engines.spark.splitting import check_split, marked
from training.engines.spark.tables import Matrix, filtered, matrix_of
from training.engines.spark.users import Shared, UserArrays, user_parts
from training.errors import DatasetError, NothingToMeasure, TimesMissing, TrainingError
from training.fitting.hyperparameters import LINEAR, Parameters
from training.measuring.evaluation import Contender
from training.measuring.experiment import Plan
from training.measuring.figures import Figures
from training.measuring.summary import summarise
from training.pipeline import Provenance, one_user
from training.presets import DEFAULT, Preset, changed
from training.progress import Observer, PartOf, Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LEFT_OUT: Final = (
    "Spark: the model has the block of ALS alone, and no report; a linear block and item-knn are "
    "made in memory only"
)


@dataclass(frozen=True, slots=True)
class InSpark:
    """Reads, trains and measures in jobs of Spark; an ``Engine``.

    Attributes:
        settings: where and how Spark runs.
    """

    settings: SparkSettings = field(default_factory=SparkSettings)

    def read(self, source: Source, preset: Preset, observer: Observer) -> LoadedInSpark:
        """Reads a source and applies the filters; see ``Engine.read``.

        Raises:
            TrainingError: Spark does not start or fails, or the source has events.
        """
        if source.dataset is None or source.events is not None:
            raise TrainingError(
                "--engine spark reads a dataset without events; give --dataset and --no-events"
            )
        path = ensure_dataset(source.dataset, source.path)
        if path == STANDARD_INPUT:
            raise DatasetError(
                "--engine spark reads files, not standard input; name the file in --data"
            )
        check_split(preset.split)
        _of_spark(preset)  # refuses what it has no use for
        erased = frozenset[bytes]()
        if source.erasures is not None:
            erased = read_erased(source.erasures, observer)
        session = open_session(self.settings, observer)
        options = replace(source.options, drop_items_without_id=preset.drop_items_without_id)
        with told(session), observer.busy(f"reading {shown_path(path)}"):
            records, said = read_records(session, source.dataset, path.absolute(), options, erased)
            check_rows(
                said.rows,
                path,
                observer,
                remarks=(said.remark, said.advice),
                allow_unreadable=source.allow_unreadable,
            )
            if gone := said.rows.dropped.get(REASON_ERASED):
                observer.note(erased_left_out(gone))
            half_life = preset.parameters.half_life
            if half_life is not None and not said.has_times:
                raise TimesMissing("a half-life", "")
            left, steps = filtered(records, preset.filters)
            matrix = matrix_of(left, half_life)
            period = _period(records) if said.has_times else None
        if matrix.n_users == 1:
            first = matrix.users.first()
            raise TrainingError(one_user(first["id"] if first else "", steps[0].users))
        provenance = Provenance(
            said.dataset,
            said.sources,
            said.rows,
            [*steps, replace(steps[-1], name="repeated pairs summed", **_sizes(matrix))],
            users=matrix.n_users,
            artists=matrix.n_items,
            pairs=matrix.n_pairs,
            period=period,
            normalized=said.normalized,
        )
        return LoadedInSpark(session, matrix, provenance)


def _of_spark(preset: Preset) -> Preset:
    """Returns a preset with the hyperparameters of MLlib's ALS, and the given changes to them."""
    given = preset.changes
    preset = replace(preset, variants=(), changes={})
    if preset.name == DEFAULT.name:
        preset = changed(preset, factors.RECIPE)
    linear = [name for name in given if name.startswith(LINEAR) and given.get("linear_rank") != 0]
    if linear:
        raise TrainingError(
            f"--{linear[0].replace('_', '-')} does nothing with --engine spark, which makes no "
            "linear block; leave it out"
        )
    preset = changed(changed(preset, {"linear_rank": 0}), given)
    if preset.parameters.factors == 0:
        raise TrainingError("--engine spark makes the factors of ALS; give --factors above 0")
    return preset


def _sizes(matrix: Matrix) -> dict[str, int]:
    return {"records": matrix.n_pairs, "users": matrix.n_users, "items": matrix.n_items}


def _period(records: DataFrame) -> tuple[int, int]:
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    row = records.agg(F.min("time"), F.max("time")).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return int(row[0]), int(row[1])


@dataclass(frozen=True, slots=True, eq=False)
class LoadedInSpark:
    """A source in the partitions of Spark; see ``Loaded``.

    Attributes:
        session: the session of Spark.
        matrix: the plays of all pairs.
        provenance: what was read, and what is left of it.
    """

    session: SparkSession
    matrix: Matrix
    provenance: Provenance

    def build(self, recipe: Recipe, observer: Observer) -> Built:
        """Measures and trains; see ``Loaded.build``.

        Raises:
            TrainingError: the recipe asks for what only the engine in memory does, or Spark fails.
        """
        if recipe.search is not None:
            raise TrainingError(
                "--engine spark does not search for hyperparameters; search on a sample in memory "
                "(tune), and give the winner as --config"
            )
        if recipe.plan is not None and (recipe.plan.patience or recipe.plan.repeats > 1):
            raise TrainingError("--engine spark measures one split, without early stopping")
        observer.note(_LEFT_OUT)
        preset = _of_spark(recipe.preset)
        folder = mkdtemp(prefix="encore-model-")
        try:
            with told(self.session), observer.bars() as bars:
                figures = self._measure(preset, recipe.plan, observer, bars)
                model, parameters = self._train(preset, recipe, Path(folder), bars)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # The files of the arrays live as long as the model, which maps them.
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
        entry = None if figures is None else figures.to_json()
        return Built(
            model=model,
            card=self._card(preset, parameters, entry),
            report=None,
            preset=preset,
            figures=figures,
            convergence=None,
            measured=entry,
        )

    def _measure(
        self, preset: Preset, plan: Plan | None, observer: Observer, progress: Progress
    ) -> Figures | None:
        if plan is None:
            return None
        part = PartOf("split", progress)
        contenders = {
            name: one for name, one in preset.contenders.items() if isinstance(one, Contender)
        }
        plan = replace(plan, seed=preset.parameters.seed)
        try:
            pairs = marked(self.matrix, preset.split)
            train = pairs.where("mark = 0").drop("mark")
            fitted = _Fitted.of(train, self.matrix, preset.parameters, part)
            done = part.step("evaluation", 1)
            shared = self.session.sparkContext.broadcast(fitted.shared())
            on_split = Fitted(pairs, shared, fitted.counts)
            evaluation = evaluate(self.matrix, on_split, contenders, plan)
            done(1)
        except NothingToMeasure as error:
            observer.note(f"nothing is measured: {error}")
            return None
        return summarise([evaluation], preset.split.to_manifest(), seed=plan.seed)

    def _train(
        self, preset: Preset, recipe: Recipe, folder: Path, progress: Progress
    ) -> tuple[Model, Parameters]:
        part = PartOf("all data", progress)
        matrix = self.matrix
        fitted = _Fitted.of(matrix.pairs, matrix, preset.parameters, part)
        fitted = fitted.numbered_by_length()
        unit = factors.event_unit(fitted.weights, matrix.n_pairs, recipe.event_unit)
        users_done = part.step("everyone's vector and list", 1)
        shared = self.session.sparkContext.broadcast(fitted.shared())
        parts = user_parts(matrix, shared, recipe.list_length).persist()
        parts.count()  # all at once; the iterator below asks for one partition after the other
        arrays = UserArrays.gather(
            parts.toLocalIterator(),
            matrix,
            fitted.item_factors.shape[1],
            recipe.list_length,
            folder,
            has_recency=preset.parameters.half_life is not None,
        )
        parts.unpersist()
        users_done(1)
        order = np.argsort(fitted.number)
        items = matrix.items.sort("number").toArrow()
        ids, names = (
            items[column].to_numpy(zero_copy_only=False)[order] for column in ("id", "name")
        )
        model = Model(
            version="in-memory",
            card={},
            users=IdMap.build(matrix.users.sort("number").toArrow()["id"].to_pylist()),
            items=Items.of(IdMap.build(ids.tolist()), StringTable.build(names.tolist())),
            user_factors=arrays.vectors,
            item_factors=fitted.item_factors,
            blocks=(fitted.block,),
            user_items=arrays.user_items,
            popularity=fitted.popularity,
            event_units=(unit,),
            top_lists=arrays.top_lists,
        )
        return model, fitted.parameters

    def _card(
        self, preset: Preset, parameters: Parameters, measured: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if measured is not None:
            measured = {
                "measured_on": "a split of the same data; this model is refit on all of it",
                **measured,
            }
        entry = preset.parameters.to_manifest() | {"regularization": parameters.regularization}
        return {
            "dataset": self.provenance.to_manifest(),
            "preset": preset.name,
            "recipe": None,
            "parameters": entry,
            "engine": "spark",
            "metrics": measured,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Factors of the items, and what users are solved with.

    Attributes:
        item_factors: float32, shape (n_items, factors).
        block: the block of ALS.
        parameters: the resolved hyperparameters.
        counts: of the pairs.
        popularity: of the items, by their numbers in the model.
        number: int32, shape (n_items,), the number in the model of each item of the matrix.
        weights: the weighted pairs.
    """

    item_factors: NDArray[np.float32]
    block: AlsBlock
    parameters: Parameters
    counts: factors.Counts
    popularity: Popularity
    number: NDArray[np.int32]
    weights: DataFrame

    @classmethod
    def of(
        cls, pairs: DataFrame, matrix: Matrix, parameters: Parameters, progress: Progress
    ) -> _Fitted:
        n_items = matrix.n_items
        done = progress.step("weighting", 1)
        counts = factors.counts_of(pairs, n_items)
        weighting = factors.fit_weighting(pairs, counts, parameters, n_items)
        weights = factors.weighted(pairs, weighting, n_items)
        parameters = factors.resolved(parameters, weights)
        done(1)
        done = progress.step("ALS", 1)
        made = factors.item_factors(weights, parameters, counts, n_items)
        done(1)
        with threadpool_limits(limits=1, user_api="blas"):
            block = AlsBlock(
                gramian(made), weighting, parameters.alpha, parameters.fold_in_regularization
            )
        number = np.arange(n_items, dtype=np.int32)
        return cls(made, block, parameters, counts, counts.popularity, number, weights)

    def shared(self) -> Shared:
        """Returns what tasks need."""
        return Shared(self.item_factors, (self.block,), self.popularity, self.number)

    def numbered_by_length(self) -> _Fitted:
        """Returns the same with the items by the length of their vectors, longest first."""
        order = np.argsort(-item_norms(self.item_factors), kind="stable")
        number = np.empty(len(order), dtype=np.int32)
        number[order] = np.arange(len(order), dtype=np.int32)
        made, weighting = self.item_factors[order], self.block.weighting
        if len(weighting.idf):
            weighting = replace(weighting, idf=weighting.idf[order])
        with threadpool_limits(limits=1, user_api="blas"):
            block = replace(self.block, gramian=gramian(made), weighting=weighting)
        counted = self.counts.popularity
        popularity = Popularity.ranked(counted.listeners[order], counted.plays[order])
        return replace(self, item_factors=made, block=block, popularity=popularity, number=number)
