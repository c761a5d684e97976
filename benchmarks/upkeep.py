"""The delay of a service during pruning.

    python -m benchmarks.upkeep --database sqlite:////tmp/upkeep.db
    python -m benchmarks.upkeep --database postgresql://encore@127.0.0.1/encore

Fills a store with 300,000 events, of which all but 1,000 are old, and prunes those from the command
line, while this process appends ten events at a time and reads a user's, each as fast as it can.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.events.event import MICROSECONDS, Event
from app.store.address import open_store
from app.store.interface import EventStore
from benchmarks.conditions import conditions

RESULTS: Final = Path(__file__).parent / "results" / "upkeep.json"
_OLD: Final = 299_000
_NEW: Final = 1_000
_USERS: Final = 5_000
_AT_ONCE: Final = 5_000
_APPENDED: Final = 10
_DAY: Final = 86_400 * MICROSECONDS
_OLDER_THAN_DAYS: Final = 30


def measure(url: str) -> dict[str, Any]:
    """Returns the times of appending and reading while events are pruned, and alone.

    Args:
        url: of an empty event store.
    """
    with closing(open_store(url)) as store:
        if store.last_sequence():
            raise SystemExit(
                f"the event store has {store.last_sequence()} events; name an empty one"
            )
        _fill(store)
        alone = _beside(store, lambda: time.sleep(5))
        start = time.perf_counter()
        beside = _beside(store, lambda: _prune(url))
        seconds = time.perf_counter() - start
    return {"pruned": _OLD, "pruning s": round(seconds, 1), "alone": alone, "beside": beside}


def _fill(store: EventStore) -> None:
    now = time.time_ns() // 1000
    for start in range(0, _OLD + _NEW, _AT_ONCE):
        store.append(
            [
                Event(
                    f"u{number % _USERS}",
                    f"a{number % 997}",
                    timestamp=now - (100 * _DAY if number < _OLD else 0) - number,
                )
                for number in range(start, min(start + _AT_ONCE, _OLD + _NEW))
            ],
            now,
        )


def _prune(url: str) -> None:
    command = [sys.executable, "-m", "training", "events", "prune", "--json", "--events", url]
    command += ["--older-than", str(_OLDER_THAN_DAYS)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if json.loads(told)["events"] != _OLD:
        raise AssertionError(told)


def _beside(store: EventStore, work: Callable[[], None]) -> dict[str, Any]:
    """Returns the times of appending and reading while something else runs."""
    ended, numbers = threading.Event(), count()

    def append() -> None:
        number = next(numbers)
        events = [Event(f"u{number + one}", "appended") for one in range(_APPENDED)]
        store.append(events, time.time_ns() // 1000)

    def read() -> None:
        store.events_of(f"u{next(numbers) % _USERS}", limit=100)

    taken: dict[str, list[float]] = {"append": [], "read": []}

    def repeat(name: str, call: Callable[[], None]) -> None:
        while not ended.is_set():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)

    threads = [
        threading.Thread(target=repeat, args=given)
        for given in (("append", append), ("read", read))
    ]
    for thread in threads:
        thread.start()
    try:
        work()
        if not all(thread.is_alive() for thread in threads):
            raise AssertionError("an append or a reading failed")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return {name: _spread(seconds) for name, seconds in taken.items()}


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    half, most, longest = 1000 * np.quantile(seconds, [0.5, 0.99, 1.0])
    return {
        "calls": len(seconds),
        "median ms": round(half, 1),
        "99 % ms": round(most, 1),
        "longest ms": round(longest, 1),
    }


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database", required=True, help="of an empty event store")
    url = parser.parse_args().database
    kind = url.partition(":")[0]
    result = measure(url)
    print(json.dumps({kind: result}, indent=2))
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known[kind] = {"conditions": conditions(), **result}
    RESULTS.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
