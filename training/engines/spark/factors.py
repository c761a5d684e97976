"""Factors of the items: the weighting of the pairs, and ALS of Spark's MLlib.

MLlib minimises what implicit does (Hu, Koren and Volinsky 2008), with the confidence
c_ui = 1 + alpha * weight_ui. It differs in the regularization: MLlib multiplies it by the number of
pairs of a user or an item, so that an artist with a thousand listeners is held a thousand times as
strongly as one with a single listener (weighted-lambda-regularization: Zhou, Wilkinson, Schreiber
and Pan, Large-Scale Parallel Collaborative Filtering for the Netflix Prize, 2008). The
regularization of a recipe is divided by the number of pairs that a pair shares its user or its item
with, the geometric mean of both, so that a pair meets as much of it in the mean as without counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model.event_unit import SAMPLED_PAIRS, EventUnit
from app.model.model import Popularity
from app.model.weighting import WEIGHTINGS, Weighting
from training.engines.spark.tables import Rows, by_rows
from training.errors import TrainingError
from training.fitting.confidence import too_large
from training.fitting.hyperparameters import Parameters
from training.fitting.weighted import check_median

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_FACTOR_BLOCK: Final = 20_000
# What the preset ``default`` changes here: MLlib's regularization is too weak for artists of few
# listeners where it is right for the others, so there are fewer factors, and weights count less.
# Chosen on the validation part of HetRec (docs/scaling.md).
RECIPE: Final[Mapping[str, Any]] = {
    "factors": 64,
    "alpha": 3.0,
    "relative_regularization": 0.15,
    "fold_in_share": 1.0,
}


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What the pairs of a training part come to.

    Attributes:
        popularity: of the items, by their numbers.
        n_listening: number of users with a pair.
        n_pairs: number of pairs.
        pairs_of_user: number of pairs that a pair shares its user with, in the mean.
    """

    popularity: Popularity
    n_listening: int
    n_pairs: int
    pairs_of_user: float

    @property
    def pairs_of_item(self) -> float:
        """Number of pairs that a pair shares its item with, in the mean."""
        listeners = self.popularity.listeners.astype(np.float64)
        return float(listeners @ listeners) / self.n_pairs


def counts_of(pairs: DataFrame, n_items: int) -> Counts:
    """Counts the pairs of a training part.

    Args:
        pairs: columns ``user``, ``item`` and ``plays``.
        n_items: number of items.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    listeners, plays = np.zeros(n_items, dtype=np.int64), np.zeros(n_items)
    table = pairs.groupBy("item").agg(
        F.count("*").alias("listeners"), F.sum(F.col("plays").cast("double")).alias("plays")
    )
    found = table.toArrow()
    items = found["item"].to_numpy()
    listeners[items], plays[items] = found["listeners"].to_numpy(), found["plays"].to_numpy()
    popularity = Popularity.ranked(listeners, plays)
    n_pairs = int(listeners.sum())
    lengths = pairs.groupBy("user").count()
    n_listening, squares = lengths.agg(F.count("*"), F.sum(F.col("count") ** 2)).collect()[0]
    return Counts(popularity, n_listening, n_pairs, squares / n_pairs)


def fit_weighting(
    pairs: DataFrame, counts: Counts, parameters: Parameters, n_items: int
) -> Weighting:
    """Fits the weighting, as ``Weighting.fit`` does.

    Args:
        pairs: the pairs of a training part, in rows.
        counts: of the same.
        parameters: name the weighting.
        n_items: number of items.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    rule = WEIGHTINGS[parameters.weighting]
    median = _only(pairs.agg(F.expr("percentile(cast(plays as double), 0.5)")))
    check_median(median)
    in_medians = F.sum(F.col("plays").cast("double") / median).alias("length")
    lengths = pairs.groupBy("user").agg(in_medians).where("length > 0")
    idf = np.zeros(0, dtype=np.float32)
    if rule.has_idf:
        listeners = counts.popularity.listeners
        idf = np.log1p((counts.n_listening - listeners + 0.5) / (listeners + 0.5))
        idf = idf.astype(np.float32)
    undivided = Weighting(
        name=parameters.weighting,
        k1=parameters.k1,
        b=parameters.b,
        median_plays=median,
        mean_length=_only(lengths.agg(F.avg("length"))),
        mean_weight=1.0,
        idf=idf,
    )
    if not rule.is_scale_free:
        return undivided
    weights = weighted(pairs, undivided, n_items)
    mean = _only(weights.agg(F.sum(F.col("weight").cast("double")) / F.count("*")))
    return replace(undivided, mean_weight=mean)


