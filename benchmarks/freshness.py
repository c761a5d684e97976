"""The effect of one play on the list of its user, and on the quality of the list.

    python -m benchmarks.freshness --hetrec ../shared/data/hetrec2011-lastfm-2k

Every user of a test part plays one artist that is new to them, in neither part of the split. The
recommender of the service makes a list before and after. Measured are the share of users whose list
of ten differs, apart from that artist, and NDCG@10, for several sizes of the unit that events count
in. The artist is drawn from all artists, by popularity, or from the fifty best of the user.

Then the same over HTTP, with a service of two workers and a model of all data: every user sends an
event with a new artist and requests the list four times, each time over a new connection, so that
both workers answer some of the requests.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from app.artifacts.models_folder import ModelsFolder
from app.events.activity import activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from benchmarks.conditions import conditions
from benchmarks.load import HOST, BenchmarkError, Server, encore
from benchmarks.preset import load
from training.fitting.fit import fit_model
from training.measuring import measures
from training.presets import DEFAULT
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold

RESULTS: Final = Path(__file__).parent / "results" / "freshness.json"
# The first is about the effect of a play without a unit, at a median of 260 plays.
_MULTIPLES: Final = (0.02, 1.0, 2.0, 3.0, 5.0, 8.0)
_SEEDS: Final = (0, 1, 2)
_K: Final = 10
_OWN_BEST: Final = 50
_BLOCK: Final = 256
_WORKERS: Final = 2
_ASKED: Final = 4
_STORED: Final = re.compile(rb'encore_events_total\{result="stored"\} ([0-9.]+)')

# Draws an artist for a user, given the candidates and the best artists of the user.
Draw = Callable[[np.random.Generator, NDArray[np.int64], NDArray[np.int64]], int]


def draws(model: Model) -> Mapping[str, Draw]:
    """Returns the ways of drawing an artist."""
    listeners = np.asarray(model.popularity.listeners, dtype=np.float64)

    def by_popularity(
        rng: np.random.Generator, new: NDArray[np.int64], _best: NDArray[np.int64]
    ) -> int:
        return int(rng.choice(new, p=listeners[new] / listeners[new].sum()))

    return {
        "any artist": lambda rng, new, _best: int(rng.choice(new)),
        "by popularity": by_popularity,
        "from the user's best": lambda rng, _new, best: int(rng.choice(best)),
    }


def measure(fold: Fold, model: Model, seed: int) -> dict[str, Any]:
    """Returns the measured values by way of drawing and size of the unit."""
    users = np.flatnonzero(fold.test.user_items.row_lengths() > 0)
    before = _lists(
        Recommender(model), [Query(model.users.id(user), n=_OWN_BEST) for user in users.tolist()]
    )
    ndcg_before = _ndcg(before, fold, users)
    known = np.flatnonzero(np.asarray(model.popularity.listeners) > 0)
    figures: dict[str, Any] = {}
    for name, draw in draws(model).items():
        rng = np.random.default_rng(seed)
        played = []
        for user, best in zip(users.tolist(), before, strict=True):
            tested = fold.test.user_items.row(user)[0]
            has = np.concatenate([fold.train.user_items.row(user)[0], tested])
            new, good = np.setdiff1d(known, has), np.setdiff1d(best, tested)
            played.append(draw(rng, new, good))
        for multiple in _MULTIPLES:
            after = _after(model.with_multiple(multiple), users, played)
            figures[f"{name}, {multiple:g}"] = {
                **_difference(before, after, played),
                "ndcg_change": _ndcg(after, fold, users) / ndcg_before - 1.0,
            }
    return figures


def _after(model: Model, users: NDArray[np.int64], played: list[int]) -> list[NDArray[np.int64]]:
    queries = []
    for user, item in zip(users, played, strict=True):
        event = Event(model.users.id(user), model.items.id(item))
        activity = activity_of([StoredEvent(1, 0, event)], EventRules(), now=0)
        queries.append(Query(event.user_id, n=_K, activity=activity))
    return _lists(Recommender(model), queries)


def _lists(recommender: Recommender, queries: list[Query]) -> list[NDArray[np.int64]]:
    return [
        np.array(answer.items, dtype=np.int64)
        for start in range(0, len(queries), _BLOCK)
        for answer in recommender.recommend_many(queries[start : start + _BLOCK])
    ]


def _difference(
    before: list[NDArray[np.int64]], after: list[NDArray[np.int64]], played: list[int]
) -> dict[str, float]:
    lists = members = 0
    for old, new, item in zip(before, after, played, strict=True):
        expected = old[old != item][:_K]
        lists += not np.array_equal(expected, new)
        members += set(expected.tolist()) != set(new.tolist())
    return {"differs": lists / len(played), "other_artists": members / len(played)}


def _ndcg(lists: list[NDArray[np.int64]], fold: Fold, users: NDArray[np.int64]) -> float:
    tested = fold.test.user_items.take(users)
    hits = np.array(
        [np.isin(one[:_K], tested.row(row)[0]) for row, one in enumerate(lists)], dtype=bool
    )
    return float(measures.ndcg(hits, tested.row_lengths()).mean())


def measure_served(hetrec: Path) -> dict[str, Any]:
    """Returns the share of users whose next list differs, for whichever worker answers."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        command = [sys.executable, "-m", "training", "train", "--dataset", "hetrec-lastfm-2k"]
        command += [
            "--data",
            str(hetrec),
            "--models",
            str(models),
            "--no-evaluation",
            "--no-events",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        model = ModelsFolder(models).open_current()
        with encore(models, workers=_WORKERS) as server:
            return _served(server, model)


def _served(server: Server, model: Model) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    known = np.flatnonzero(np.asarray(model.popularity.listeners) > 0)
    differs = agrees = 0
    for user in range(len(model.users)):
        artist = model.items.id(int(rng.choice(np.setdiff1d(known, model.user_items.row(user)[0]))))
        user_id = model.users.id(user)
        path = f"/recommend/{quote(user_id, safe='')}?n="
        before = _artists(_ask(server, "GET", f"{path}{_K + 1}"))
        _ask(server, "POST", "/events", {"events": [{"user_id": user_id, "artist_id": artist}]})
        after = [_artists(_ask(server, "GET", f"{path}{_K}")) for _ in range(_ASKED)]
        differs += after[0] != [one for one in before if one != artist][:_K]
        agrees += all(one == after[0] for one in after)
    by_worker: set[bytes] = set()
    for _ in range(10 * _WORKERS):
        by_worker.update(_STORED.findall(_ask(server, "GET", "/metrics")))
    stored = sorted(int(float(count)) for count in by_worker)
    if sum(stored) != len(model.users):
        raise BenchmarkError(f"workers stored {stored} events, of {len(model.users)}")
    return {
        "users": len(model.users),
        "differs": round(differs / len(model.users), 4),
        "all answers alike": round(agrees / len(model.users), 4),
        "events taken by each worker": stored,
    }


def _ask(server: Server, method: str, path: str, body: Any = None) -> bytes:
    """Returns an answer to a call over a connection of its own."""
    connection = HTTPConnection(HOST, server.port, timeout=10)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != 200:
        raise BenchmarkError(f"{method} {path}: {answer!r}")
    return answer


def _artists(answer: bytes) -> list[str]:
    return [item["artist_id"] for item in json.loads(answer)["items"]]


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hetrec", type=Path, required=True)
    hetrec = parser.parse_args().hetrec
    served = measure_served(hetrec)
    print("served:", json.dumps(served))
    interactions = load("hetrec-lastfm-2k", hetrec)
    runs = []
    for seed in _SEEDS:
        fold = Fold(*RandomPerUser(seed=seed).split(interactions))
        runs.append(measure(fold, fit_model(fold.train, DEFAULT.parameters), seed))
    figures = {
        case: {
            name: round(float(np.mean([run[case][name] for run in runs])), 4)
            for name in runs[0][case]
        }
        for case in runs[0]
    }
    for case, means in figures.items():
        print(f"{case:30}", "  ".join(f"{name} {value:+.3f}" for name, value in means.items()))
    result = {
        "conditions": conditions(),
        "splits": len(_SEEDS),
        "figures": figures,
        "served": served,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
