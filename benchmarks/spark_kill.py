"""A standalone cluster of two workers on this machine, one of which is killed in mid-job.

    python -m benchmarks.spark_kill

Trains twice on the cluster, with made-up plays. The second time the first worker, its executor and
all that it holds are killed when the records have been read. Says whether the job ended, how long
both took, and the greatest difference between the factors of both models.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyspark

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import open_model
from app.model.model import Model
from benchmarks.conditions import conditions

RESULTS: Final = Path(__file__).parent / "results" / "spark_kill.json"
_USERS: Final = 1200
_ARTISTS: Final = 900
_DENSITY: Final = 0.03
CONF = (
    "spark.executor.memory=600m spark.driver.memory=600m spark.sql.shuffle.partitions=4 "
    "spark.ui.enabled=false spark.driver.host=127.0.0.1 "
    "spark.driver.bindAddress=127.0.0.1"
)


def free_port() -> int:
    """Returns a port that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def spark(kind: str, *arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a part of a cluster, and ends it with all that it has started."""
    home = Path(pyspark.__file__).parent
    command = [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{kind}", *arguments]
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            yield process
        finally:
            end(process.pid)
            process.wait()


def end(pid: int) -> None:
    """Kills a process and all that it has started."""
    below = children_of(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in below:
        end(child)


def children_of(pid: int) -> list[int]:
    """Returns the processes that a process has started."""
    names = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        return [int(child) for name in names for child in name.read_text().split()]
    return []


def write_plays(path: Path) -> Path:
    """Writes a table of plays."""
    rng = np.random.default_rng(6)
    pairs = np.argwhere(rng.random((_USERS, _ARTISTS)) < _DENSITY)
    rows = [f"u{user},i{item},{rng.integers(1, 50)}" for user, item in pairs]
    path.write_text("\n".join(["user_id,item_id,plays", *rows]) + "\n")
    return path


def main() -> None:
    """Runs the cluster and writes the results."""
    with TemporaryDirectory() as folder:
        results = {"conditions": conditions(), **measure(Path(folder))}
    print(json.dumps(results, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def measure(folder: Path) -> dict[str, float]:
    """Trains on a whole cluster, and on one that loses a worker."""
    plays = write_plays(folder / "plays.csv")
    master = f"spark://127.0.0.1:{(port := free_port())}"
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    one = ["--cores", "1", "--memory", "700m", *place, master]
    with (
        spark("master.Master", "--port", str(port), *place, log=folder / "master.log"),
        spark("worker.Worker", "-d", str(folder / "a"), *one, log=folder / "a.log") as first,
        spark("worker.Worker", "-d", str(folder / "b"), *one, log=folder / "b.log"),
    ):
        _wait_for(port)
        whole, seconds = _train(master, plays, folder / "whole")
        disturbed, longer = _train(master, plays, folder / "disturbed", victim=first.pid)
    return {
        "seconds": round(seconds, 1),
        "seconds with a killed worker": round(longer, 1),
        **{
            f"greatest difference, {array}": float(
                np.abs(getattr(disturbed, array) - getattr(whole, array)).max()
            )
            for array in ("item_factors", "user_factors")
        },
    }


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.2)
    raise AssertionError("the master does not answer")


def _train(
    master: str, plays: Path, models: Path, victim: int | None = None
) -> tuple[Model, float]:
    """Trains; kills a worker, if there is a victim, when the records have been read."""
    command = [
        sys.executable,
        "-m",
        "training",
        "train",
        "--dataset",
        "table",
        "--data",
        str(plays),
    ]
    command += ["--no-events", "--no-evaluation", "--no-report", "--models", str(models)]
    command += [
        "--factors",
        "8",
        "--iterations",
        "5",
        "--engine",
        "spark",
        "--spark-master",
        master,
    ]
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, "--spark-conf", CONF],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    if process.stdout is None:
        raise AssertionError("it has a pipe")
    told = ""
    try:
        while line := process.stdout.readline():
            told += line
            if victim is not None and "What was read" in told:
                end(victim)
                victim = None
        process.wait(timeout=300)
    finally:
        process.kill()
        process.wait()
    current = ModelsFolder(models).current()
    if process.returncode or current is None:
        raise SystemExit(told)
    return open_model(models / current), time.monotonic() - start


if __name__ == "__main__":
    main()
