"""What heavy requests cost: refusals in processor time, legal ones in the time that others wait.

    python -m benchmarks.heavy_requests

Starts a service with its default settings on a made-up model, with a user of 45,000 artists and
200,000 events. Then, for each bomb (a request that has to be refused): the processor time of the
whole process for one refusal, and how much its peak memory rises. For each legal heavy request: how
long lists of other clients take meanwhile, one that a look-up answers and one that is ranked live,
from a process of its own that asks for one list after the other. Turns without and with the heavy
request alternate, and the medians of their 99th percentiles and maxima are written: the machine
itself holds a list up, too, which the turns without show.

The same requests then go to a service in whose event loop a task sleeps for a millisecond again and
again. Written is how much processor time the process spends until the task goes on: while the loop
is held, or another thread holds the interpreter, that grows; while other processes have the machine
it does not. Work of other threads beside a free loop counts as well, so it is an upper bound.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from app.events.event import Event
from app.model.interactions import UserItems
from app.model.model import Model, Popularity
from app.store.address import open_store
from app.store.clock import now
from benchmarks.conditions import conditions
from benchmarks.made_up_model import made_up_model, publish_made_up
from tests.processes import children_of
from tests.server import Server, serving

RESULTS: Final = Path(__file__).parent / "results" / "heavy_requests.json"
_USERS: Final = 20_000
_ARTISTS: Final = 60_000
_COLLECTED: Final = 45_000
_EVENTS: Final = 200_000
_EVENTS_AT_ONCE: Final = 5_000
_REFUSALS: Final = 5
_TURN_S: Final = 1.5
_BODY: Final = 4 * 2**20
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    method: str
    path: str
    body: bytes | None = None


def made(count: int, entry: str) -> str:
    """Returns the entries of an array or object, ``%d`` in them numbered."""
    return ",".join(entry % number if "%d" in entry else entry for number in range(count))


def bombs(artists: list[str]) -> dict[str, Request]:
    """Returns requests that have to be refused."""

    def post(path: str, text: str) -> Request:
        return Request("POST", path, text[:_BODY].encode())

    event = '{"user_id":"u%d","artist_id":"a"'
    unknown = made(30, '"field%d":1').replace("%", "%%")
    return {
        "260,000 unknown fields": post("/recommend", "{" + made(260_000, '"field%d":1') + "}"),
        "380,000 unknown fields": post("/recommend", "{" + made(380_000, '"%d":1') + "}"),
        "1,000 listens with 380 unknown fields": post(
            "/recommend",
            '{"listens":[' + made(1000, '{"artist_id":"a",' + made(380, '"f%d":1') + "}") + "]}",
        ),
        "9,000 events with 30 unknown fields": post(
            "/events", '{"events":[' + made(9000, event + "," + unknown + "}") + "]}"
        ),
        "10,000 events without a user": post(
            "/events", '{"events":[' + made(10_000, '{"artist_id":"a%d"}') + "]}"
        ),
        "10,000 events in the future": post(
            "/events",
            '{"events":['
            + made(10_000, event + ',"timestamp":"2126-11-26T18:03:59Z","artist_name":"A"}')
            + "]}",
        ),
        "10,000 events that are numbers": post("/events", '{"events":[' + made(10_000, "1") + "]}"),
        "2 million numbers": post("/recommend", "[" + "1," * (_BODY // 2 - 2) + "1]"),
        "1.4 million arrays": post("/recommend", "[" + "[]," * (_BODY // 3 - 2) + "1]"),
        "1.4 million objects": post("/recommend", "[" + "{}," * (_BODY // 3 - 2) + "1]"),
        "nested 4 million deep": post("/recommend", "[" * _BODY),
        "a number of 4 million digits": post("/recommend", '{"n":' + "9" * (_BODY - 9) + "}"),
        "a string of 4 MB": post("/recommend", '{"user_id":"' + "x" * (_BODY - 20) + '"}'),
        "700,000 lone surrogates": post(
            "/recommend", '{"user_id":"' + "\\ud800" * (_BODY // 6 - 9) + '"}'
        ),
        "2 million escaped quotes": post(
            "/recommend", '{"user_id":"' + '\\"' * (_BODY // 2 - 9) + '"}'
        ),
        "600,000 repeated fields": post("/recommend", '{"a":1' + ',"a":1' * 600_000 + "}"),
        "wrong types in all lists": post(
            "/recommend",
            "{"
            + ",".join(f'"{name}":[{made(1000, "1")}]' for name in ("exclude", "candidates"))
            + ',"listens":['
            + made(1000, '{"artist_id":1,"plays":"x"}')
            + "]}",
        ),
        "10,000 parameters": Request("GET", f"/recommend/u?{'&'.join(['a'] * 10_000)}"),
        "10,000 excluded artists": Request(
            "GET", f"/recommend/u?{'&'.join(['exclude=a'] * 6_000)}"
        ),
        "10,000 parameters elsewhere": Request("GET", f"/popular?{'&'.join(['n=1'] * 10_000)}"),
    }


def heavy(users: list[str], artists: list[str]) -> dict[str, list[Request]]:
    """Returns legal requests that take long, each kind as what one client sends in turn."""

    def post(path: str, value: Any) -> Request:
        return Request("POST", path, json.dumps(value).encode())

    ids = users[1:1001]
    listens = [{"artist_id": artist, "plays": 3} for artist in artists[:1000]]
    events = [
        {"user_id": f"of-a-batch-{number % 500}", "artist_id": artists[number]}
        for number in range(10_000)
    ]
    return {
        "a batch of 1,000 users": [post("/recommend/batch", {"user_ids": ids, "n": 100})],
        "a batch of 1,000 users, discovery": [
            post("/recommend/batch", {"user_ids": ids, "n": 100, "discovery": 0.5})
        ],
        "offset=10000": [Request("GET", f"/recommend/{one}?offset=10000&n=500") for one in ids],
        "offset=10000, discovery": [
            Request("GET", f"/recommend/{one}?offset=10000&n=500&discovery=0.5") for one in ids
        ],
        "1,000 listens": [post("/recommend", {"listens": listens, "n": 500})],
        "10,000 events": [post("/events", {"events": events})],
        "10,000 events, half of them wrong": [
            post(
                "/events",
                {"events": [{**one, "plays": 1 - 2 * (i % 2)} for i, one in enumerate(events)]},
            )
        ],
        "a history of 45,000 artists": [Request("GET", "/users/collector?n=1000")],
        "the list of a user with 45,000 artists, live": [
            Request("GET", "/recommend/collector?include_seen=true"),
            post("/recommend", {"user_id": "collector", "listens": listens[:1]}),
        ],
        "popular artists of different days": [
            Request("GET", f"/popular?days={day}&n=500&offset=10000") for day in range(1, 90)
        ],
        "popular artists": [Request("GET", "/popular?n=500&offset=9000")],
    }


class Client:
    """A client with one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def send(self, request: Request) -> tuple[int, bytes]:
        """Returns the status and the body of the answer."""
        try:
            return self._send(request)
        except (BrokenPipeError, ConnectionResetError, RemoteDisconnected):
            self._connection.close()  # the service has closed it: it was idle
            return self._send(request)

    def _send(self, request: Request) -> tuple[int, bytes]:
        self._connection.request(request.method, request.path, request.body, _JSON)
        response = self._connection.getresponse()
        return response.status, response.read()


