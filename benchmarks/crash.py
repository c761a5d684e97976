"""Kills the service repeatedly while events come in, and counts the events that are left.

    python -m benchmarks.crash --models models --rounds 30
    python -m benchmarks.crash --models models --rounds 30 --database postgresql://localhost/encore

In every other round the whole service is killed (SIGKILL) and started again, as by a supervisor. In
the other rounds one of its two workers is killed, which the service replaces by itself. Senders
send again what was not acknowledged, as clients should. In the end the store has to hold every
acknowledged event once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from app.store.address import open_store
from benchmarks.conditions import conditions

RESULTS: Final = Path(__file__).parent / "results" / "crash.json"
ROOT: Final = Path(__file__).parents[1]
_SENDERS: Final = 3
_BATCH: Final = 20
_USERS: Final = 40
_WORKERS: Final = 2
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 1.0
_PATIENCE_S: Final = 300.0
# A worker that lives shorter than 10 s is replaced after a pause, since it may die again at once.
_LONG_LIFE_S: Final = 11.0
# What the service logs about a death, its own or that of a worker.
_UNCLEAN: Final = "the last run did not end cleanly"
_DEATH: Final = re.compile(r"killed|died|ended|SIGKILL")

Victim: TypeAlias = Literal["service", "worker", "database"]


@dataclass(slots=True)
class Tally:
    """Counts of the senders.

    Attributes:
        acknowledged: ids of the events that were answered as stored or repeated.
        unanswered: number of times that a batch got no answer, or 503, and was sent again.
        lock: held for changes.
    """

    acknowledged: set[str] = field(default_factory=set)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def _nothing_to_restart() -> None:
    raise ValueError("this database has no server")


def crash(
    models: Path,
    url: str,
    rounds: int,
    seed: int = 0,
    *,
    victims: Sequence[Victim] = ("service", "worker"),
    restart_database: Callable[[], None] = _nothing_to_restart,
) -> dict[str, Any]:
    """Runs the rounds.

    Args:
        models: a models folder.
        url: of the event store, which should be empty.
        rounds: number of kills.
        seed: of the times of the kills.
        victims: what is killed, in turn.
        restart_database: kills the server of the event store and starts it again.

    Returns:
        The counts: ``acknowledged``, how many of them are ``missing`` or ``twice`` in the store,
        how many deaths are in the log…
    """
    rng = random.Random(seed)
    port = free_port()
    tally, ended = Tally(), threading.Event()
    senders = [
        threading.Thread(target=_send, args=(port, sender, tally, ended), daemon=True)
        for sender in range(_SENDERS)
    ]
    back: list[float] = []
    with Supervised(models, url, port) as service:
        for sender in senders:
            sender.start()
        for number in range(rounds):
            time.sleep(rng.uniform(_SHORTEST_S, _LONGEST_S))
            start = time.monotonic()
            match victims[number % len(victims)]:
                case "worker":
                    service.kill_worker()
                case "service":
                    service.kill()
                case "database":
                    restart_database()
            service.wait_until_ready()
            back.append(time.monotonic() - start)
        ended.set()
        for sender in senders:
            sender.join(_PATIENCE_S)
        answered = _answers_from_events(port)
        log = service.log()
    stored = _stored(url)
    return {
        "rounds": rounds,
        "acknowledged": len(tally.acknowledged),
        "missing": len(tally.acknowledged - stored.keys()),
        "twice": sum(count > 1 for count in stored.values()),
        "sent again": tally.unanswered,
        "deaths of the service in the log": log.count(_UNCLEAN),
        "deaths of workers in the log": len(
            {one for one in service.killed_workers if _is_reported(one, log)}
        ),
        "lists from events after the last round": answered,
        "back after s, median": round(sorted(back)[len(back) // 2], 2),
        "back after s, longest": round(max(back), 2),
    }


def _is_reported(worker: int, log: str) -> bool:
    """Says whether a line of the log is about the death of a worker."""
    return any(
        re.search(rf"\b{worker}\b", line.partition(": ")[2]) and _DEATH.search(line)
        for line in log.splitlines()
    )


def _send(port: int, sender: int, tally: Tally, ended: threading.Event) -> None:
    """Sends batches until the end, each repeatedly until it is acknowledged."""
    number = 0
    while not ended.is_set():
        ids = [f"{sender}-{number + one}" for one in range(_BATCH)]
        events = [
            {"event_id": name, "user_id": f"crash {place % _USERS}", "artist_id": f"a{number}"}
            for place, name in enumerate(ids, start=number)
        ]
        while not _is_acknowledged(port, events):
            with tally.lock:
                tally.unanswered += 1
            time.sleep(0.05)
        with tally.lock:
            tally.acknowledged.update(ids)
        number += _BATCH


def _is_acknowledged(port: int, events: list[dict[str, str]]) -> bool:
    try:
        status, answer = _ask(port, "POST", "/events", {"events": events})
    except (OSError, HTTPException, ValueError):
        return False
    if status == 200 and answer["refused"]:
        raise AssertionError(f"a good event was refused: {answer}")
    return status == 200


def _ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _answers_from_events(port: int) -> int:
    """Returns the number of users with events, as the service shows them."""
    shown = []
    for user in range(_USERS):
        status, deadline = 503, time.monotonic() + _PATIENCE_S
        while status == 503 and time.monotonic() < deadline:  # a busy machine
            status, _ = _ask(port, "GET", f"/users/crash%20{user}")
        shown.append(status)
    return shown.count(200)


def _stored(url: str) -> Counter[str]:
    store = open_store(url)
    try:
        return Counter(
            str(stored.event.event_id)
            for user in range(_USERS)
            for stored in store.events_of(f"crash {user}", limit=10**9)
        )
    finally:
        store.close()


class Supervised:
    """The service with a supervisor that restarts it whenever it ends, as systemd does."""

    def __init__(self, models: Path, url: str, port: int) -> None:
        self._port = port
        self._variables = {
            "ENCORE_MODELS": str(models.absolute()),
            "ENCORE_DATABASE_URL": url,
            "ENCORE_PORT": str(port),
            "ENCORE_WORKERS": str(_WORKERS),
        }
        self._is_over = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        self.killed_workers: list[int] = []
        self.process = self._start()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> Supervised:
        self._supervisor.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self.process.terminate()
        self._supervisor.join(_PATIENCE_S)
        self._log.close()

    def log(self) -> str:
        """Returns what all runs have logged."""
        return os.pread(self._log.fileno(), 2**30, 0).decode(errors="replace")

    def kill(self) -> None:
        """Kills all processes except the workers, which then end by themselves."""
        process = self.process
        process.kill()
        _wait_until(lambda: self.process is not process)

    def kill_worker(self) -> None:
        """Kills the older worker, once it has lived long enough to be replaced without a pause."""
        worker = min(self.workers(), key=_started_at)
        _wait_until(lambda: _uptime() - _started_at(worker) > _LONG_LIFE_S)
        os.kill(worker, signal.SIGKILL)
        self.killed_workers.append(worker)
        _wait_until(lambda: worker not in self.workers())

    def workers(self) -> list[int]:
        """Returns the processes of the workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = []
        for child in children:
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def wait_until_ready(self) -> None:
        """Waits until all workers exist and one of them answers."""
        _wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        # Workers of a killed service may answer for a moment longer.
        with suppress(OSError, HTTPException, ValueError):
            if len(self.workers()) == _WORKERS:
                status, answer = _ask(self._port, "GET", "/health/ready")
                return (status, answer.get("status")) == (200, "ready")
        return False

    def _supervise(self) -> None:
        while not self._is_over:
            self.process.wait()
            if not self._is_over:
                time.sleep(0.1)
                self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=ROOT,
            env=os.environ | self._variables,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )


def _started_at(pid: int) -> float:
    """Returns when a process was started, in seconds since the machine was."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("the service did not come back")
        time.sleep(0.02)


def free_port() -> int:
    """Returns a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument(
        "--database", help="of an empty store; SQLite in a temporary folder if not given"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{folder}/encore.db"
        result = crash(given.models, url, given.rounds, given.seed)
    kind = url.partition(":")[0]
    print(json.dumps({kind: result}, indent=2))
    written = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    written |= {"conditions": conditions(), kind: result}
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
