"""Damages models under a true service with two workers, of which none may be served wrongly.

    python -m benchmarks.damaged_models --models 300

In each round a version is damaged: before it becomes current, as the pointer to it, or while it is
in service. Clients ask for lists all the while, and each list is compared with that of the version
that the answer names, as it was published. A round ends when all workers serve the good version
again. Printed and written are, by kind, how many lists were answered and how many of them were
wrong, how many requests failed, and how many workers died.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import numpy as np

from app.artifacts.writable_folder import WritableModelsFolder
from benchmarks.conditions import conditions
from benchmarks.damages import BEFORE, POINTER, SECRET, SERVED, remove
from tests.builders import CREATED_AT, publish_small, random_model
from tests.server import Server, eventually, serving

RESULTS: Final = Path(__file__).parent / "results" / "damaged_models.json"
_WORKERS: Final = 2
_CLIENTS: Final = 2
_USERS: Final = 40
_N: Final = 8
_LOOKS: Final = 12
# So many wrong answers of a round are told.
_EXAMPLES: Final = 3

Lists = Mapping[str, Mapping[str, list[tuple[str, float]]]]


class Clients:
    """Threads that ask for lists, and compare them with those that were published.

    Args:
        server: the service.
        lists: the lists by version and user.
    """

    def __init__(self, server: Server, lists: Lists) -> None:
        self._server = server
        self._lists = lists
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(_CLIENTS)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        user = number
        while not self._ended.is_set():
            user = (user + 1) % _USERS
            try:
                status, answer = self._server.get(f"/recommend/u{user}?n={_N}")
            except (OSError, HTTPException, ValueError):
                self.counts["failed"] += 1
                time.sleep(0.01)
                continue
            if status == 503:
                self.counts["503"] += 1
            elif status != 200:
                self.wrong.append(f"status {status}: {answer}")
            else:
                self.counts["lists"] += 1
                expected = self._lists.get(answer["model_version"], {}).get(f"u{user}")
                if pairs_of(answer) != expected:
                    self.wrong.append(f"u{user} of {answer['model_version']}")
            time.sleep(0.002)


def lists_of(server: Server, version: str) -> dict[str, list[tuple[str, float]]]:
    """Returns the list of each user, as the workers that serve a version answer it.

    On a busy machine one worker may answer all looks at the versions in service, while another one
    still serves the former version; where that one answers, the list is asked for again.

    Raises:
        AssertionError: no answer was of that version in time.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    for user in (f"u{number}" for number in range(_USERS)):

        def is_answered(user: str = user) -> bool:
            status, answer = server.get(f"/recommend/{user}?n={_N}")
            if status != 200 or answer["model_version"] != version:
                return False
            found[user] = pairs_of(answer)
            return True

        eventually(is_answered)
    return found


def pairs_of(answer: Any) -> list[tuple[str, float]]:
    """Returns the artists and scores of an answer."""
    return [(one["artist_id"], one["score"]) for one in answer["items"]]


def versions_in_service(server: Server) -> set[str]:
    """Returns the versions that the workers serve."""
    answers = [server.get("/health/ready") for _ in range(_LOOKS)]
    return {str(answer.get("model_version")) for _, answer in answers}


def all_serve(server: Server, version: str) -> bool:
    """Says whether all workers serve a version; a worker that has just died is waited for."""
    try:
        return versions_in_service(server) == {version}
    except (OSError, HTTPException, ValueError):
        return False


def deaths(server: Server) -> int:
    """Returns how many workers have died."""
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r"^encore_worker_deaths_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, found)))


class Log:
    """What a service logs, read while it runs: a full pipe would hold it up.

    Args:
        server: the service.
    """

    def __init__(self, server: Server) -> None:
        self.lines: list[str] = []
        self._stream, server.process.stderr = server.process.stderr, None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __str__(self) -> str:
        self._thread.join()
        return "".join(self.lines)

    def _read(self) -> None:
        if self._stream:
            self.lines.extend(self._stream)
            self._stream.close()


