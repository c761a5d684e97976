"""The precomputed lists of all users at the size of the study: their cost and correctness.

    python -m training generate --users 358868 --artists 160112 --out /tmp/full
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.lists --data /tmp/full

The lists of all users are timed in turns with ALS iterations on the same data, and every single
list is compared with a brute-force ranking: all products in float64, without the items of the user,
sorted. Where two lists differ in a place, their scores there must be the same float32.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from app.model.model import Model
from app.ranking.scoring import _Scan
from benchmarks.conditions import conditions
from training.data.filters import preprocess
from training.data.interactions import Interactions
from training.datasets import LoadOptions, load_dataset
from training.fitting.fit import ALS, fit_model
from training.fitting.top_lists import with_top_lists
from training.fitting.weighted import Weighted
from training.presets import DEFAULT, REFERENCE, Preset

RESULTS: Final = Path(__file__).parent / "results" / "lists.json"
LENGTH: Final = 100
ITERATIONS: Final = 20
_TURN: Final = 2
_FACTORS: Final = 100
_BLOCK: Final = 256


def measure_time(interactions: Interactions, model: Model, preset: Preset, turns: int) -> Any:
    """Times lists and ALS iterations in turns."""
    parameters = replace(preset.parameters, factors=_FACTORS, iterations=_TURN)
    weighted = Weighted.of(interactions.user_items, parameters)
    lists, iterations = [], []
    for _ in range(turns):
        start = time.perf_counter()
        with_top_lists(model, LENGTH)
        listed = time.perf_counter()
        ALS.train(weighted.confidence, weighted.parameters)
        lists.append(listed - start)
        iterations.append((time.perf_counter() - listed) / _TURN * ITERATIONS)
    return {
        "lists_s": [round(value, 2) for value in lists],
        f"als_{ITERATIONS}_iterations_s": [round(value, 2) for value in iterations],
        "ratio_median": round(median(a / b for a, b in zip(lists, iterations, strict=True)), 3),
    }


def compare(model: Model) -> dict[str, int]:
    """Compares every list with a brute-force ranking in float64.

    Raises:
        SystemExit: a list differs by more than float32 can tell.
    """
    lists = model.top_lists
    if lists is None:
        raise SystemExit("error: the model has no lists")
    items, users = model.item_factors.astype(np.float64), model.user_factors.astype(np.float64)
    same = ties = 0
    for start in range(0, len(users), _BLOCK):
        scores = users[start : start + _BLOCK] @ items.T
        for row, products in enumerate(scores):
            user = start + row
            products[model.user_items.row(user)[0]] = -np.inf
            best = np.argpartition(-products, LENGTH)[:LENGTH]
            best = best[np.lexsort((best, -products[best]))]
            if np.array_equal(best, lists.items[user]):
                same += 1
                continue
            ties += 1
            differs = best != lists.items[user]
            brute = products[best].astype(np.float32)[differs]
            ours = products[lists.items[user]].astype(np.float32)[differs]
            if not np.allclose(brute, ours, rtol=2 * np.finfo(np.float32).eps, atol=0):
                raise SystemExit(f"error: the list of user {user} is wrong:\n{brute}\n{ours}")
    return {"lists": len(users), "identical": same, "but_for_ties": ties}


def looked_at(model: Model, n: int, *, seen: bool) -> float:
    """Returns the mean share of the artists that a scan for one user looks at."""
    catalogue, ends = model.catalogue, []
    for user in np.random.default_rng(0).choice(len(model.users), 500, replace=False).tolist():
        hidden = np.zeros(0, dtype=np.int32) if seen else model.user_items.row(user)[0]
        scan = _Scan(model.user_factors[user : user + 1], catalogue, n, [hidden])
        scan.run()
        ends.append(scan.looked_at)
    return round(float(np.mean(ends)) / len(model.items), 4)


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    records = load_dataset("synthetic", given.data, LoadOptions())
    interactions, _steps = preprocess(records, REFERENCE.filters)
    results: dict[str, Any] = {
        "conditions": conditions(),
        "users": interactions.user_items.n_users,
        "artists": interactions.user_items.n_items,
        "factors": _FACTORS,
        "list_length": LENGTH,
        "presets": {},
    }
    for preset in (DEFAULT, REFERENCE):
        parameters = replace(preset.parameters, factors=_FACTORS)
        model = fit_model(interactions, parameters, number_by_length=True)
        timed = measure_time(interactions, model, preset, given.turns)
        with threadpool_limits(limits=1, user_api="blas"):
            shares = {
                f"{n}_{'seen included' if seen else 'unseen'}": looked_at(model, n, seen=seen)
                for n, seen in ((10, True), (10, False), (LENGTH, False))
            }
        compared = compare(with_top_lists(model, LENGTH))
        results["presets"][preset.name] = {**timed, "share_looked_at": shares, **compared}
        print(preset.name, results["presets"][preset.name], flush=True)
    given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
