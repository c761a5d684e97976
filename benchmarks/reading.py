"""The cost of reading, compared with another commit in alternating turns.

    python -m training generate --users 358868 --artists 160112 --out /tmp/full
    python -m benchmarks.reading --data /tmp/full --against d3182f2 --turns 3

Reads the sample itself, and tables made from it: CSV, CSV with every field in quotation marks, and
TSV with times. Each turn is a process of its own with the code of one commit, which reads, filters
and builds the matrix. Printed and written are the medians of processor time and elapsed time, and
the medians of the ratios of pairs of turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import polars as pl

from benchmarks.conditions import conditions
from training.datasets.lastfm_360k import PLAYS_FILE

RESULTS: Final = Path(__file__).parent / "results" / "reading.json"
_TURN: Final = """
import json, sys, time, resource
from pathlib import Path
from training.datasets import LoadOptions, load_dataset
from training.data.filters import Filters, preprocess
start, cpu = time.perf_counter(), time.process_time()
records = load_dataset(sys.argv[1], Path(sys.argv[2]), LoadOptions())
interactions, _ = preprocess(records, Filters())
print(json.dumps({
    "rows": records.rows.read,
    "pairs": interactions.user_items.nnz,
    "cpu_s": time.process_time() - cpu,
    "wall_s": time.perf_counter() - start,
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
}))
"""


def write_tables(data: Path) -> dict[str, tuple[str, Path]]:
    """Writes the sample as tables beside it; returns dataset and file by name."""
    plays = pl.scan_csv(
        data / PLAYS_FILE,
        separator="\t",
        has_header=False,
        quote_char=None,
        schema={"user_id": pl.String, "mbid": pl.String, "name": pl.String, "plays": pl.String},
    ).select("user_id", pl.col("name").alias("item_id"), pl.col("plays").alias("weight"), "mbid")
    timed = plays.with_columns(timestamp=1_600_000_000 + pl.int_range(pl.len()))
    tables: dict[str, tuple[str, Callable[[Path], None]]] = {
        "csv": ("plays.csv", plays.sink_csv),
        "csv, all quoted": ("quoted.csv", partial(plays.sink_csv, quote_style="always")),
        "tsv with times": ("timed.tsv", partial(timed.sink_csv, separator="\t")),
    }
    (data / "tables").mkdir(exist_ok=True)
    for name, write in tables.values():
        if not (data / "tables" / name).exists():
            write(data / "tables" / name)
    return {
        "lastfm-360k": ("synthetic", data),
        **{label: ("table", data / "tables" / name) for label, (name, _) in tables.items()},
    }


def turn(code: Path, dataset: str, file: Path) -> dict[str, Any]:
    """Reads once with the code of a checkout."""
    ended = subprocess.run(
        [sys.executable, "-c", _TURN, dataset, file.resolve()],
        cwd=code,
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def compare(there: Path, dataset: str, file: Path, turns: int) -> dict[str, Any]:
    """Reads in turns, with this checkout and the other one."""
    here = Path(__file__).parents[1]
    pairs = [(turn(there, dataset, file), turn(here, dataset, file)) for _ in range(turns)]
    if pairs[0][0]["pairs"] != pairs[0][1]["pairs"]:
        raise SystemExit(f"{file}: the two commits read different data")
    result: dict[str, Any] = {"rows": pairs[0][1]["rows"]}
    for figure in ("cpu_s", "wall_s", "peak_gb"):
        result[f"{figure}_before"] = round(median(before[figure] for before, _ in pairs), 2)
        result[f"{figure}_now"] = round(median(now[figure] for _, now in pairs), 2)
        ratio = median(now[figure] / before[figure] for before, now in pairs)
        result[f"{figure}_ratio"] = round(ratio, 3)
    return result


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--against", default="d3182f2", help="commit to compare with")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    files = write_tables(options.data)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        git = ["git", "worktree"]
        subprocess.run([*git, "add", "--detach", there, options.against], check=True)
        try:
            results = {}
            for label, (dataset, file) in files.items():
                results[label] = compare(there, dataset, file, options.turns)
                print(label, json.dumps(results[label]), flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", there], check=True)
    entry = {"conditions": conditions(), "against": options.against, "turns": options.turns}
    RESULTS.write_text(json.dumps({**entry, "reading": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
