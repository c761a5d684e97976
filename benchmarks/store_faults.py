"""Event stores that break under a running service: what its clients see, and how soon it is said.

    python -m benchmarks.store_faults [FAULT …]

For each store and each fault, a service with its default settings stores events, and the fault is
made while clients request lists (four at a time), send events of users who had some before, and
read `/health/ready`. After some seconds the fault ends. Printed and written are, for each:

- the longest list, and how many lists were no 200;
- of the events that were acknowledged during the fault, how many count in the user's list, and the
  longest time until an event counted or `ready` said what is wrong;
- of the others, the longest time until they were refused or `ready` said so;
- how the service recovers, how long that takes after the fault, and whether events count then.

SQLite lies on a small disk of its own (a loop device, which needs root), since a fault of the disk
may not hit other programs. The failover is one between two servers of PostgreSQL.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from app.store.address import open_store
from benchmarks.conditions import conditions
from benchmarks.frozen import train
from tests.postgres import PostgresServer, Standby
from tests.server import Server, serving
from tests.store_faults import FaultyPostgres, faulty_sqlite, play

RESULTS: Final = Path(__file__).parent / "results" / "store_faults.json"
DEADLINES: Final = {"ENCORE_STORE_READ_SECONDS": "0.5", "ENCORE_STORE_WRITE_SECONDS": "5"}
_FAULT_SECONDS: Final = 6.0
_PATIENCE: Final = 30.0
_USERS: Final = 60
_LISTING: Final = 4


@dataclass(frozen=True)
class Fault:
    """A fault to make.

    Attributes:
        name: the fault.
        store: the store.
        begin: makes it.
        end: ends it; None for one that a restart with a restored store ends.
        how: how the service recovers.
    """

    name: str
    store: str
    url: str
    begin: Callable[[], None]
    end: Callable[[], None] | None = None
    how: str = "by itself"


@dataclass
class Seen:
    """What clients have seen.

    Attributes:
        lists: seconds of each list.
        failed: statuses of lists that were no 200.
        counted: seconds from an acknowledgement until the event counted or the trouble was said.
        refused: the same from the beginning of the request, for events that were not acknowledged.
        acknowledged: how many events were.
        counting: how many of them count.
        said_at: when ``ready`` first said what is wrong.
        troubles: what it said.
    """

    lists: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    acknowledged: int = 0
    counting: int = 0
    said_at: float = float("inf")
    troubles: list[str] = field(default_factory=list)


class Clients:
    """Clients of a service, each on a thread.

    Args:
        server: the service.
        users: users with events.
    """

    def __init__(self, server: Server, users: list[str]) -> None:
        self._server = server
        self._users = users
        self._ends = threading.Event()
        self.seen = Seen()
        work = [self._follow, self._send, *[self._list] * _LISTING]
        self._threads = [threading.Thread(target=one) for one in work]

    @contextmanager
    def at_work(self) -> Iterator[Seen]:
        """Lets them work meanwhile."""
        for thread in self._threads:
            thread.start()
        try:
            yield self.seen
        finally:
            self._ends.set()
            for thread in self._threads:
                thread.join()

    def _follow(self) -> None:
        while not self._ends.is_set():
            found = self._server.get("/health/ready")[1]["troubles"]
            if found and not self.seen.troubles:
                self.seen.said_at = time.monotonic()
            self.seen.troubles += [one for one in found if one not in self.seen.troubles]
            time.sleep(0.02)

    def _list(self) -> None:
        for number in count():
            if self._ends.is_set():
                return
            start = time.monotonic()
            status, _ = self._server.get(f"/recommend/{self._users[number % _USERS]}")
            self.seen.lists.append(time.monotonic() - start)
            if status != 200:
                self.seen.failed.append(status)
            time.sleep(0.01)

    def _send(self) -> None:
        for number in count():
            if self._ends.is_set():
                return
            start = time.monotonic()
            is_stored, counts = tell(self._server, self._users[number % _USERS])
            if is_stored:
                self.seen.acknowledged += 1
                begun, has_counted = time.monotonic(), counts()
                while not has_counted and not self.seen.troubles and not self._ends.is_set():
                    time.sleep(0.02)
                    has_counted = counts()
                self.seen.counted.append(max(0.0, min(time.monotonic(), self.seen.said_at) - begun))
                self.seen.counting += has_counted or counts()
            else:
                answered = time.monotonic()
                self.seen.refused.append(max(0.0, min(answered, self.seen.said_at) - start))
            time.sleep(0.05)


def tell(server: Server, user: str) -> tuple[bool, Callable[[], bool]]:
    """Sends an event of the first artist in a list; says whether it is stored, and if it counts."""
    artist = server.get(f"/recommend/{user}")[1]["items"][0]["artist_id"]
    status, _ = server.tell(play(user, artist))

    def counts() -> bool:
        items = server.get(f"/recommend/{user}?n=100")[1]["items"]
        return artist not in {item["artist_id"] for item in items}

    return status == 200, counts


def measure(fault: Fault, save: Callable[[], None], models: Path, known: list[str]) -> Any:
    """Makes a fault under a service, and returns what its clients saw."""
    users = known[:_USERS]
    with serving(models, ENCORE_DATABASE_URL=fault.url, **DEADLINES) as server:
        wait(lambda: server.get("/health/ready")[1].get("status") == "ready")
        artist = server.get("/popular?n=1")[1]["items"][0]["artist_id"]
        save()
        for _ in range(3):
            server.tell(*(play(user, artist) for user in users))
        for user in users:
            server.get(f"/recommend/{user}")
        with Clients(server, users).at_work() as seen:
            time.sleep(0.5)
            start = time.monotonic()
            fault.begin()
            lasting = time.monotonic() - start
            time.sleep(_FAULT_SECONDS)
            said = seen.said_at - start
        result: dict[str, Any] = {
            "lists": len(seen.lists),
            "lists_failed": len(seen.failed),
            "longest_list_s": round(max(seen.lists), 3),
            "events_acknowledged": seen.acknowledged,
            "of_them_count": seen.counting,
            "longest_until_counted_or_said_s": longest(seen.counted),
            "events_refused": len(seen.refused),
            "longest_until_refused_or_said_s": longest(seen.refused),
            "making_the_fault_s": round(lasting, 3),
            "said_after_s": round(said, 3) if seen.troubles else None,
            "troubles": [one[:110] for one in seen.troubles],
        }
        if fault.end is not None:
            start = time.monotonic()
            fault.end()
            if fault.how == "events renew":
                command = [sys.executable, "-m", "training", "events", "renew"]
                subprocess.run([*command, "--events", fault.url], check=True, capture_output=True)
                start = time.monotonic()
            wait(lambda: server.get("/health/ready")[1]["status"] == "ready")
            seconds = round(time.monotonic() - start, 3)
            result["recovery"] = {"how": fault.how, "ready_after_s": seconds, **recovered(server)}
        else:
            result["recovery"] = {"how": fault.how}
    return result


def recovered(server: Server) -> dict[str, int]:
    """Returns how many of some events that are sent after a fault count."""
    told = [tell(server, user) for user in [f"later-{number}" for number in range(10)]]
    return {"sent": len(told), "count": sum(is_stored and counts() for is_stored, counts in told)}


def longest(seconds: list[float]) -> float | None:
    """Returns the longest of some times."""
    return round(max(seconds), 3) if seconds else None


def wait(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("the service did not recover")
        time.sleep(0.02)


def nothing() -> None:
    """Ends a fault that is over."""


@contextmanager
def entered(manager: Any) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Turns a context manager into what enters and what leaves it."""
    stack = ExitStack()
    try:
        yield lambda: stack.enter_context(manager()), stack.close
    finally:
        stack.close()