def worker_of(server: Server) -> int:
    """Returns the process that serves; the one that was started only watches it."""
    workers = [
        pid
        for pid in children_of(server.process.pid)
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    (worker,) = workers
    return worker


class Process:
    """The numbers of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def seconds(self) -> float:
        """Returns the processor time of all its threads."""
        total = 0
        for task in (self._folder / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def peak_mb(self) -> float:
        """Returns the highest resident memory since the last call of ``forget_peak``."""
        found = re.search(r"VmHWM:\s+(\d+) kB", (self._folder / "status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def forget_peak(self) -> None:
        """Sets the peak to the present resident memory."""
        (self._folder / "clear_refs").write_text("5")


def refusals(server: Server, requests: dict[str, Request]) -> dict[str, Any]:
    """Returns the cost of each refusal."""
    process, client = Process(worker_of(server)), Client(server.port)
    results = {}
    for name, request in requests.items():
        taken = []
        process.forget_peak()
        before_mb = process.peak_mb()
        for _ in range(_REFUSALS):
            start, begun = process.seconds(), time.perf_counter()
            status, body = client.send(request)
            elapsed = time.perf_counter() - begun
            taken.append(process.seconds() - start)
            if status < 400 or status >= 500:
                raise SystemExit(f"{name}: {status}")
        results[name] = {
            "status": status,
            "answer_bytes": len(body),
            "processor_ms_median": round(1000 * median(taken), 1),
            "processor_ms_max": round(1000 * max(taken), 1),
            "last_s": round(elapsed, 3),
            "peak_rises_mb": round(process.peak_mb() - before_mb, 1),
        }
        print(f"{name:45} {json.dumps(results[name])}", flush=True)
    return results


class Probe:
    """A process that asks for one list after the other, and measures how long each takes."""

    def __init__(self, port: int, path: str) -> None:
        command = [sys.executable, "-m", "benchmarks.heavy_requests", "--probe", str(port), path]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def begin(self) -> None:
        """Begins a turn."""
        self._tell("begin")

    def end(self) -> list[float]:
        """Ends the turn, and returns the milliseconds of each list."""
        self._tell("end")
        times: list[float] = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]
        return times

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _tell(self, word: str) -> None:
        self._process.stdin.write(f"{word}\n")  # type: ignore[union-attr]


def probe(port: int, path: str) -> None:
    """Runs in the probe's process: turns between the lines that it reads."""
    import threading  # noqa: PLC0415

    client, times, asking = Client(port), [], threading.Event()
    done = threading.Event()

    def ask() -> None:
        while asking.wait():
            start = time.perf_counter()
            status, _ = client.send(Request("GET", path))
            times.append(1000 * (time.perf_counter() - start))
            if status != 200:
                times.append(1e9)
            if not asking.is_set():
                done.set()
            time.sleep(0.001)

    threading.Thread(target=ask, daemon=True).start()
    for line in sys.stdin:
        if line == "begin\n":
            times.clear()
            done.clear()
            asking.set()
        else:
            asking.clear()
            done.wait(5)
            print(json.dumps(times), flush=True)


@contextmanager
def probes(port: int, users: list[str]) -> Iterator[dict[str, Probe]]:
    """Starts the probes."""
    paths = {
        "look-up": f"/recommend/{users[2000]}?n=10",
        "live": f"/recommend/{users[2001]}?n=10&include_seen=true",
    }
    started = {name: Probe(port, path) for name, path in paths.items()}
    try:
        yield started
    finally:
        for one in started.values():
            one.close()


def serve(models: str, url: str) -> None:
    """Runs in the process of a service with a watched event loop; each input line asks."""
    import asyncio  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    from app.server.running import create_worker_app  # noqa: PLC0415

    os.environ |= {"ENCORE_MODELS": models, "ENCORE_DATABASE_URL": url}
    held: list[float] = []

    async def watch() -> None:
        while True:
            start = time.process_time()
            await asyncio.sleep(0.001)
            held.append(1000 * (time.process_time() - start))

    async def run() -> None:
        server = uvicorn.Server(
            uvicorn.Config(create_worker_app(), port=0, log_level="error", ws="none")
        )
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.1)
        watching = asyncio.create_task(watch())
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(held), flush=True)
            held.clear()
        watching.cancel()
        server.should_exit = True
        await serving

    asyncio.run(run())


