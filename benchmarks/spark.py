"""Training in Spark beside training in memory: time and memory, and how both grow with the rows.

    python -m benchmarks.spark --work /tmp/spark --users 358868 --artists 160112

Data are generated, once with the given users and once with twice as many, who have twice the rows.
Each training is a process of its own, with the same hyperparameters for both engines and without a
measurement. Memory is private memory, sampled twice a second: of the whole tree of processes, of
the driver in Python, and of the Java process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.conditions import conditions
from training.datasets.synthetic.generator import generate

RESULTS: Final = Path(__file__).parent / "results" / "spark.json"
_INTERVAL: Final = 0.5
_MIB: Final = 2**20
_COMMON: Final = (
    *("--dataset", "synthetic", "--no-events", "--no-evaluation", "--no-report"),
    *("--linear-rank", "0", "--factors", "64", "--alpha", "3", "--iterations", "10"),
    *("--relative-regularization", "0.15", "--fold-in-share", "1"),
)


def private_memory(pid: int) -> int:
    """Returns the private memory of a process in bytes, 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def tree_of(root: int) -> dict[int, str]:
    """Returns a process and all below it, with their names."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            head, _, tail = (process / "stat").read_text().rpartition(")")
            pid = int(process.name)
            parents[pid], names[pid] = int(tail.split()[1]), head.partition("(")[2]
    found, fresh = {root: names.get(root, "")}, [root]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh and pid not in found]
        found |= {pid: names[pid] for pid in fresh}
    return found


def run(data: Path, models: Path, options: Sequence[str]) -> dict[str, Any]:
    """Trains in a process of its own; returns seconds and peaks of memory in MiB."""
    command = [sys.executable, "-m", "training", "train", "--data", str(data), *_COMMON]
    command += ["--models", str(models), *options]
    start = time.monotonic()
    peaks = {"all": 0, "driver": 0, "java": 0}
    log = models.parent / "train.log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        while process.poll() is None:
            tree = tree_of(process.pid)
            memory = {pid: private_memory(pid) for pid in tree}
            java = sum(memory[pid] for pid, name in tree.items() if name == "java")
            now = {"all": sum(memory.values()), "driver": memory[process.pid], "java": java}
            peaks = {name: max(peak, now[name]) for name, peak in peaks.items()}
            time.sleep(_INTERVAL)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return {
        "seconds": round(time.monotonic() - start, 1),
        **{f"peak MiB, {name}": round(peak / _MIB) for name, peak in peaks.items() if peak},
    }


def main() -> None:
    """Generates, trains and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and models")
    parser.add_argument("--users", type=int, default=358_868)
    parser.add_argument("--artists", type=int, default=160_112)
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--conf", default="spark.driver.memory=10g")
    given = parser.parse_args()
    results: dict[str, Any] = {"conditions": conditions(), "conf": given.conf}
    engines = {
        "memory": ["--engine", "memory"],
        "spark": ["--engine", "spark", "--spark-master", given.master, "--spark-conf", given.conf],
    }
    given.work.mkdir(parents=True, exist_ok=True)
    for times in (1, 2):
        users = times * given.users
        data = given.work / f"{users}"
        if not data.exists():
            generate(data, users=users, artists=given.artists, seed=1)
        with (data / "usersha1-artmbid-artname-plays.tsv").open("rb") as file:
            rows = sum(block.count(b"\n") for block in iter(lambda: file.read(2**24), b""))
        results[f"{rows} rows"] = {}
        for name, options in engines.items():
            measured = run(data, given.work / f"models-{name}", options)
            results[f"{rows} rows"][name] = measured
            print(f"{rows:,} rows, {name}: {json.dumps(measured)}", flush=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
