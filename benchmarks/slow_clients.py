"""Waiting times of clients while others are slow, silent or hostile.

    python -m benchmarks.slow_clients
    python -m benchmarks.slow_clients --bombs header fields

Starts two services with their default limits. Clients request lists of the first, by turns alone,
while the second is attacked, and while the first is attacked. Attackers are 150 silent connections,
150 slow ones and bombs:

- slow heads, bodies and readers, and idle connections, in equal parts; a slow one sends a byte a
  second. Whoever is closed comes back;
- ``header``: a header of 100 MB; ``fields``: ``POST /recommend`` with 380,000 unknown fields;
  ``chunks``: a body of one-byte chunks; ``pipeline``: 20,000 requests at once. Each is thrown every
  second.

Printed and written are the times of lists as clients see them, by phase, the medians of the ratios
within each turn, the first service's processor time, and how long attackers were served, by kind.
The attackers use the same processors as the service: what their work alone does to the lists shows
where they attack the second service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.conditions import conditions
from benchmarks.frozen import train
from tests.processes import children_of
from tests.server import Server, eventually, serving

RESULTS: Final = Path(__file__).parent / "results" / "slow_clients.json"
SILENT: Final = 150
SLOW: Final = 150
_CLIENTS: Final = 4
_PAUSE_SECONDS: Final = 0.002
_WARM_UP_SECONDS: Final = 2.0
# Beyond a limit: two looks of the sweep, and what a busy machine adds.
_SLACK_SECONDS: Final = 5.0
_TARGET: Final = 2.0
_HEAD: Final = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
_GET: Final = b"GET /docs HTTP/1.1\r\n" + _HEAD
_POST: Final = b"POST /recommend HTTP/1.1\r\n" + _HEAD


def _fields() -> bytes:
    # Short enough for ENCORE_MAX_BODY_BYTES.
    body = json.dumps(
        {f"{number:x}": 1 for number in range(380_000)}, separators=(",", ":")
    ).encode()
    return _POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


BOMBS: Final[Mapping[str, Callable[[], bytes]]] = {
    "header": lambda: _GET + b"X-Long: " + b"a" * 100_000_000 + b"\r\n\r\n",
    "fields": _fields,
    "chunks": lambda: _POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 4_000_000,
    "pipeline": lambda: (_GET + b"\r\n") * 20_000,
}
_FILE: Final = b"/docs/assets/swagger-ui-bundle.js"
# The first byte of tcp_info (linux/tcp.h).
_ESTABLISHED: Final = 1
# What a slow client sends at first, what it sends every second, and its limit in seconds.
_KINDS: Final[Mapping[str, tuple[bytes, bytes, float]]] = {
    "silent": (b"", b"", 15),
    "slow head": (_GET + b"X: ", b"a", 15),
    "slow body": (_POST + b"Content-Length: 100000\r\n\r\n", b" ", 30),
    # A long file, which costs little to send: many lists would be load, whoever reads them.
    "slow reader": ((_GET.replace(b"/docs", _FILE) + b"\r\n") * 8, b"", 30),
    "idle": (b"GET /health/live HTTP/1.1\r\n" + _HEAD + b"\r\n", b"", 75),
}


def ask(port: int, users: Sequence[str], ended: Event, results: Connection) -> None:
    """Requests lists until the end, and sends when each began and how long it took."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CLIENTS)]
    times, number = [], 0
    results.send("ready")
    while not ended.is_set():
        number += 1
        connection = connections[number % _CLIENTS]
        request = b"GET /recommend/%b HTTP/1.1\r\n" % users[number % len(users)].encode()
        begin = time.perf_counter()
        connection.sendall(request + _HEAD + b"\r\n")
        answer = connection.recv(65536)
        while not answer.endswith(b"}]}"):
            answer += connection.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"error: {answer[:200]!r}")
        times.append((begin, time.perf_counter() - begin))
        time.sleep(_PAUSE_SECONDS)
    results.send(times)


def attack(port: int, ended: Event, results: Connection) -> None:
    """Holds slow and silent connections until the end, and sends how long each was served."""
    served: list[tuple[str, float]] = []
    slow = [kind for kind in _KINDS if kind != "silent"]
    kinds = ["silent"] * SILENT + [slow[number % len(slow)] for number in range(SLOW)]

    expected = set(range(len(kinds)))

    async def hold(kind: str, place: int) -> None:
        first, more, limit = _KINDS[kind]
        if kind == "slow reader":
            # Until its buffers are full it is served like any other client, which is load: they
            # come one after the other.
            expected.discard(place)
            await asyncio.sleep(limit * (place % SLOW) / SLOW)
        while not ended.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            begin = time.perf_counter()
            if place in expected:
                expected.discard(place)
                if not expected:
                    results.send("ready")
            with suppress(OSError):
                writer.write(first)
                while not ended.is_set():
                    if kind != "slow reader" and await _is_closed(reader):
                        break
                    await asyncio.sleep(1)
                    if kind == "slow reader" and not _is_open(writer):
                        break
                    writer.write(more)
            seconds = time.perf_counter() - begin
            # One that is still served counts where its limit is over.
            if not ended.is_set() or seconds > limit + _SLACK_SECONDS:
                served.append((kind, seconds))
            writer.transport.abort()

    async def hold_all() -> None:
        await asyncio.gather(*map(hold, kinds, range(len(kinds))))

    asyncio.run(hold_all())
    results.send(served)


def _is_open(writer: asyncio.StreamWriter) -> bool:
    """Asks the kernel: a client that reads nothing does not see that it was cut off."""
    connection: socket.socket = writer.get_extra_info("socket")
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


