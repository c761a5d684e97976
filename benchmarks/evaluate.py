"""The cost of evaluation and of trials at the size of the study (20,000 users, 67,000 artists).

    python -m training generate --users 358868 --artists 160112 --out /tmp/full
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.evaluate --data /tmp/full

Evaluation: all contenders and all users, with intervals, tests and bands, but without the training
of ALS. A trial: the hyperparameters of the preset with several numbers of factors, measured on the
validation part as in a search, and never given up early.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.conditions import conditions
from training.data.filters import preprocess
from training.datasets import LoadOptions, load_dataset
from training.fitting.fit import fit_model
from training.measuring.convergence import follow, is_exhausted
from training.measuring.evaluation import evaluate
from training.measuring.experiment import VALIDATION_USERS, validation_of
from training.measuring.summary import summarise
from training.presets import DEFAULT, REFERENCE
from training.splitting.split import Fold
from training.tuning.search import GAIN, PATIENCE

RESULTS: Final = Path(__file__).parent / "results" / "evaluate.json"
_FACTORS: Final = (128, 512)
_ITERATIONS: Final = 20


def measure_evaluation(fold: Fold) -> dict[str, Any]:
    """Returns the seconds of evaluating everyone, and the figures."""
    model = fit_model(fold.train, DEFAULT.parameters)
    start = time.perf_counter()
    evaluation = evaluate(model, fold, DEFAULT.contenders)
    listed = time.perf_counter()
    figures = summarise([evaluation], {})
    done = time.perf_counter()
    return {
        "users": figures.users,
        "lists_s": round(listed - start, 1),
        "figures_s": round(done - listed, 1),
        "total_s": round(done - start, 1),
        "models": figures.to_json()["models"],
    }


def measure_trial(fold: Fold, factors: int) -> dict[str, Any]:
    """Returns the seconds of one trial, as in a search."""
    validation = validation_of(fold, DEFAULT.split, k=10, seed=0)
    parameters = replace(DEFAULT.parameters, factors=factors, iterations=_ITERATIONS)
    start = time.perf_counter()
    curve = follow(validation, parameters, lambda so_far: is_exhausted(so_far, PATIENCE, gain=GAIN))
    return {
        "factors": factors,
        "validation_users": len(validation.users),
        "iterations": len(curve),
        "ndcg": round(max(curve), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    records = load_dataset("synthetic", arguments.data, LoadOptions())
    interactions, _steps = preprocess(records, REFERENCE.filters)
    user_items = interactions.user_items
    fold = next(iter(DEFAULT.split.folds(interactions)))
    results: dict[str, Any] = {
        "conditions": conditions(),
        "users": user_items.n_users,
        "artists": user_items.n_items,
        "pairs": user_items.nnz,
        "validation_users_at_most": VALIDATION_USERS,
        "evaluation": measure_evaluation(fold),
        "trials": [measure_trial(fold, factors) for factors in _FACTORS],
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
