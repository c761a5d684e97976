"""Memory of a worker that caches the events of users with long histories.

    python -m benchmarks.cache_memory --before CHECKOUT

Stores the events of users who have each played some thousand artists, starts a service, asks for
the list of each user twice, and measures the private memory of the process before and after. The
same is done with the code of an earlier checkout. Then it makes activities in a process of its own,
to measure the bytes of one entry of the cache: an artist that was played counts twice, for its
units and as seen.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.events.activity import Activity, activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import DEFAULT_RULES
from app.serving.journal.activity_cache import _CACHED_ENTRIES, _CACHED_USERS
from app.store.address import open_store
from benchmarks.conditions import conditions
from tests.builders import publish_small, random_model

RESULTS: Final = Path(__file__).parent / "results" / "cache_memory.json"
ROOT: Final = Path(__file__).parents[1]
_USERS: Final = 150
_ARTISTS: Final = 4_000
# Ids as of MusicBrainz, and the longest ones that there may be.
_ID_BYTES: Final = (36, 256)
_MIB: Final = 2**20


def private_bytes(pid: int | str) -> int:
    """Returns the memory that a process has for itself alone."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE)))


def artist(number: int, length: int = 36) -> str:
    """Returns the id of an artist."""
    return f"{number:0{length}x}"


def bytes_of_an_entry(length: int) -> float:
    """Returns the bytes of one entry of activities of long histories, in this process."""

    def made(user: int) -> Activity:
        events = [
            StoredEvent(number, 1, Event(f"user-{user}", artist(number, length)))
            for number in range(1, _ARTISTS + 1)
        ]
        return activity_of(events, DEFAULT_RULES, 2)

    made(0)
    gc.collect()
    before = private_bytes("self")
    activities = [made(user) for user in range(30)]
    gc.collect()
    return (private_bytes("self") - before) / sum(one.size for one in activities)


def bytes_of_a_user() -> float:
    """Returns the bytes of the activity of a user with one artist."""

    def made(user: int) -> Activity:
        return activity_of(
            [StoredEvent(1, 1, Event(f"user-{user}", artist(user)))], DEFAULT_RULES, 2
        )

    made(0)
    gc.collect()
    before = private_bytes("self")
    activities = {f"user-{user}": made(user) for user in range(_CACHED_USERS)}
    gc.collect()
    return (private_bytes("self") - before) / len(activities)


@contextmanager
def service(code: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Starts the service of a checkout; yields its process id and port."""
    environment = {key: value for key, value in os.environ.items() if "ENCORE_" not in key} | {
        "ENCORE_PORT": "0",
        "ENCORE_MODELS": str(folder / "models"),
        "ENCORE_DATABASE_URL": f"sqlite:///{folder}/encore.db",
        "ENCORE_STATE": str(folder),
        "ENCORE_STORE_READ_SECONDS": "30",
        "ENCORE_LIVE_WAIT_SECONDS": "30",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "app"]
    with subprocess.Popen(
        command, cwd=code, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        (port,) = re.findall(r" on http://127\.0\.0\.1:(\d+) ", line)
        try:
            yield process.pid, int(port)
        finally:
            process.terminate()


def ask(port: int, users: range) -> None:
    """Asks for the lists of some users, all of which come from events."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for user in users:
            connection.request("GET", f"/recommend/user-{user}")
            answer = json.loads(connection.getresponse().read())
            if answer["source"] != "fold_in":
                raise SystemExit(f"the list of user-{user} is not from events: {answer}")


def growth(code: Path, folder: Path) -> dict[str, float]:
    """Returns by how many MiB a worker grows when it is asked for the lists of all users."""
    with service(code, folder) as (pid, port):
        ask(port, range(3))
        before = private_bytes(pid)
        for _ in range(2):
            ask(port, range(_USERS))
        grown = private_bytes(pid) - before
    return {"before_mib": round(before / _MIB, 1), "grown_mib": round(grown / _MIB, 1)}


def fill(folder: Path) -> None:
    """Publishes a small model and stores the events."""
    model = random_model(np.random.default_rng(5), n_users=40, n_items=60, list_length=12)
    publish_small(model, folder / "models")
    known = [model.items.id(item) for item in range(3)]
    with closing(open_store(f"sqlite:///{folder}/encore.db")) as store:
        for user in range(_USERS):
            artists = [*known, *map(artist, range(_ARTISTS - len(known)))]
            store.append([Event(f"user-{user}", one) for one in artists], 1)


def child(function: str) -> float:
    """Returns what a function of this module returns in a fresh process."""
    code = f"from benchmarks.cache_memory import *; print({function})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return round(float(done.stdout), 1)


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, help="checkout of an earlier commit")
    checkout: Path | None = parser.parse_args().before
    entry = {f"{length} bytes": child(f"bytes_of_an_entry({length})") for length in _ID_BYTES}
    user = child("bytes_of_a_user()")
    result: dict[str, Any] = {
        "conditions": conditions(),
        "users": _USERS,
        "artists_of_each": _ARTISTS,
        "bound": {"users": _CACHED_USERS, "entries": _CACHED_ENTRIES},
        "bytes_of_an_entry_by_length_of_ids": entry,
        "bytes_of_a_user_with_one_artist": user,
        "mib_at_the_bound": {
            name: round(_CACHED_ENTRIES * bytes_ / _MIB) for name, bytes_ in entry.items()
        },
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        if checkout is not None:
            result["before"] = growth(checkout.absolute(), folder)
        result["after"] = growth(ROOT, folder)
    text = json.dumps(result, indent=2)
    RESULTS.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
