"""The delay until a change on one host takes effect on another one.

    python -m benchmarks.hosts --models models --database postgresql://encore@127.0.0.1/encore

Two services share a PostgreSQL. One of them calls its address 127.0.0.1 and the other localhost, so
each has a table of stamps of its own, as two hosts have. A change is sent to the first service;
from its acknowledgement on, the second one is asked repeatedly until the change takes effect.
Changes are an event, an artist that becomes unavailable, and the erasure of a user.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.artifacts.models_folder import ModelsFolder
from benchmarks.conditions import conditions
from benchmarks.crash import Supervised, free_port

RESULTS: Final = Path(__file__).parent / "results" / "hosts.json"
_PATIENCE_S: Final = 30.0


class Host:
    """A service, asked over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Returns the answer, which must be a success."""
        headers = {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise AssertionError(f"{method} {path}: {answer}")
        return answer

    def best(self, user: str) -> tuple[str, str]:
        """Returns the source of a user's list, and its first artist."""
        answer = self.ask("GET", f"/recommend/{user}?n=1")
        return answer["source"], answer["items"][0]["artist_id"]


def measure(models: Path, url: str, rounds: int) -> dict[str, Any]:
    """Runs the rounds.

    Args:
        models: a models folder.
        url: of the event store, which should be empty, with 127.0.0.1 as its host.
        rounds: number of times that each change is made.

    Returns:
        Kind of change to median, 95th percentile and maximum of the delay in milliseconds.
    """
    if "127.0.0.1" not in url:
        raise SystemExit("the address has to name 127.0.0.1, of which localhost is another name")
    model = ModelsFolder(models).open_current()
    users = [model.users.id(user) for user in range(2 * rounds)]
    ports = free_port(), free_port()
    urls = url, url.replace("127.0.0.1", "localhost", 1)
    with ExitStack() as stack:
        for port, its_url in zip(ports, urls, strict=True):
            stack.enter_context(Supervised(models, its_url, port))
        here, there = map(Host, ports)
        delays = {
            "event": list(_events(here, there, users[:rounds])),
            "unavailable artist": list(_unavailable(here, there, users[rounds:])),
            "erased user": list(_erased(here, there, users[:rounds])),
        }
    return {"rounds": rounds, "delay in ms": {name: _spread(all_) for name, all_ in delays.items()}}


def _events(here: Host, there: Host, users: list[str]) -> Iterator[float]:
    for user in users:
        _, artist = there.best(user)
        here.ask("POST", "/events", {"events": [{"user_id": user, "artist_id": artist}]})
        yield _until(there, user, lambda source, _artist: source == "fold_in")


def _unavailable(here: Host, there: Host, users: list[str]) -> Iterator[float]:
    for user in users:
        _, gone = there.best(user)
        here.ask("PUT", f"/artists/{gone}", {"available": False})
        yield _until(there, user, partial(_is_another, gone))


def _is_another(gone: str, _source: str, artist: str) -> bool:
    return artist != gone


def _erased(here: Host, there: Host, users: list[str]) -> Iterator[float]:
    for user in users:
        here.ask("DELETE", f"/users/{user}")
        yield _until(there, user, lambda source, _artist: source == "popularity")


def _until(host: Host, user: str, holds: Callable[[str, str], bool]) -> float:
    """Returns the milliseconds until a condition holds for the best artist of a user."""
    start = time.perf_counter()
    while not holds(*host.best(user)):
        if time.perf_counter() - start > _PATIENCE_S:
            raise AssertionError("it never did")
    return 1000 * (time.perf_counter() - start)


def _spread(delays: list[float]) -> dict[str, float]:
    quantiles = np.quantile(delays, [0.5, 0.95, 1.0])
    return dict(zip(("median", "95 %", "longest"), quantiles.round(1).tolist(), strict=True))


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--database", required=True, help="of an empty store in PostgreSQL")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    result = measure(given.models, given.database, given.rounds)
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps({"conditions": conditions(), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
