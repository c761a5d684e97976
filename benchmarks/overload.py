"""Live scoring under ten times the admitted load.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.overload --models models

Each connection requests a live list, and requests the next one as soon as it has an answer, refused
or not, unlike a well-behaved client. First there are as many connections as may wait at once: the
peak. Then there are ten times as many: the goodput, which is the rate of answers with status 200,
should be at least 0.8 of the peak, and the 99th percentile of their time at most twice the bound of
the queue. Then there are as many as at first: no request should be refused. The turns alternate,
since the speed of a shared machine changes within seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import numpy as np
import uvloop

from app.artifacts.models_folder import ModelsFolder
from benchmarks.load import HOST, Server, client_cpu, encore, serving_conditions

RESULTS: Final = Path(__file__).parent / "results" / "overload.json"
QUEUE: Final = 64
WAIT_SECONDS: Final = 0.25
OVERLOAD: Final = 10
# As many times as may wait.
_TURNS: Final = (1, OVERLOAD, 1, OVERLOAD, 1)
_LENGTH: Final = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """Counts of answers.

    Attributes:
        seconds: duration of the count.
        answers: status to number of answers.
        accepted_s: seconds to each answer of status 200.
    """

    seconds: float
    answers: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns rates and percentiles."""
        p50, p99 = np.quantile(self.accepted_s, [0.5, 0.99])
        return {
            "accepted_a_second": round(self.answers[200] / self.seconds, 1),
            "refused_a_second": round(self.answers[503] / self.seconds, 1),
            "p50_ms": round(1000 * float(p50), 1),
            "p99_ms": round(1000 * float(p99), 1),
        }


class Client(asyncio.Protocol):
    """One connection that sends requests continuously.

    Args:
        requests: complete requests, sent in turn.
        tally: counts the answers while ``counts`` is set.
    """

    counts = False

    def __init__(self, requests: Sequence[bytes], tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._next = 0
        self._answer = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Counts an answer when it is complete, and sends the next request."""
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not separator or length is None or len(body) < int(length[1]):
            return
        if Client.counts:
            status = int(head[9:12])
            self._tally.answers[status] += 1
            if status == 200:
                self._tally.accepted_s.append(time.perf_counter() - self._asked_at)
        self._answer = b""
        self.ask()

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def ask(self) -> None:
        """Sends the next request."""
        self._asked_at = time.perf_counter()
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)


async def drive(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Tally:
    """Drives a server after one second of warm-up."""
    loop, tally = asyncio.get_running_loop(), Tally(seconds)
    clients = []
    for number in range(connections):
        offset = number * len(requests) // connections
        own = [*requests[offset:], *requests[:offset]]
        _, client = await loop.create_connection(lambda own=own: Client(own, tally), HOST, port)  # type: ignore[misc]
        clients.append(client)
    # The server accepts connections between rounds of requests, so under load it would take long.
    await asyncio.sleep(0.5)
    for client in clients:
        client.ask()
    await asyncio.sleep(1.0)
    Client.counts = True
    await asyncio.sleep(seconds)
    Client.counts = False
    for client in clients:
        client.close()
    await asyncio.sleep(0.5)
    return tally


def measure(server: Server, requests: Sequence[bytes], seconds: float) -> list[dict[str, Any]]:
    """Returns the counts at the peak and under overload, in turns."""
    results = []
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {client_cpu()})
    for times in _TURNS:
        tally = uvloop.run(drive(server.port, requests, times * QUEUE, seconds))
        if set(tally.answers) - {200, 503}:
            raise SystemExit(f"error: {times * QUEUE} connections: {dict(tally.answers)}")
        results.append({"connections": times * QUEUE, **tally.to_json()})
        print(results[-1], flush=True)
    os.sched_setaffinity(0, everywhere)
    return results


def summarise(rounds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Returns the goodput as a share of the peaks before and after it, and the other targets."""
    goodput, late, refused = [], [], []
    for turns in rounds:
        for before, overload, after in zip(turns[::2], turns[1::2], turns[2::2], strict=False):
            peak = (before["accepted_a_second"] + after["accepted_a_second"]) / 2
            goodput.append(round(overload["accepted_a_second"] / peak, 3))
            late.append(round(overload["p99_ms"] / 1000 / WAIT_SECONDS, 3))
            refused.append(after["refused_a_second"])
    return {
        "goodput_to_peak": {"median": median(goodput), "turns": sorted(goodput)},
        "p99_to_bound": {"median": median(late), "turns": sorted(late)},
        "refused_a_second_after": max(refused),
    }


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each drive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    model = ModelsFolder(given.models).open_current()
    users = np.random.default_rng(0).choice(len(model.users), 2000)
    asked = (f"/recommend/{model.users.id(user)}?include_seen=true" for user in users.tolist())
    requests = [f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() for target in asked]
    rounds = []
    for _ in range(given.rounds):
        settings = {"ENCORE_LIVE_QUEUE": str(QUEUE), "ENCORE_LIVE_WAIT_SECONDS": str(WAIT_SECONDS)}
        with encore(given.models, settings=settings) as server:
            rounds.append(measure(server, requests, given.seconds))
    results = {
        "conditions": serving_conditions(),
        "queue": QUEUE,
        "wait_seconds": WAIT_SECONDS,
        **summarise(rounds),
        "rounds": rounds,
    }
    print(
        json.dumps({name: value for name, value in results.items() if name != "rounds"}, indent=2)
    )
    given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
