"""The processor time of a model of two blocks, beside one of ALS alone of the same total length.

    python -m benchmarks.block_cost

Both models are made up, with the same vectors of 20,000 artists. They differ in the blocks: one has
all columns from ALS, the other half of them from a linear block. Measured are the fold-in of one
user, and the whole of a list that is ranked live for listens in the query. Medians of the processor
time; the two models take turns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.model.blocks import LinearBlock
from app.model.event_unit import EventUnit
from app.model.fold_in import gramian
from app.model.model import Model
from app.model.weighting import Weighting, WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from benchmarks.conditions import conditions
from benchmarks.made_up_model import made_up_model

RESULTS: Final = Path(__file__).parent / "results" / "block_cost.json"
_LENGTHS: Final = (64, 128, 256, 512)
_HISTORIES: Final = (5, 20, 50, 200)
_USERS: Final = 3_000
_ARTISTS: Final = 20_000
_TURNS: Final = 60


def two_blocks(model: Model) -> Model:
    """Returns the model with the second half of its columns from a linear block."""
    als = model.als
    if als is None:
        raise ValueError("the model has no block of ALS")
    length = als.length // 2
    # So that vectors point at artists as they do in a trained model, and scans end as early.
    history = np.ascontiguousarray(model.item_factors[:, length:])
    weighting = Weighting.fit(model.user_items, WeightingName.LOG)
    blocks = (
        replace(als, gramian=gramian(model.item_factors[:, :length])),
        LinearBlock(history, weighting, 1.0, 1.0),
    )
    units = tuple(EventUnit.of(model.user_items, block.weighting) for block in blocks)
    return replace(model, blocks=blocks, event_units=units)


def measure(model: Model) -> dict[str, dict[str, float]]:
    """Returns microseconds of both models and their ratio, by what is done."""
    models = {"als": model, "als and linear": two_blocks(model)}
    recommenders = {name: Recommender(one) for name, one in models.items()}
    rng = np.random.default_rng(2)
    figures = {}
    for length in _HISTORIES:
        listens = [
            [
                (model.items.id(int(item)), 3.0)
                for item in rng.choice(_ARTISTS, length, replace=False)
            ]
            for _ in range(_TURNS)
        ]
        queries = [Query(n=10, listens=one) for one in listens]
        figures[f"fold-in of {length}"] = _compare(
            {name: _tastes(one, queries) for name, one in recommenders.items()}
        )
        figures[f"live list of {length} listens"] = _compare(
            {name: _lists(one, queries) for name, one in recommenders.items()}
        )
    users = [Query(model.users.id(user), n=10) for user in range(_TURNS)]
    figures["precomputed list"] = _compare(
        {name: _lists(one, users) for name, one in recommenders.items()}
    )
    return figures


def _tastes(recommender: Recommender, queries: Sequence[Query]) -> Callable[[int], object]:
    return lambda turn: recommender.tastes([queries[turn]])


def _lists(recommender: Recommender, queries: Sequence[Query]) -> Callable[[int], object]:
    return lambda turn: recommender.recommend(queries[turn])


def _compare(calls: dict[str, Callable[[int], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(0)  # what is made once
    for turn in range(_TURNS):
        for name, call in calls.items():
            best = np.inf
            for _ in range(3):
                start = time.process_time()
                call(turn)
                best = min(best, time.process_time() - start)
            taken[name].append(best)
    microseconds = {name: 1e6 * float(np.median(times)) for name, times in taken.items()}
    one, two = microseconds.values()
    return {name: round(value, 1) for name, value in microseconds.items()} | {
        "ratio": round(two / one, 3)
    }


def main() -> None:
    """Measures, prints and writes the result."""
    result: dict[str, Any] = {"conditions": conditions()}
    for length in _LENGTHS:
        figures = measure(made_up_model(_USERS, _ARTISTS, length))
        for name, values in figures.items():
            print(length, name, values, flush=True)
        result[f"{length} factors"] = figures
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
