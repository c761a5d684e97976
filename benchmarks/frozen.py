"""Waiting times of clients while the PostgreSQL server of the events is frozen.

    python -m benchmarks.frozen

Starts a PostgreSQL server and a service with its default settings, stores events, stops the server
with SIGSTOP and requests lists at once: of users without events, with events that the service has
read, with events that it has not read, and unknown ones; one after the other and with 16
connections. Then it makes the calls that need the store, continues the server, freezes it again,
and ends the service. Printed and written are the median and the longest time of each, as clients
see them.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.conditions import conditions
from tests.postgres import PostgresServer
from tests.server import Server, serving

RESULTS: Final = Path(__file__).parent / "results" / "frozen.json"
_CONNECTIONS: Final = 16
_USERS: Final = 50


@contextmanager
def database() -> Iterator[PostgresServer]:
    """Starts a server; continues it, if it is frozen, and removes it afterwards."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.thaw()
        server.remove()


def seconds(ask: Callable[[], tuple[int, Any]], expected: int) -> float:
    """Returns the seconds that an answer takes, which must have the expected status."""
    start = time.perf_counter()
    status, body = ask()
    if status != expected:
        raise SystemExit(f"{status} instead of {expected}: {body}")
    return time.perf_counter() - start


def figures(times: Sequence[float]) -> dict[str, float]:
    """Returns the summary of some times, in seconds."""
    return {"n": len(times), "median_s": round(median(times), 4), "max_s": round(max(times), 4)}


def until(server: Server, status: str) -> float:
    """Returns the seconds until ``ready`` has an expected status."""
    start = time.perf_counter()
    while server.get("/health/ready")[1]["status"] != status:
        time.sleep(0.01)
    return round(time.perf_counter() - start, 3)


def lists(server: Server, groups: dict[str, list[str]], connections: int) -> dict[str, Any]:
    """Requests the lists of all users, with the groups in turn."""
    targets = [
        (group, user)
        for users in zip(*groups.values(), strict=True)
        for group, user in zip(groups, users, strict=True)
    ]
    with ThreadPoolExecutor(connections) as threads:
        times = list(
            threads.map(
                lambda target: seconds(lambda: server.get(f"/recommend/{target[1]}"), 200), targets
            )
        )
    return {
        group: figures([t for (name, _), t in zip(targets, times, strict=True) if name == group])
        for group in groups
    }


def train(folder: Path) -> tuple[Path, list[str]]:
    """Publishes a model of a made-up sample; returns the folder and ids of its users."""
    sample, models = folder / "sample", folder / "models"
    python: list[str | Path] = [sys.executable, "-m", "training"]
    size: list[str | Path] = ["--users", "2000", "--artists", "3000"]
    subprocess.run([*python, "generate", *size, "--out", sample], check=True, capture_output=True)
    source: list[str | Path] = ["--dataset", "synthetic", "--data", sample, "--models", models]
    source += ["--no-evaluation", "--no-events"]
    subprocess.run([*python, "train", *source], check=True, capture_output=True)
    plays = (sample / "usersha1-artmbid-artname-plays.tsv").read_text().splitlines()
    return models, list(dict.fromkeys(line.split("\t")[0] for line in plays))


def measure(connections: int, models: Path, known: list[str]) -> dict[str, Any]:
    """Freezes a database under a service, and lets it go on."""
    defaults = {"ENCORE_STORE_READ_SECONDS": "0.5", "ENCORE_STORE_WRITE_SECONDS": "5"}
    with database() as server:
        url = server.new_database()
        with serving(models, ENCORE_DATABASE_URL=url, **defaults) as service:
            artist = service.get("/popular?n=1")[1]["items"][0]["artist_id"]
            groups = {
                "without events": known[:_USERS],
                "with events, read before": known[_USERS : 2 * _USERS],
                "with events, not read before": known[2 * _USERS : 3 * _USERS],
                "unknown": [f"unknown-{number}" for number in range(_USERS)],
            }
            heard = known[_USERS : 3 * _USERS]
            service.tell(*({"user_id": user, "artist_id": artist} for user in heard))
            idle = lists(
                service,
                {name: groups[name] for name in ("without events", "with events, read before")},
                connections,
            )
            server.freeze()
            frozen = lists(service, groups, connections)
            degraded = until(service, "degraded")
            event = json.dumps({"events": [{"user_id": "u", "artist_id": artist}]})
            stored = [seconds(lambda: service.ask("POST", "/events", event), 503) for _ in range(5)]
            popular = [seconds(lambda: service.get("/popular?days=7"), 503) for _ in range(5)]
            server.thaw()
            ready = until(service, "ready")
            counted = all(
                service.get(f"/recommend/{user}")[1]["source"] == "fold_in" for user in heard
            )
            server.freeze()
            start = time.perf_counter()
            status, _ = service.end(signal.SIGTERM)
            return {
                "idle": idle,
                "frozen": frozen,
                "until_degraded_s_after_lists": degraded,
                "post_events_503": figures(stored),
                "popular_days_503": figures(popular),
                "until_ready_s_after_thaw": ready,
                "acknowledged_events_count_after_thaw": counted,
                "end_by_sigterm_s": round(time.perf_counter() - start, 2),
                "exit_status": status,
            }


def main() -> None:
    """Measures and writes the result."""
    with tempfile.TemporaryDirectory() as folder:
        models, known = train(Path(folder))
        results = {}
        for connections in (1, _CONNECTIONS):
            results[f"{connections} connections"] = measure(connections, models, known)
            print(connections, json.dumps(results[f"{connections} connections"], indent=2))
    RESULTS.write_text(json.dumps({"conditions": conditions(), **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