def loop_held(
    models: Path, url: str, kinds: dict[str, list[Request]], turns: int
) -> dict[str, Any]:
    """Returns how long the event loop is held beside each kind of heavy request."""
    command = [sys.executable, "-m", "benchmarks.heavy_requests", "--serve", str(models), url]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    results = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise TypeError("both were asked for")
        client = Client(int(stdout.readline()))

        def asked() -> list[float]:
            stdin.write("\n")
            stdin.flush()
            times: list[float] = json.loads(stdout.readline())
            return times

        time.sleep(3)  # the newcomer worker reads the events
        asked()
        for name, requests in {"idle": [Request("GET", "/health/live")], **kinds}.items():
            taken, sent = [], 0
            for _ in range(turns):
                until = time.perf_counter() + _TURN_S
                while time.perf_counter() < until:
                    client.send(requests[sent % len(requests)])
                    sent += 1
                taken.append(asked())
            results[name] = spread(taken)
            print(f"{name:45} {json.dumps(results[name])}", flush=True)
        stdin.close()
    return results


def spread(turns: list[list[float]]) -> dict[str, float]:
    """Returns the medians, over the turns, of the median, the 99th percentile and the maximum."""
    quantiles = np.median([np.quantile(turn, [0.5, 0.99, 1.0]) for turn in turns], axis=0)
    return dict(zip(("median_ms", "p99_ms", "max_ms"), quantiles.round(1).tolist(), strict=True))


