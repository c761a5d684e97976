"""What the linear block adds to ALS: NDCG on validation parts, and the time of training.

    python -m benchmarks.blocks --data ../shared/data

Of every data set only a training part is ever looked at: a validation part is cut from it, and
NDCG@20 is measured there, of ALS alone (as ``benchmarks.preset`` chose it), of the linear block
alone, and of both at several ranks and weights, and with a user exponent. The time of training is
that of both blocks against ALS alone with as many columns, on generated data, in turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.conditions import conditions
from benchmarks.preset import als_alone, load, validation_parts
from training.data.interactions import Interactions
from training.datasets.synthetic.generator import generate
from training.fitting.fit import ALS, fit_model
from training.fitting.hyperparameters import LinearParameters, Parameters
from training.fitting.linear_block import Linear
from training.fitting.weighted import Weighted
from training.measuring.convergence import Validation
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold

RESULTS: Final = Path(__file__).parent / "results" / "blocks.json"
_K: Final = 20
_USERS: Final = 2000
_RANKS: Final = (128, 512, 1024)
_WEIGHTS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
_VALIDATION_SEED: Final = 100
# Columns of the timed models: all of ALS, or half of each block.
_COLUMNS: Final = 256


def folds(data: Path) -> Iterator[tuple[str, Fold]]:
    """Yields training and validation part by data set."""
    hetrec = load("hetrec-lastfm-2k", data / "hetrec2011-lastfm-2k")
    yield "hetrec", Fold(*validation_parts(hetrec))
    citeulike = load("table", data / "citeulike-a" / "pairs.csv")
    yield "citeulike-a", Fold(*validation_parts(citeulike))
    # Its training part comes as a file of its own.
    beauty = load("table", data / "amazon-beauty" / "train.csv")
    yield "amazon-beauty", Fold(*RandomPerUser(min_items=3, seed=_VALIDATION_SEED).split(beauty))


def compare(fold: Fold) -> dict[str, Any]:
    """Returns NDCG@20 of each block alone and of both."""
    user_items, parameters = fold.train.user_items, als_alone()
    validation = Validation(fold, k=_K, sample=_USERS)
    rows = user_items.take(validation.users)
    weighted = Weighted.of(user_items, parameters)
    als = ALS.train(weighted.confidence, weighted.parameters)
    none = np.zeros((user_items.n_items, 0), dtype=np.float32)

    def ndcg(linear: Linear | None, *, alone: bool = False) -> float:
        factors, weighting = (none, None) if alone else (als, weighted.weighting)
        value = validation.ndcg(factors, rows, weighting, weighted.parameters, linear)
        return round(value, 4)

    figures: dict[str, Any] = {
        "users": user_items.n_users,
        "items": user_items.n_items,
        "pairs": user_items.nnz,
        "measured users": len(validation.users),
        "als alone": ndcg(None),
    }
    for rank in _RANKS:
        linear = Linear.of(user_items, LinearParameters(rank=rank), seed=0)
        figures[f"rank {rank}"] = {"linear alone": ndcg(linear, alone=True)} | {
            f"both, weight {weight:g}": ndcg(_weighing(linear, weight)) for weight in _WEIGHTS
        }
        print(json.dumps(figures[f"rank {rank}"]), flush=True)
    parameters_of_exponent = LinearParameters(rank=_RANKS[0], user_exponent=0.5)
    linear = Linear.of(user_items, parameters_of_exponent, seed=0)
    figures[f"rank {_RANKS[0]}, user exponent 0.5"] = {
        f"both, weight {weight:g}": ndcg(_weighing(linear, weight)) for weight in _WEIGHTS
    }
    return figures


def _weighing(linear: Linear, weight: float) -> Linear:
    """Returns the block with another weight, which its directions do not depend on."""
    return replace(linear, block=replace(linear.block, weight=weight))


def time_training(users: int, artists: int, turns: int, iterations: int) -> dict[str, Any]:
    """Returns the seconds of training with both blocks and with ALS alone, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), users=users, artists=artists)
        interactions = load("synthetic", Path(folder))
    half = _COLUMNS // 2
    base = replace(als_alone(), iterations=iterations)
    recipes = {
        "als alone": replace(base, factors=_COLUMNS),
        "both": replace(base, factors=half, linear=LinearParameters(rank=half)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    for turn in range(turns):
        for name in sorted(recipes, reverse=turn % 2 == 1):
            seconds[name].append(_seconds(interactions, recipes[name]))
        print(f"turn {turn + 1}: {json.dumps(seconds)}", flush=True)
    ratios = [both / als for both, als in zip(seconds["both"], seconds["als alone"], strict=True)]
    return {
        "pairs": interactions.user_items.nnz,
        "columns": _COLUMNS,
        "iterations": iterations,
        "seconds": {name: [round(one, 1) for one in all_] for name, all_ in seconds.items()},
        "linear block alone, s": round(_linear_seconds(interactions, half), 1),
        "ratio, median": round(median(ratios), 3),
    }


def _seconds(interactions: Interactions, parameters: Parameters) -> float:
    start = time.perf_counter()
    fit_model(interactions, parameters)
    return time.perf_counter() - start


def _linear_seconds(interactions: Interactions, rank: int) -> float:
    start = time.perf_counter()
    Linear.of(interactions.user_items, LinearParameters(rank=rank), seed=0)
    return time.perf_counter() - start


def main() -> None:
    """Runs from the command line; parts that are not run keep their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets; none: only the time")
    parser.add_argument("--users", type=int, default=40_000, help="generated; 0: no time")
    parser.add_argument("--artists", type=int, default=40_000, help="generated")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=15, help="of ALS in each turn")
    given = parser.parse_args()
    former: Mapping[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results = {**former, "conditions": conditions(), "k": _K}
    if given.data is not None:
        results["validation"] = {}
        for name, fold in folds(given.data):
            results["validation"][name] = compare(fold)
            print(name, json.dumps(results["validation"][name], indent=2), flush=True)
    if given.users:
        timed = time_training(given.users, given.artists, given.turns, given.iterations)
        results["training"] = timed
        print(json.dumps(timed, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