class Folder:
    """A models folder with a good version, and another one to be damaged again and again."""

    def __init__(self, place: Path) -> None:
        self.models = place / "models"
        self._spare = place / "spare"
        rng = np.random.default_rng(7)
        for number, folder in enumerate((self.models, self._spare)):
            model = random_model(rng, n_users=_USERS, n_items=60, list_length=20)
            at = CREATED_AT + timedelta(seconds=number)
            publish_small(model, folder, created_at=at)
        self.good = WritableModelsFolder(self.models).find()
        self.other = WritableModelsFolder(self._spare).find()
        self.lists: dict[str, dict[str, list[tuple[str, float]]]] = {}

    def add_other(self) -> None:
        """Copies the other version into the folder, intact."""
        shutil.copytree(self._spare / self.other, self.models / self.other)

    def point_at(self, version: str) -> None:
        """Makes a version current, whatever the pointer is now."""
        remove(self.models / "current")
        temporary = self.models / ".next"
        temporary.write_text(f"{version}\n")
        temporary.rename(self.models / "current")

    def mend(self) -> None:
        """Makes the good version current, and removes all others."""
        self.point_at(self.good)
        for path in self.models.iterdir():
            if path.name not in {"current", ".lock", self.good}:
                remove(path)


def run_round(
    server: Server, folder: Folder, kind: str, rng: np.random.Generator, wrong: list[str]
) -> Counter[str]:
    """Damages a version once; returns the counts, and adds to what was wrong.

    Raises:
        AssertionError: the service did not go on with the good version.
    """
    before = deaths(server)
    with Clients(server, folder.lists) as clients:
        if kind in SERVED:
            folder.add_other()
            folder.point_at(folder.other)
            eventually(lambda: all_serve(server, folder.other))
            SERVED[kind](folder.models, folder.other, rng)
        elif kind in POINTER:
            POINTER[kind](folder.models, folder.other, rng)
        else:
            folder.add_other()
            damaged = BEFORE[kind](folder.models, folder.other, rng)
            folder.point_at(damaged)
        # Both workers have looked by then: at each call, or at the next look at the pointer.
        details = []
        for _ in range(4):
            with suppress(OSError, HTTPException, ValueError):  # its worker may die meanwhile
                details.append(str(server.ask("POST", "/admin/reload")))
            time.sleep(0.05)
        eventually(lambda: all_serve(server, folder.good))
        folder.mend()
    counts = clients.counts
    counts["wrong"] = len(clients.wrong)
    wrong.extend(f"{kind}: {one}" for one in clients.wrong[:_EXAMPLES])
    counts["deaths"] = deaths(server) - before
    counts["secrets in answers"] = sum(SECRET in detail for detail in details)
    counts["rounds"] = 1
    return counts


def damage_models(
    rounds: int, seed: int = 0, say: Callable[[str], None] = lambda _line: None
) -> dict[str, Any]:
    """Runs the rounds, the kinds in turn.

    Args:
        rounds: how many.
        seed: of all damages.
        say: told of the progress.

    Returns:
        The counts by kind, and what the service said.
    """
    kinds = [*BEFORE, *POINTER, *SERVED]
    result: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place))
        arguments = ("--workers", str(_WORKERS), "--poll-seconds", "0.05")
        with serving(folder.models, *arguments, ENCORE_STATE=place) as server:
            log = Log(server)
            folder.add_other()
            for version in (folder.other, folder.good):
                folder.point_at(version)
                eventually(lambda: all_serve(server, version))  # noqa: B023
                folder.lists[version] = lists_of(server, version)
            folder.mend()
            for number in range(rounds):
                kind = kinds[number % len(kinds)]
                rng = np.random.default_rng((seed, number))
                result[kind].update(run_round(server, folder, kind, rng, wrong))
                say(f"{number + 1}/{rounds} {kind}: {dict(result[kind])}")
            status, _ = server.end()
            logged = str(log)
    return {
        "by kind": {kind: dict(counts) for kind, counts in result.items()},
        "total": dict(sum(result.values(), Counter[str]())),
        "examples of wrong answers": wrong,
        "exit status": status,
        "tracebacks": logged.count("Traceback"),
        "secrets in the log": logged.count(SECRET),
        "deaths in the log": logged.count(" died: "),
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=int, default=300, help="how many are damaged")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.monotonic()
    result = damage_models(given.models, given.seed, say=print)
    result = {**conditions(), **result, "seconds": round(time.monotonic() - start)}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
