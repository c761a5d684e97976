"""Private memory of one worker under a mixed load that goes on for a long time.

    python -m benchmarks.soak --minutes 12

First everything that the service caches is filled to its bound: 30,000 users have events, each with
artists of their own that do not change later, so that the 20,000 cached activities are at their
full size; the lists of all these users are requested; every artist is in some answer, once with
each version of the model; more queries are sent than the service remembers; the largest bodies that
are accepted are sent, on all connections at once. Then the mixed load begins: lists of all users
with various options, live lists, batches, events (also of artists that nobody knew before),
histories, rankings, erasures, refused calls, metrics, new connections, and another version of the
model once a minute. From then on the private memory (``Anonymous`` in ``smaps_rollup``) is read
every second.

The slope is that of Theil and Sen, the median of the slopes of all pairs of samples that are far
apart, so that single peaks do not count. A fresh artist needs memory for good; ``--fresh`` says how
many of them there are in a second.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.writable_folder import WritableModelsFolder
from benchmarks.conditions import conditions
from benchmarks.load import Server, encore
from benchmarks.made_up_model import made_up_model, publish_made_up
from benchmarks.mixed_load import Client, Load

RESULTS: Final = Path(__file__).parent / "results" / "soak.json"
_USERS: Final = 30_000
_ARTISTS: Final = 20_000
_CLIENTS: Final = 4
_SWAP_SECONDS: Final = 60
_SAMPLE_SECONDS: Final = 1
# A pair of samples has a slope if they are apart by this share of the time at least.
_APART: Final = 0.3


@dataclass(frozen=True, slots=True)
class Soak:
    """A service under its load.

    Attributes:
        server: the service.
        models: its models folder.
        versions: versions that come into service in turn.
        load: the requests.
        rate: how many of them in a second.
        counts: answers by status.
        ended: ends the clients.
    """

    server: Server
    models: Path
    versions: Sequence[str]
    load: Load
    rate: float
    counts: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    def fill(self) -> None:
        """Fills what the service caches."""
        client = self.client()
        self.load.fill(client.ask)
        for version in [*self.versions, *self.versions]:
            self.put_into_service(version)
            self.load.visit_all_artists(client.ask)
        with ThreadPoolExecutor(2 * _CLIENTS) as threads:
            for number in range(2 * _CLIENTS):
                ask = self.client().ask
                threads.submit(self.load.fill_buffers, ask, random.Random(number))

    def client(self) -> Client:
        """Returns another client."""
        return Client(self.server.port, self.counts)

    def put_into_service(self, version: str) -> None:
        """Exchanges the model, and waits until the service has it."""
        WritableModelsFolder(self.models).set_current(version)
        while json.loads(self.server.get("/health/ready"))["model_version"] != version:
            time.sleep(0.1)

    def drive(self, number: int) -> None:
        """Sends requests at random until the end."""
        client, rng = self.client(), random.Random(number)
        due = time.monotonic()
        while not self.ended.is_set():
            self.load.next(client, rng)
            if rng.random() < 0.001:
                client.renew()
            due = max(due + _CLIENTS / self.rate, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    def swap(self) -> None:
        """Exchanges the model once a minute until the end."""
        client, place = self.client(), 0
        while not self.ended.wait(_SWAP_SECONDS):
            place = (place + 1) % len(self.versions)
            self.put_into_service(self.versions[place])
            self.load.visit_all_artists(client.ask)

    def run(self, settling: float, seconds: float) -> list[tuple[float, float]]:
        """Runs the load, and returns the samples: seconds, and megabytes.

        Args:
            settling: seconds before the first sample.
            seconds: from then on.
        """
        with ThreadPoolExecutor(_CLIENTS + 1) as threads:
            clients = [threads.submit(self.drive, number) for number in range(_CLIENTS)]
            clients.append(threads.submit(self.swap))
            try:
                time.sleep(settling)
                return self._sample(seconds, clients)
            finally:
                self.ended.set()

    def _sample(self, seconds: float, clients: Sequence[Future[None]]) -> list[tuple[float, float]]:
        samples: list[tuple[float, float]] = []
        start = time.monotonic()
        while (at := time.monotonic() - start) < seconds:
            for client in clients:
                if client.done():
                    client.result()
            samples.append((at, self.memory()))
            if len(samples) % 60 == 0:
                print(f"{at:.0f} s: {samples[-1][1]:.1f} MB", flush=True)
            time.sleep(_SAMPLE_SECONDS)
        return samples

    def memory(self) -> float:
        """Returns the private memory of the service in megabytes."""
        return self.server.memory()["private_mb"]


def soak(
    models: Path,
    versions: Sequence[str],
    *,
    settling: float,
    minutes: float,
    rate: float,
    fresh: float,
    settings: dict[str, str],
) -> dict[str, Any]:
    """Runs a service and its load, and returns what became of its memory.

    Args:
        models: a models folder.
        versions: versions that come into service in turn.
        settling: minutes of the mixed load that still belong to the filling.
        minutes: how long, after that.
        rate: requests a second.
        fresh: artists a second that nobody knew before.
        settings: variables of the service.
    """
    load = Load(ModelsFolder(models).open(versions[0]), fresh)
    with encore(models, settings=settings) as server:
        run = Soak(server, models, versions, load, rate)
        start = run.memory()
        try:
            run.fill()
            full = run.memory()
            print(f"{start:.1f} MB at the start, {full:.1f} MB with full caches", flush=True)
            samples = run.run(60 * settling, 60 * minutes)
        except AssertionError:
            print(server.log.read_text(errors="replace")[-5000:], flush=True)
            raise
    return {
        "start_mb": round(start, 1),
        "full_mb": round(full, 1),
        "last_mb": round(samples[-1][1], 1),
        "highest_mb": round(max(one for _, one in samples), 1),
        "mb_in_10_minutes": round(600 * slope(samples), 2),
        "answers": dict(sorted(run.counts.items())),
        "by_minute_mb": [
            round(next(one for at, one in samples if at >= minute * 60), 1)
            for minute in range(int(samples[-1][0] // 60) + 1)
        ],
    }


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Returns the slope of samples (seconds, value) that are far apart, by Theil and Sen."""
    apart = _APART * (samples[-1][0] - samples[0][0])
    return median(
        (after - before) / (later - earlier)
        for place, (earlier, before) in enumerate(samples)
        for later, after in samples[place + 1 :]
        if later - earlier >= apart
    )


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--settling", type=float, default=3, help="minutes before that")
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--fresh", type=float, default=0.2, help="unknown artists a second")
    parser.add_argument("--setting", action="append", default=[], help="NAME=VALUE of the service")
    parser.add_argument("--label", default="service")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        versions = [
            publish_made_up(made_up_model(_USERS, _ARTISTS, seed=seed), models)
            for seed in (0, 0)  # the same ids
        ]
        result = soak(
            models,
            versions,
            settling=given.settling,
            minutes=given.minutes,
            rate=given.rate,
            fresh=given.fresh,
            settings=dict(one.split("=", 1) for one in given.setting),
        )
    print(json.dumps({given.label: result}, indent=2))
    written: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        written = json.loads(given.out.read_text())
    written |= {"conditions": conditions(), given.label: result}
    given.out.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