def weighted(pairs: DataFrame, weighting: Weighting, n_items: int) -> DataFrame:
    """Returns the pairs with a column ``weight``, without plays."""

    def weigh(rows: Rows, _part: int) -> Iterable[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415

        users = np.repeat(rows.users, rows.user_items.row_lengths()).astype(np.int32)
        yield pa.RecordBatch.from_pydict(
            {
                "user": users,
                "item": rows.user_items.indices,
                "weight": weighting.weigh(rows.user_items),
            }
        )

    return by_rows(pairs, n_items, weigh, "user int, item int, weight float")


def noise_scale(weights: DataFrame, alpha: float) -> float:
    """Returns the noise scale of the confidence; see ``training.fitting.confidence``."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    confidence = (1.0 + alpha * F.col("weight").cast("double")).cast("float").cast("double")
    squares = weights.select("user", "item", (confidence * confidence).alias("square"))
    total = 0.0
    for side in ("user", "item"):
        sums = squares.groupBy(side).agg(F.sum("square").alias("sum"))
        total += _only(sums.agg(F.sqrt(F.sum(F.col("sum") ** 2) / F.sum("sum"))))
    return total


def resolved(parameters: Parameters, weights: DataFrame) -> Parameters:
    """Returns the hyperparameters with an absolute regularization.

    Raises:
        TrainingError: a confidence is too large for float32.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    most = _only(weights.agg(F.max("weight")))
    if not np.isfinite(np.float32(1.0 + parameters.alpha * most)):
        raise TrainingError(too_large(parameters.alpha))
    if not parameters.regularization_is_relative:
        return parameters
    scale = noise_scale(weights, parameters.alpha)
    return replace(
        parameters,
        regularization=parameters.regularization * scale,
        regularization_is_relative=False,
    )


def item_factors(
    weights: DataFrame, parameters: Parameters, counts: Counts, n_items: int
) -> NDArray[np.float32]:
    """Trains ALS of MLlib.

    Args:
        weights: columns ``user``, ``item`` and ``weight``.
        parameters: resolved hyperparameters.
        counts: of the same pairs.
        n_items: number of items.

    Returns:
        float32, shape (n_items, factors); items without pairs have zeros.

    Raises:
        TrainingError: training diverged.
    """
    from pyspark.ml.recommendation import ALS  # noqa: PLC0415

    als = ALS(
        rank=parameters.factors,
        maxIter=parameters.iterations,
        regParam=regularization_of_mllib(parameters, counts),
        implicitPrefs=True,
        alpha=parameters.alpha,
        seed=parameters.seed,
        userCol="user",
        itemCol="item",
        ratingCol="weight",
        numUserBlocks=_blocks(weights),
        numItemBlocks=_blocks(weights),
        checkpointInterval=-1,
    )
    model = als.fit(weights)
    factors = np.zeros((n_items, parameters.factors), dtype=np.float32)
    for first in range(0, n_items, _FACTOR_BLOCK):
        within = model.itemFactors.where(f"id >= {first} and id < {first + _FACTOR_BLOCK}")
        table = within.toArrow()
        values = table["features"].combine_chunks().flatten().to_numpy()
        factors[table["id"].to_numpy()] = values.reshape(-1, parameters.factors)
    if not np.isfinite(factors).all():
        raise TrainingError(
            "training diverged: the factors are not finite; try a smaller alpha or a larger "
            "regularization"
        )
    return factors


def regularization_of_mllib(parameters: Parameters, counts: Counts) -> float:
    """Returns MLlib's ``regParam`` for a resolved regularization; see the module."""
    return parameters.regularization / float(np.sqrt(counts.pairs_of_user * counts.pairs_of_item))


def event_unit(weights: DataFrame, n_pairs: int, multiple: float) -> EventUnit:
    """Returns the unit of events, of the users of whom ``EventUnit.of`` takes it."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    step = max(1, -(-n_pairs // SAMPLED_PAIRS))
    sampled = weights.where(F.col("user") % step == 0) if step > 1 else weights
    return EventUnit(
        multiple, _only(sampled.agg(F.expr("percentile(cast(weight as double), 0.5)")))
    )


def _blocks(frame: DataFrame) -> int:
    return max(10, int(frame.sparkSession.sparkContext.defaultParallelism))


def _only(frame: DataFrame) -> Any:
    row = frame.first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return float(row[0])