async def _is_closed(reader: asyncio.StreamReader) -> bool:
    """Reads what there is; a refusal is followed by the end."""
    with suppress(TimeoutError):
        while True:
            if not await asyncio.wait_for(reader.read(65536), 0.01):
                return True
    return False


def throw(port: int, bomb: str, ended: Event, results: Connection) -> None:
    """Throws a bomb every second, and sends what came back: statuses, or the kind of error."""
    data = BOMBS[bomb]()
    answers: list[str] = []
    results.send("ready")
    while not ended.is_set():
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            outcome = "none"
            with suppress(OSError):
                connection.sendall(data)
            try:
                outcome = connection.recv(12).decode()
            except OSError as error:
                outcome = type(error).__name__
            answers.append(outcome)
        ended.wait(1)
    results.send(answers)


class Others:
    """Processes that use the service at the same time.

    Args:
        target: what each does; gets its arguments, an event that ends it and a pipe for results.
        arguments: the arguments of each.
    """

    def __init__(self, target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._ended = context.Event()
        self._pipes = []
        for one in arguments:
            ours, theirs = context.Pipe()
            context.Process(target=target, args=(*one, self._ended, theirs), daemon=True).start()
            self._pipes.append(ours)

    def wait(self) -> None:
        """Waits until all have begun."""
        for pipe in self._pipes:
            pipe.recv()

    def end(self) -> list[Any]:
        """Ends all; returns what each has sent."""
        self._ended.set()
        return [pipe.recv() for pipe in self._pipes]


def summary(times: Sequence[float]) -> dict[str, float]:
    """Returns the number, the median and high quantiles of times, in milliseconds."""
    cuts = quantiles(times, n=1000)
    figures = {"p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998], "max_ms": max(times)}
    return {"n": len(times), **{name: round(1000 * one, 3) for name, one in figures.items()}}


def processor_seconds(server: Server) -> float:
    """Returns the processor time that the workers of the service have used."""
    return sum(
        int(task.read_text().split()[0]) / 1e9
        for pid in children_of(server.process.pid)
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def phase(
    server: Server, users: Sequence[str], seconds: float, attackers: Callable[[], list[Others]]
) -> tuple[dict[str, Any], list[Any]]:
    """Measures lists for some seconds; returns the figures, and what the attackers say."""
    clients = Others(ask, [(server.port, users)])
    others = attackers()
    for one in (clients, *others):
        one.wait()
    time.sleep(_WARM_UP_SECONDS)
    begin, used = time.perf_counter(), processor_seconds(server)
    time.sleep(seconds)
    end, used = time.perf_counter(), processor_seconds(server) - used
    (times,) = clients.end()
    said = [one.end() for one in others]
    measured = [took for start, took in times if begin <= start <= end]
    return {**summary(measured), "processor_share": round(used / (end - begin), 3)}, said


def measure(given: argparse.Namespace, models: Path, users: Sequence[str]) -> dict[str, Any]:
    """Measures by turns alone and beside attackers."""
    served: dict[str, list[float]] = defaultdict(list)
    answers: dict[str, dict[str, int]] = {bomb: defaultdict(int) for bomb in given.bombs}
    turns = []
    limits = {"ENCORE_LIVE_WAIT_SECONDS": "0.5", "ENCORE_STORE_READ_SECONDS": "0.5"}
    with serving(models, **limits) as server, serving(models, **limits) as second:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        eventually(lambda: second.get("/health/ready")[0] == 200)

        def attackers(port: int) -> list[Others]:
            bombs = [(port, bomb) for bomb in given.bombs]
            return [Others(attack, [(port,)]), *([Others(throw, bombs)] if bombs else [])]

        for _ in range(given.turns):
            alone, _ = phase(server, users, given.seconds / 2, list)
            elsewhere, _ = phase(server, users, given.seconds / 2, lambda: attackers(second.port))
            beside, said = phase(server, users, given.seconds, lambda: attackers(server.port))
            for kind, seconds in said[0][0]:
                served[kind].append(seconds)
            for bomb, outcomes in zip(given.bombs, said[1] if given.bombs else [], strict=True):
                for outcome in outcomes:
                    answers[bomb][outcome] += 1
            turns.append({"alone": alone, "second_attacked": elsewhere, "attacked": beside})
            print(json.dumps(turns[-1]), flush=True)
    return {
        "silent": SILENT,
        "slow": SLOW,
        "turns": turns,
        **{
            f"{name}_ratio{suffix}": round(
                median(turn["attacked"][name] / turn[than][name] for turn in turns), 3
            )
            for name in ("p50_ms", "p99_ms")
            for suffix, than in (("", "alone"), ("_to_second_attacked", "second_attacked"))
        },
        "bombs": answers,
        "attackers": {kind: _closing(kind, served[kind]) for kind in _KINDS},
    }


def _closing(kind: str, seconds: Sequence[float]) -> dict[str, Any]:
    limit = _KINDS[kind][2]
    longest = max(seconds, default=None)
    return {
        "ended": len(seconds),
        "longest_s": longest and round(longest, 1),
        "limit_s": limit,
        "within_limit": longest and longest <= limit + _SLACK_SECONDS,
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bombs", nargs="*", choices=BOMBS, default=list(BOMBS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=85, help="of an attack; half of it alone")
    parser.add_argument("--models", type=Path, help="folder of published models; else one is made")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with tempfile.TemporaryDirectory() as folder:
        models, users = train(Path(folder))
        results = measure(given, given.models or models, users[:500])
    print(json.dumps({name: results[name] for name in results if name != "turns"}, indent=2))
    print(f"others' p99: {results['p99_ms_ratio']} times the idle one (target {_TARGET})")
    ratio = results["p99_ms_ratio_to_second_attacked"]
    print(f"others' p99: {ratio} times the one while the second service is attacked")
    given.out.write_text(json.dumps({"conditions": conditions(), **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
