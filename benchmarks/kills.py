"""Kills (SIGKILL) of everything that Encore consists of, and what is left afterwards.

    python -m benchmarks.kills --rounds 100

- ``service, sqlite`` and ``service, postgresql``: the whole service, while events come in;
- ``worker``: one of two workers, which the service replaces;
- ``database``: the PostgreSQL server under a service;
- ``training``: a training that publishes into a models folder, half of them while it writes there.

After the first four, the store has to hold every acknowledged event once (``benchmarks/crash.py``),
and the log has to name every death. After each killed training the current model and every version
in the folder have to be whole, and in the end a training has to succeed and to leave nothing of the
others. A training that is killed ends with the status of the signal, which whoever started it sees;
what it had begun to write is removed by the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from app.artifacts.models_folder import ModelsFolder
from benchmarks.conditions import conditions
from benchmarks.crash import Victim, crash
from tests.postgres import PostgresServer

RESULTS: Final = Path(__file__).parent / "results" / "kills.json"
ROOT: Final = Path(__file__).parents[1]
_PATIENCE_S: Final = 120.0
_LONGEST_LATE_S: Final = 0.3
_LOOK_S: Final = 0.002


class Trainings:
    """Trainings on a small made-up sample, into one models folder.

    Args:
        folder: for the sample and the models.
    """

    def __init__(self, folder: Path) -> None:
        self._sample = folder / "sample"
        self.models = folder / "models"
        self._run("generate", "--users", "300", "--artists", "400", "--out", self._sample)

    def train(self) -> float:
        """Publishes a model, and returns the seconds that it took."""
        start = time.monotonic()
        self._run(*self._command())
        return time.monotonic() - start

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a training."""
        return subprocess.Popen(
            [sys.executable, "-m", "training", *self._command()],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def leftovers(self) -> list[Path]:
        """Returns the folders of unfinished models."""
        pattern = f".{self.models.name}-building-*"
        return [*self.models.glob(pattern), *self.models.parent.glob(pattern)]

    def writes(self, pid: int) -> bool:
        """Says whether there is an unfinished model of a process."""
        return any(place.name.endswith(f"-{pid}") for place in self.leftovers())

    def faults(self) -> int:
        """Returns how many published versions are not whole; the current one counts twice."""
        folder = ModelsFolder(self.models)
        names = [*folder.versions(), folder.current()]
        return sum(not _is_whole(folder, name) for name in names)

    def _command(self) -> list[str | Path]:
        source: list[str | Path] = ["--dataset", "synthetic", "--data", self._sample]
        return ["train", *source, "--models", self.models, "--no-evaluation", "--no-events"]

    def _run(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "training", *arguments]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def _is_whole(folder: ModelsFolder, version: str | None) -> bool:
    if version is None:
        return False
    try:
        folder.open(version)
        folder.verify(version)
    except Exception as error:
        print(f"{version}: {error}", flush=True)
        return False
    return True


def kills_of_training(folder: Path, rounds: int, seed: int = 0) -> dict[str, Any]:
    """Kills trainings at random moments, every other one while it writes.

    Args:
        folder: an empty folder.
        rounds: number of kills.
        seed: of the moments.
    """
    rng = random.Random(seed)
    trainings = Trainings(folder)
    seconds = trainings.train()
    killed = finished = faults = while_writing = 0
    for number in range(rounds):
        process = trainings.start()
        if number % 2:
            _wait(lambda: trainings.writes(process.pid) or process.poll() is not None)  # noqa: B023
            time.sleep(rng.uniform(0, _LONGEST_LATE_S))
        else:
            time.sleep(rng.uniform(0, seconds))
        process.kill()
        is_killed = process.wait() == -signal.SIGKILL
        killed += is_killed
        finished += not is_killed
        while_writing += trainings.writes(process.pid)
        faults += trainings.faults()
    before = ModelsFolder(trainings.models).current()
    trainings.train()
    faults += trainings.faults()
    return {
        "rounds": rounds,
        "killed": killed,
        "killed while writing": while_writing,
        "finished before": finished,
        "versions that are not whole": faults,
        "the next training publishes": ModelsFolder(trainings.models).current() != before,
        "leftovers after the next training": len(trainings.leftovers()),
    }


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def kills_of_service(
    folder: Path, models: Path, victim: Victim, rounds: int, *, with_postgres: bool
) -> dict[str, Any]:
    """Kills the service, one of its workers, or its database."""
    if not with_postgres:
        return crash(models, f"sqlite:///{folder}/encore.db", rounds, victims=[victim])
    server = PostgresServer()

    def restart() -> None:
        server.kill()
        server.start()

    try:
        return crash(
            models, server.new_database(), rounds, victims=[victim], restart_database=restart
        )
    finally:
        server.remove()


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", help="one of the kinds")
    given = parser.parse_args()
    os.environ.pop("ENCORE_DATABASE_URL", None)
    kinds: dict[str, tuple[Victim, bool]] = {
        "service, sqlite": ("service", False),
        "service, postgresql": ("service", True),
        "worker": ("worker", False),
        "database": ("database", True),
    }
    for kind in [*kinds, "training"]:
        if given.only not in {None, kind}:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if kind == "training":
                result = kills_of_training(folder, given.rounds)
            else:
                trainings = Trainings(folder)
                trainings.train()
                victim, with_postgres = kinds[kind]
                result = kills_of_service(
                    folder, trainings.models, victim, given.rounds, with_postgres=with_postgres
                )
        print(json.dumps({kind: result}, indent=2), flush=True)
        written = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        written |= {"conditions": conditions(), kind: result}
        RESULTS.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
