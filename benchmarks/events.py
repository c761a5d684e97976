"""The cost of live events: writing them, the lists that depend on them, and all other lists.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.events --models models [--before CHECKOUT]

- ``fold-in``: lists of users with an event that is new to the service, so that the events are read
  and the row of the user is solved; ``kept``: some of the same users again, without another event;
  compared with lists that are scored live (``include_seen=true``) for users without events. One
  connection, medians of latency.
- ``untouched``: precomputed lists of users without events, while the store holds 10,000 events of
  2,000 others, compared with the same lists from a checkout without events, if one is given.
- ``newcomers``: precomputed lists of users without events, while some artists that are not in the
  model have been played by five users each, compared with the same lists without any events; with
  the share of the lists that have such an artist.
- ``ingest``: events per second in batches of 100 from two senders, each batch durable in SQLite
  when it is acknowledged; alone, and while precomputed lists are requested over 16 connections. For
  the latter, only batches that were acknowledged while both loads ran count.

Every server is one process on one CPU. Ratios are those of consecutive turns.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from app.artifacts.models_folder import ModelsFolder
from app.model.model import Model
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
# Few enough that all of them were asked for in the second before.
_ASKED_AGAIN: Final = 200
_STORED: Final = 10_000
_BATCH: Final = 100
_SENDERS: Final = 2
_CONNECTIONS: Final = 16
_INGEST_SECONDS: Final = 4
# Until both senders have a batch under way.
_LEAD_SECONDS: Final = 0.5
_NEW: Final = "new artist"
_NEW_ARTISTS: Final = (10, 100, 1000)
_LISTENERS: Final = 5
# Lists that are checked for new artists every second, until the same number has some five times.
_LOOKED_AT: Final = 1000
_SETTLED: Final = 5
_LONGEST_WAIT: Final = 120


@dataclass(slots=True)
class Sender:
    """Sends batches of events over one connection, each as soon as the last is acknowledged.

    Attributes:
        server: the server.
        users, artists: the users and artists of the events.
        seed: of the choice.
        acknowledged: the time of each batch of ``send_until``, and the seconds that it took.
    """

    server: Server
    users: Sequence[str]
    artists: Sequence[str]
    seed: int = 0
    acknowledged: list[tuple[float, float]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def send(self, users: Sequence[str]) -> None:
        """Sends an event of each of the users, in batches."""
        rng = np.random.default_rng((self.seed, next(self._numbers)))
        artists = rng.integers(len(self.artists), size=len(users)).tolist()
        self.send_plays(
            [(user, self.artists[artist]) for user, artist in zip(users, artists, strict=True)]
        )

    def send_plays(self, plays: Sequence[tuple[str, str]]) -> None:
        """Sends plays, each of a user and an artist, in batches."""
        events = [
            {
                "event_id": f"{self.seed} {next(self._numbers)}",
                "user_id": user,
                "artist_id": artist,
            }
            for user, artist in plays
        ]
        connection = HTTPConnection(HOST, self.server.port, timeout=30)
        for start in range(0, len(events), _BATCH):
            self._post(connection, events[start : start + _BATCH])
        connection.close()

    def send_until(self, stop: threading.Event) -> None:
        """Sends batches until told to stop."""
        os.sched_setaffinity(threading.get_native_id(), {client_cpu()})
        rng = np.random.default_rng(self.seed)
        connection = HTTPConnection(HOST, self.server.port, timeout=30)
        while not stop.is_set():
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
            end = time.perf_counter()
            self.acknowledged.append((end, end - start))
        connection.close()

    def _post(self, connection: HTTPConnection, events: list[dict[str, str]]) -> None:
        body = json.dumps({"events": events})
        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        if answer.get("stored") != len(events):
            raise BenchmarkError(f"expected {len(events)} events to be stored, found {answer}")


def measure_fold_in(models: Path, model: Model, turns: int) -> dict[str, Any]:
    """Returns the latency of lists of users with new events, compared with live scoring."""
    users = _ids(model)
    touched, others = users[:_TOUCHED], users[_TOUCHED:]
    fold_in = Load("fold-in", [_target(user) for user in touched], lists_by("fold_in"))
    again = Load("kept", fold_in.targets[:_ASKED_AGAIN], lists_by("fold_in"))
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
            if folded.throughput < 2 * _ASKED_AGAIN:
                raise BenchmarkError("some users were not asked for; ask fewer of them again")
            repeated = drive(server, again, connections=1, seconds=1)
            found.append((scored, folded, repeated))
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
    """Returns the throughput for users without events, compared with a checkout without events."""
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
        # Steadier than the throughput if other tenants use the machine.
        "processor time, before / with events": _spread(
            [old.cpu_us / new.cpu_us for old, new in figures]
        ),
    }


def measure_newcomers(models: Path, model: Model, turns: int) -> dict[str, Any]:
    """Returns the throughput with some new artists, compared with that without any events."""
    users = _ids(model)
    load = Load("newcomers", [_target(user) for user in users[_TOUCHED:]], lists_by("als"))
    found: dict[str, Any] = {}
    for n_artists in _NEW_ARTISTS:
        with encore(models) as without, encore(models) as beside:
            Sender(beside, users, ()).send_plays(_plays_of_new(model, users, n_artists))
            share = _settled_share(beside, load.targets[:_LOOKED_AT])
            load.try_out(beside)
            ratios, figures = [], []
            for turn in range(2 * turns):
                driven = {
                    server.port: drive(server, load, connections=_CONNECTIONS, seconds=1)
                    for server in ((without, beside) if turn % 2 else (beside, without))
                }
                figures.append((driven[without.port], driven[beside.port]))
                ratios.append(driven[beside.port].throughput / driven[without.port].throughput)
        found[f"{n_artists} new artists"] = {
            "lists with one": share,
            "without": Figures.median([one for one, _ in figures]).to_json(),
            "beside": Figures.median([one for _, one in figures]).to_json(),
            "beside / without": _spread(ratios),
        }
    return found


def _plays_of_new(model: Model, users: Sequence[str], n_artists: int) -> list[tuple[str, str]]:
    """Makes up new artists, each played by five users whose tastes are alike."""
    indices = model.users.indices(users[:_TOUCHED])
    vectors = model.user_factors[indices]
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    plays = []
    for number, first in enumerate(np.random.default_rng(3).integers(len(vectors), size=n_artists)):
        for user in np.argsort(-(vectors @ vectors[first]))[:_LISTENERS].tolist():
            plays.append((model.users.id(int(indices[user])), f"{_NEW} {number}"))
    return plays


def _settled_share(server: Server, targets: Sequence[str]) -> float:
    """Waits until new artists stop entering lists; returns the share of lists with some."""
    counts: list[int] = []
    while len(counts) < _SETTLED or len(set(counts[-_SETTLED:])) > 1 or not counts[-1]:
        if len(counts) > _LONGEST_WAIT:
            raise BenchmarkError("new artists went on coming into lists, or none did")
        time.sleep(1)
        connection, with_new = HTTPConnection(HOST, server.port, timeout=30), 0
        for target in targets:
            connection.request("GET", target)
            with_new += f'"{_NEW} '.encode() in connection.getresponse().read()
        connection.close()
        counts.append(with_new)
    return round(counts[-1] / len(targets), 3)


def measure_ingest(models: Path, model: Model, turns: int) -> dict[str, Any]:
    """Returns the events per second, alone and while lists are requested, in turns."""
    users = _ids(model)
    load = Load("lists", [_target(user) for user in users[_TOUCHED:]], lists_by("als"))
    alone, beside, lists = [], [], []
    with encore(models) as server:
        load.try_out(server)
        for turn in range(turns):
            senders = [
                Sender(server, users[:_TOUCHED], _artists(model), seed=100 + turn * _SENDERS + one)
                for one in range(_SENDERS)
            ]
            quiet = drive(server, load, connections=_CONNECTIONS, seconds=_INGEST_SECONDS)
            with _sending(senders):
                start = time.perf_counter()
                time.sleep(_INGEST_SECONDS)
                alone.append(_ingested(senders, start, time.perf_counter()))
            with _sending(senders):
                start = time.perf_counter()
                busy = drive(
                    server,
                    load,
                    connections=_CONNECTIONS,
                    seconds=_INGEST_SECONDS,
                    settled=False,
                )
                beside.append(_ingested(senders, start, time.perf_counter()))
            lists.append((quiet.throughput, busy.throughput))
    return {
        "alone": _medians(alone),
        "while serving": _medians(beside),
        "lists a second without events": round(median(quiet for quiet, _ in lists)),
        "lists a second while events come in": round(median(busy for _, busy in lists)),
        "lists while events come in / without": _spread([busy / quiet for quiet, busy in lists]),
        "events while serving / alone": _spread(
            [
                both["events a second"] / one["events a second"]
                for one, both in zip(alone, beside, strict=True)
            ]
        ),
    }


@contextmanager
def _sending(senders: Sequence[Sender]) -> Iterator[None]:
    """Keeps senders sending."""
    stop = threading.Event()
    threads = [threading.Thread(target=sender.send_until, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        time.sleep(_LEAD_SECONDS)
        yield
        if not all(thread.is_alive() for thread in threads):
            raise BenchmarkError("a sender gave up")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ingested(senders: Sequence[Sender], start: float, end: float) -> dict[str, float]:
    """Returns the batches that were acknowledged in a span of time."""
    taken = [
        seconds for sender in senders for at, seconds in sender.acknowledged if start <= at < end
    ]
    return {
        "events a second": round(len(taken) * _BATCH / (end - start)),
        "batch p50 ms": round(1000 * median(taken), 2),
        "batch p99 ms": round(1000 * quantiles(taken, n=100, method="inclusive")[-1], 2),
    }


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(turn[name] for turn in turns), 2) for name in turns[0]}


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
    model = ModelsFolder(given.models).open_current()
    if len(model.users) < 2 * _TOUCHED:
        raise SystemExit(f"error: it takes a model of {2 * _TOUCHED} users or more")
    result: dict[str, Any] = {
        "conditions": serving_conditions(),
        "model": {"users": len(model.users), "artists": len(model.items)},
        "fold-in": measure_fold_in(given.models, model, given.turns),
        "newcomers": measure_newcomers(given.models, model, given.turns),
        "ingest": measure_ingest(given.models, model, given.turns),
    }
    if given.before:
        result["untouched"] = measure_untouched(
            given.models, model, given.before, given.starts, given.turns
        )
    print(json.dumps(result, indent=2))
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