def held_up(
    server: Server, kinds: dict[str, list[Request]], users: list[str], turns: int
) -> dict[str, Any]:
    """Returns how long others wait beside each kind of heavy request."""
    results: dict[str, Any] = {}
    with probes(server.port, users) as asking:
        for name, requests in kinds.items():
            client, sent = Client(server.port), 0
            times: dict[str, dict[str, list[list[float]]]] = {
                one: {"idle": [], "beside": []} for one in asking
            }
            own, statuses = [], set()
            for _ in range(turns):
                for which, one in asking.items():
                    one.begin()
                    time.sleep(_TURN_S)
                    times[which]["idle"].append(one.end())
                    one.begin()
                    until = time.perf_counter() + _TURN_S
                    while time.perf_counter() < until:
                        start = time.perf_counter()
                        status, _ = client.send(requests[sent % len(requests)])
                        own.append(1000 * (time.perf_counter() - start))
                        statuses.add(status)
                        sent += 1
                    times[which]["beside"].append(one.end())
            results[name] = {
                "sent": sent,
                "statuses": sorted(statuses),
                "own_median_ms": round(median(own), 1),
                "own_max_ms": round(max(own), 1),
                **{
                    f"{which}, {when}": spread(times[which][when])
                    for which in asking
                    for when in ("idle", "beside")
                },
            }
            print(f"{name:45} {json.dumps(results[name])}", flush=True)
    return results


def with_collector(model: Model) -> Model:
    """Returns a model whose first user is called ``collector`` and has very many artists."""
    theirs = model.user_items
    end = int(theirs.indptr[1])
    items = np.arange(_COLLECTED, dtype=np.int32)
    plays = 1 + (items.astype(np.float32) * 7919) % 500
    indptr = theirs.indptr + (_COLLECTED - end)
    indptr[0] = 0
    user_items = UserItems(
        indptr,
        np.concatenate([items, theirs.indices[end:]]),
        np.concatenate([plays, theirs.plays[end:]]),
        theirs.n_items,
    )
    ids = ["collector", *(model.users.id(index) for index in range(1, len(model.users)))]
    return replace(
        model,
        users=type(model.users).build(ids),
        user_items=user_items,
        popularity=Popularity.count(user_items),
    )


def fill(url: str, artists: list[str]) -> None:
    """Stores events of many users, from the last 100 days."""
    store, rng, at = open_store(url), np.random.default_rng(0), now()
    try:
        for start in range(0, _EVENTS, _EVENTS_AT_ONCE):
            drawn = rng.integers(len(artists), size=_EVENTS_AT_ONCE).tolist()
            ages = (rng.random(_EVENTS_AT_ONCE) * 100 * 24 * 3600e6).astype(int).tolist()
            store.append(
                [
                    Event(f"listener-{(start + k) % 20_000}", artists[item], timestamp=at - age)
                    for k, (item, age) in enumerate(zip(drawn, ages, strict=True))
                ],
                at,
            )
    finally:
        store.close()


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="of each kind (default: 5)")
    parser.add_argument("--only", default="", help="names with this in them; writes no result")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.probe:
        probe(int(given.probe[0]), given.probe[1])
        return
    if given.serve:
        serve(*given.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        models, url = Path(folder) / "models", f"sqlite:///{folder}/encore.db"
        model = with_collector(made_up_model(_USERS, _ARTISTS))
        users = [model.users.id(index) for index in range(3000)]
        artists = [model.items.id(index) for index in range(len(model.items))]
        publish_made_up(model, models)
        fill(url, artists)
        defaults = {"ENCORE_LIVE_WAIT_SECONDS": "0.5", "ENCORE_STORE_READ_SECONDS": "0.5"}
        with serving(models, ENCORE_DATABASE_URL=url, **defaults) as server:
            while server.get("/health/ready")[0] != 200:
                time.sleep(0.1)
            time.sleep(3)  # the newcomer worker reads the events
            chosen = {name: one for name, one in bombs(artists).items() if given.only in name}
            refused = refusals(server, chosen)
            kinds = {name: one for name, one in heavy(users, artists).items() if given.only in name}
            waited = held_up(server, kinds, users, given.turns)
        held = loop_held(models, url, kinds, given.turns)
    result = {
        "conditions": conditions(),
        "load_average": round(os.getloadavg()[1], 1),
        "refusals": refused,
        "others wait": waited,
        "event loop held, in processor time": held,
    }
    if not given.only:
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