@contextmanager
def sqlite(name: str) -> Iterator[tuple[Fault, Callable[[], None]]]:
    """Makes a store in SQLite, and a fault for it."""
    with faulty_sqlite(disk=True) as store, entered(store.locked) as (lock, unlock):
        faults: dict[str, tuple[Any, ...]] = {
            "frozen": (store.freeze, store.thaw),
            "falling back": (store.go_back, nothing, "events renew"),
            "log cut": (store.cut_log, None, "restart"),
            "full": (store.fill, store.make_room),
            "read-only": (store.fail_disk, None, "restart on a repaired disk"),
            "locked": (lock, unlock),
            "corrupt": (store.scribble, None, "restart with a backup"),
            "replaced": (store.replace, store.put_back),
            "newer": (store.migrate, store.migrate_back),
        }
        yield Fault(name, "sqlite", store.url, *faults[name]), store.save


@contextmanager
def postgres(name: str) -> Iterator[tuple[Fault, Callable[[], None]]]:
    """Makes a store in PostgreSQL, and a fault for it."""
    with PostgresServer.removed() as server, ExitStack() as stack:
        if name == "falling back":
            standby = stack.enter_context(Standby.of(server))
            url = standby.url_of_both(server.new_database())
            begin = lambda: standby.takes_over(server)  # noqa: E731
            yield Fault(name, "postgresql", url, begin, nothing, "events renew"), standby.lags
            return
        if name == "full":
            url, fill, make_room = stack.enter_context(server.small_database())
            yield Fault(name, "postgresql", url, fill, make_room), nothing
            return
        store = FaultyPostgres(server)
        lock, unlock = stack.enter_context(entered(store.locked))
        with closing(open_store(store.url)):
            pass
        faults: dict[str, tuple[Any, ...]] = {
            "frozen": (server.freeze, server.thaw),
            "read-only": (store.make_read_only, store.make_writable),
            "forbidden": (store.forbid, store.allow),
            "locked": (lock, unlock),
            "corrupt": (store.scribble, None, "restart with a backup"),
            "replaced": (store.replace, store.put_back, "events renew"),
            "newer": (store.migrate, store.migrate_back),
            "connection limit": (store.limit_connections, store.allow_connections),
        }
        yield Fault(name, "postgresql", store.url, *faults[name]), store.save


SQLITE: Final = (
    *("frozen", "falling back", "log cut", "full", "read-only", "locked", "corrupt", "replaced"),
    "newer",
)
POSTGRES: Final = (
    *("frozen", "falling back", "full", "read-only", "forbidden", "locked", "corrupt", "replaced"),
    *("newer", "connection limit"),
)


def main() -> None:
    """Measures and writes the result."""
    wanted = sys.argv[1:]
    results: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        results = json.loads(RESULTS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        models, known = train(Path(folder))
        for making, names in ((sqlite, SQLITE), (postgres, POSTGRES)):
            for name in names:
                if wanted and name not in wanted:
                    continue
                with making(name) as (fault, save):
                    result = measure(fault, save, models, known)
                print(fault.store, name, json.dumps(result, indent=2), flush=True)
                results.setdefault(fault.store, {})[name] = result
                results["conditions"] = conditions()
                RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
