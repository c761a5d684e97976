"""Training at the size of the whole Last.fm 360K: reading, and ALS against implicit itself.

    python -m training generate --users 358868 --artists 160112 --out /tmp/full
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.train --data /tmp/full

Reading (parse, filter, matrix) runs in a process of its own, so that its peak memory is its own.
ALS is timed in turns, in Encore and in implicit called directly, on the same matrix. The ratio of
each pair of turns is printed with the median.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.model.interactions import UserItems
from benchmarks.conditions import conditions
from training.data.filters import Filters, preprocess
from training.datasets import LoadOptions, load_dataset
from training.fitting.fit import ALS
from training.fitting.hyperparameters import Parameters
from training.fitting.weighted import Weighted
from training.presets import DEFAULT, REFERENCE

RESULTS: Final = Path(__file__).parent / "results" / "train.json"


def read(data: Path, filters: Filters, connection: Any) -> None:
    """Reads in a process of its own; sends time, peak memory and the matrix."""
    start = time.perf_counter()
    records = load_dataset("synthetic", data, LoadOptions())
    parsed = time.perf_counter()
    interactions, _steps = preprocess(records, filters)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    user_items = interactions.user_items
    connection.send(
        {
            "rows": records.rows.read,
            "dropped": dict(records.rows.dropped),
            "users": user_items.n_users,
            "artists": user_items.n_items,
            "pairs": user_items.nnz,
            "parse_s": round(parsed - start, 2),
            "filter_and_matrix_s": round(done - parsed, 2),
            "total_s": round(done - start, 2),
            "peak_gb": round(peak / 1e9, 2),
        }
    )
    for array in (user_items.indptr, user_items.indices, user_items.plays):
        connection.send_bytes(array.tobytes())
    connection.send(user_items.n_items)


def measure_reading(data: Path, filters: Filters) -> tuple[dict[str, Any], UserItems]:
    """Returns the figures of reading, and the matrix."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=read, args=(data, filters, theirs))
    process.start()
    figures = ours.recv()
    # Copies, since implicit requires writable arrays.
    indptr = np.frombuffer(ours.recv_bytes(), dtype=np.int64).copy()
    indices = np.frombuffer(ours.recv_bytes(), dtype=np.int32).copy()
    plays = np.frombuffer(ours.recv_bytes(), dtype=np.float32).copy()
    user_items = UserItems(indptr, indices, plays, ours.recv())
    process.join()
    return figures, user_items


def time_ours(confidence: sparse.csr_matrix[np.float32], parameters: Parameters) -> float:
    """Returns the seconds of our ALS."""
    start = time.perf_counter()
    ALS.train(confidence, parameters)
    return time.perf_counter() - start


def time_implicit(confidence: sparse.csr_matrix[np.float32], parameters: Parameters) -> float:
    """Returns the seconds of implicit, called as its documentation says."""
    start = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):
        als = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            random_state=parameters.seed,
        )
        als.fit(confidence, show_progress=False)
    return time.perf_counter() - start


def measure_als(user_items: UserItems, turns: int, iterations: int) -> dict[str, Any]:
    """Returns the ratio ours / implicit, turn by turn, on one confidence matrix."""
    start = time.perf_counter()
    parameters = replace(DEFAULT.parameters, linear=None, iterations=iterations)
    weighted = Weighted.of(user_items, parameters)
    confidence, parameters = weighted.confidence, weighted.parameters
    weighting_s = time.perf_counter() - start
    ours, direct = [], []
    for turn in range(turns):
        # The order alternates, so that neither always runs on the warmer machine.
        for ours_now in (turn % 2 == 0, turn % 2 == 1):
            if ours_now:
                ours.append(time_ours(confidence, parameters))
            else:
                direct.append(time_implicit(confidence, parameters))
        print(f"turn {turn + 1}: ours {ours[-1]:.1f} s, implicit {direct[-1]:.1f} s", flush=True)
    ratios = [a / b for a, b in zip(ours, direct, strict=True)]
    return {
        "factors": parameters.factors,
        "iterations": parameters.iterations,
        "weighting_s": round(weighting_s, 2),
        "ours_s": [round(value, 1) for value in ours],
        "implicit_s": [round(value, 1) for value in direct],
        "ratio_median": round(median(ratios), 3),
        "ratios": [round(value, 3) for value in ratios],
    }


def main() -> None:
    """Runs both parts, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2, help="of ALS in each turn")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # Unfiltered is the larger matrix; the study's filters without its choice of users, too.
    reference = Filters(REFERENCE.filters.min_user_records, REFERENCE.filters.min_item_records)
    reading, user_items = measure_reading(arguments.data, Filters())
    print("reading, no filters:", reading, flush=True)
    filtered, _ = measure_reading(arguments.data, reference)
    print("reading, at least 5:", filtered, flush=True)
    results = {
        "conditions": conditions(),
        "reading": {"no filters": reading, "at least 5": filtered},
        "als": measure_als(user_items, arguments.turns, arguments.iterations),
    }
    print("ALS:", results["als"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
