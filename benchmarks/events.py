"""What live events cost: their writing, the lists that follow them, and those of everybody else.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.events --models models [--before CHECKOUT]

- ``fold-in``: lists of users with an event that is new to the service, so that the events are read
  and the user's row is solved; ``kept``: the same users again; against lists that are scored live
  (``include_seen=true``) for users without events. One connection, medians of latency.
- ``untouched``: precomputed lists of users without events, while the store holds 10,000 events of
  2,000 others, against the same lists from a checkout of before there were events, if one is given.
- ``ingest``: events a second in batches of 100, from two senders, each durable in SQLite when it is
  acknowledged; alone, and while precomputed lists are asked for over 16 connections.

Every server is one process on one CPU. Ratios are taken between turns that follow each other.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from app.artifact import open_model
from app.model import Model
from app.versions import current_version
from benchmarks.load import (
    HOST,
    BenchmarkError,
    Figures,
    Load,
    Server,
    client_cpu,
    drive,
    encore,
    lists_by,
    serving_conditions,
)

RESULTS: Final = Path(__file__).parent / "results" / "events.json"
_TOUCHED: Final = 2_000
_STORED: Final = 10_000
_BATCH: Final = 100
_SENDERS: Final = 2
_CONNECTIONS: Final = 16


@dataclass(slots=True)
class Sender:
    """Sends batches of events over one connection, each as soon as the last is acknowledged.

    Attributes:
        server: where to.
        users, artists: whom and what the events are about.
        seed: of the choice.
        seconds: what each batch took.
    """

    server: Server
    users: Sequence[str]
    artists: Sequence[str]
    seed: int = 0
    seconds: list[float] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def send(self, users: Sequence[str]) -> None:
        """Sends an event of each of the users, in batches."""
        rng = np.random.default_rng((self.seed, next(self._numbers)))
        artists = rng.integers(len(self.artists), size=len(users)).tolist()
        events = [
            {
                "event_id": f"{self.seed} {next(self._numbers)}",
                "user_id": user,
                "artist_id": self.artists[artist],
            }
            for user, artist in zip(users, artists, strict=True)
        ]
        connection = HTTPConnection(HOST, self.server.port, timeout=30)
        for start in range(0, len(events), _BATCH):
            self._post(connection, events[start : start + _BATCH])
        connection.close()

    def send_for(self, seconds: float) -> None:
        """Sends batches until the time is over."""
        os.sched_setaffinity(threading.get_native_id(), {client_cpu()})
        rng = np.random.default_rng(self.seed)
        connection = HTTPConnection(HOST, self.server.port, timeout=30)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            users = rng.integers(len(self.users), size=_BATCH).tolist()
            artists = rng.integers(len(self.artists), size=_BATCH).tolist()
            events = [
                {
                    "event_id": f"{self.seed} {next(self._numbers)}",
                    "user_id": self.users[user],
                    "artist_id": self.artists[artist],
                }
                for user, artist in zip(users, artists, strict=True)
            ]
            start = time.perf_counter()
            self._post(connection, events)
            self.seconds.append(time.perf_counter() - start)
        connection.close()

    def _post(self, connection: HTTPConnection, events: list[dict[str, str]]) -> None:
        body = json.dumps({"events": events})
        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        if answer.get("stored") != len(events):
            raise BenchmarkError(f"expected {len(events)} events to be stored, found {answer}")


def measure_fold_in(models: Path, model: Model, turns: int) -> dict[str, Any]:
    """Returns what lists of users with new events cost, against live scoring."""
    users = _ids(model)
    touched, others = users[:_TOUCHED], users[_TOUCHED:]
    fold_in = Load("fold-in", [_target(user) for user in touched], lists_by("fold_in"))
    live = Load("live", [f"{_target(one)}?include_seen=true" for one in others], lists_by("als"))
    found: list[tuple[Figures, Figures, Figures]] = []
    with encore(models) as server:
        sender = Sender(server, touched, _artists(model), seed=1)
        sender.send(touched)
        fold_in.try_out(server)
        live.try_out(server)
        for turn in range(turns):
            scored = drive(server, live, connections=1, seconds=1, start=turn * 997)
            sender.send(touched)
            folded = drive(server, fold_in, connections=1, seconds=1)
            if folded.throughput > _TOUCHED:
                raise BenchmarkError("some users were asked for twice; touch more of them")
            kept = drive(server, fold_in, connections=1, seconds=1)
            found.append((scored, folded, kept))
    figures = [Figures.median(column) for column in zip(*found, strict=True)]
    return {
        "live": figures[0].to_json(),
        "fold_in": figures[1].to_json(),
        "kept": figures[2].to_json(),
        "p50 fold-in / live": _spread([one[1].p50_us / one[0].p50_us for one in found]),
        "p50 kept / live": _spread([one[2].p50_us / one[0].p50_us for one in found]),
    }


def measure_untouched(
    models: Path, model: Model, before: Path, starts: int, turns: int
) -> dict[str, Any]:
    """Returns the throughput of users without events, against a checkout without events."""
    users = _ids(model)
    load = Load("untouched", [_target(user) for user in users[_TOUCHED:]], lists_by("als"))
    ratios, figures = [], []
    for start in range(starts):
        with encore(models, root=before) as old, encore(models) as new:
            sender = Sender(new, users, _artists(model), seed=2)
            for _ in range(_STORED // _TOUCHED):
                sender.send(users[:_TOUCHED])
            load.try_out(new)
            for turn in range(turns):
                servers = (old, new) if (start + turn) % 2 else (new, old)
                driven = {
                    server.port: drive(server, load, connections=_CONNECTIONS, seconds=2)
                    for server in servers
                }
                ratios.append(driven[new.port].throughput / driven[old.port].throughput)
                figures.append((driven[old.port], driven[new.port]))
    return {
        "before": Figures.median([one for one, _ in figures]).to_json(),
        "with events": Figures.median([one for _, one in figures]).to_json(),
        "with events / before": _spread(ratios),
    }


def measure_ingest(models: Path, model: Model, seconds: int) -> dict[str, Any]:
    """Returns events a second, alone and while lists are asked for."""
    users = _ids(model)
    load = Load("lists", [_target(user) for user in users[_TOUCHED:]], lists_by("als"))
    result = {}
    with encore(models) as server:
        alone = drive(server, load, connections=_CONNECTIONS, seconds=seconds)
        for name, is_busy in (("alone", False), ("while serving", True)):
            senders = [
                Sender(server, users[:_TOUCHED], _artists(model), seed=3 + number + 10 * is_busy)
                for number in range(_SENDERS)
            ]
            threads = [
                threading.Thread(target=sender.send_for, args=(float(seconds),))
                for sender in senders
            ]
            for thread in threads:
                thread.start()
            driven = None
            if is_busy:
                driven = drive(server, load, connections=_CONNECTIONS, seconds=seconds)
            for thread in threads:
                thread.join()
            taken = [one for sender in senders for one in sender.seconds]
            result[name] = {
                "events a second": round(len(taken) * _BATCH / seconds),
                "batch p50 ms": round(1000 * median(taken), 2),
                "batch p99 ms": round(1000 * quantiles(taken, n=100)[-1], 2),
            }
            if driven is not None:
                result[name]["lists a second"] = round(driven.throughput)
                result[name]["lists without events a second"] = round(alone.throughput)
    return result


def _ids(model: Model) -> list[str]:
    order = np.random.default_rng(0).permutation(len(model.users)).tolist()
    return [model.users.id(user) for user in order]


def _artists(model: Model) -> list[str]:
    return [model.items.id(item) for item in model.popularity.by_listeners[:5000].tolist()]


def _target(user_id: str) -> str:
    return f"/recommend/{quote(user_id, safe='')}"


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
        "turns": len(ratios),
    }


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="a checkout of a version without events")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    version = current_version(given.models)
    if version is None:
        raise SystemExit(f"error: no model in {given.models}")
    model = open_model(given.models / version)
    result: dict[str, Any] = {
        "conditions": serving_conditions(),
        "model": {"users": len(model.users), "artists": len(model.items)},
        "fold-in": measure_fold_in(given.models, model, given.turns),
        "ingest": measure_ingest(given.models, model, seconds=10),
    }
    if given.before:
        result["untouched"] = measure_untouched(
            given.models, model, given.before, given.starts, given.turns
        )
    print(json.dumps(result, indent=2))
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
