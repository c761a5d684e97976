"""The service under load, compared with bare frameworks and with implicit in a plain handler.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.serve --models models

Every server is one process on one CPU, started afresh; wrk drives it from another CPU. Compared are

- ``fastapi``, ``starlette``, ``asgi`` (no framework at all): the bytes of a real answer, ready
  made, at a fixed path; ``asgi`` also with the queries that exclude artists, which it ignores;
- ``naive async``, ``naive def``: FastAPI and ``AlternatingLeastSquares.recommend`` per request, in
  a coroutine and on FastAPI's threads; ratios are taken to the faster one;
- the service itself: lists of random users, the same with 20 artists excluded (5 of them from the
  user's own list), scored live (``include_seen=true``), popular ones, and those for unknown users.

The whole series is repeated, with the servers in another order each time. A figure is the median
over these rounds; a ratio is taken within a round, and its median is shown. Lists with and without
exclusions come from one server, which is driven with both in turns for their ratio and is restarted
several times. Before that, answers of the service and of implicit are compared. The results of
several models are in one file, by label.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import numpy as np
from rich.console import Console
from rich.table import Table

from app.artifacts.models_folder import ModelsFolder
from app.model.model import Model
from benchmarks import constant_app, naive_app
from benchmarks.load import (
    BenchmarkError,
    Figures,
    Load,
    Server,
    drive,
    encore,
    lists_by,
    serving_conditions,
    uvicorn,
)
from benchmarks.made_up_model import PRESET as MADE_UP

RESULTS: Final = Path(__file__).parent / "results" / "serve.json"
CONNECTIONS: Final = (1, 16, 64)
_N: Final = 10
_USERS: Final = 20_000
_EXCLUDING: Final = 5_000
_EXCLUDED: Final = 20
_EXCLUDED_OWN: Final = 5
_OWN_REACH: Final = 20
_COMPARED: Final = 50
# Relative; implicit works in float32, and the service rounds to six decimals.
_TOLERANCE: Final = 1e-4
_WARM_UP_SECONDS: Final = 1
_WARM_UP_CONNECTIONS: Final = 16
_SEEN: Final = ", seen included"
_LONG_QUERY: Final = "asgi, query of exclude"

# Load -> connections -> figures.
Round: TypeAlias = dict[str, dict[int, Figures]]
Start: TypeAlias = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure.

    Attributes:
        name: for the tables.
        start: starts and ends it.
        loads: its loads.
    """

    name: str
    start: Start
    loads: list[Load]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two loads with its target.

    Attributes:
        over, under: numerator and denominator; ``naive`` stands for the faster of the two.
        connections: number of connections.
        figure: name of the figure.
        target: least median, or largest for a latency; None for no target.
        stretch: a better median than the target.
    """

    over: str
    under: str
    connections: int
    figure: str
    target: float | None = None
    stretch: float | None = None

    @property
    def name(self) -> str:
        """The name of the ratio in the results."""
        return f"{self.over} / {self.under}, {self.figure} at {self.connections}"

    def is_met(self, value: float) -> bool:
        """Returns whether a value reaches the target."""
        if self.target is None:
            return True
        return value <= self.target if self.figure.endswith("_us") else value >= self.target


RATIOS: Final = (
    Ratio("precomputed", "fastapi", 16, "throughput", 1.0, 1.3),
    Ratio("precomputed", "fastapi", 16, "p99_us", 1.2),
    Ratio("precomputed", "starlette", 16, "throughput"),
    Ratio("precomputed", "asgi", 16, "throughput"),
    Ratio("precomputed", "naive", 16, "throughput", 12.0),
    Ratio("exclude", "fastapi", 16, "throughput"),
    Ratio("live", f"naive{_SEEN}", 64, "throughput", 3.0, 5.0),
)
# Both from one server, so they are driven in turns: its speed changes within seconds, and for good
# with each start, as memory falls into place.
EXCLUSION: Final = Ratio("exclude", "precomputed", 16, "throughput", 0.8)
_STARTS: Final = 5
_TURNS: Final = 4
_TURN_SECONDS: Final = 1


def main() -> None:
    """Checks, measures, prints and writes the results."""
    given = _parse()
    models = given.models.resolve()
    model = ModelsFolder(models).open_current()
    said = serving_conditions()
    users = _draw_users(model)
    body = compare_answers(models, model, users[:_COMPARED])
    with tempfile.TemporaryDirectory() as folder:
        constant = Path(folder) / "body.json"
        constant.write_bytes(body)
        contenders = _contenders(models, model, users, constant)
        rounds = [measure(contenders, number, given.seconds) for number in range(given.rounds)]
        service = next(one for one in contenders if one.name == "service")
        turns = measure_exclusion(service)
    result = {
        "conditions": said,
        "model": _facts(model),
        "seconds": given.seconds,
        "rounds": given.rounds,
        "answer_bytes": len(body),
        **summarise(rounds),
    }
    result["ratios"][EXCLUSION.name] = _describe(EXCLUSION, EXCLUSION.under, turns)
    show(result)
    _merge(given.out, given.label or str(model.card.get("preset", "model")), result)


def compare_answers(models: Path, model: Model, users: Sequence[int]) -> bytes:
    """Compares the answers of the service with those of implicit.

    Returns:
        The answer of middle length from the precomputed lists.

    Raises:
        BenchmarkError: they differ.
    """
    target = partial(_target, model)
    with encore(models) as server:
        lists = [server.get(target(user)) for user in users]
        live = [server.get(target(user, include_seen="true")) for user in users]
    # The lists of a made-up model are no ranking of its factors.
    compared = {"live": ("true", live)}
    if model.card.get("preset") != MADE_UP:
        compared["precomputed"] = ("false", lists)
    with _naive(models, "async_app", target(users[0])) as server:
        for name, (include_seen, bodies) in compared.items():
            for user, body in zip(users, bodies, strict=True):
                naive = json.loads(server.get(target(user, include_seen=include_seen)))
                _compare(f"{name}, {model.users.id(user)}", json.loads(body)["items"], naive)
            print(f"{name}: {len(bodies)} answers of the service agree with implicit's", flush=True)
    return sorted(lists, key=len)[len(lists) // 2]


def measure(contenders: Sequence[Contender], number: int, seconds: int) -> Round:
    """Drives all servers, one after the other; the order depends on the round's number."""
    turn = number % len(contenders)
    order = [*contenders[turn:], *contenders[:turn]]
    if number % 2:
        order.reverse()
    figures: Round = {}
    rng = np.random.default_rng(number)
    for contender in order:
        with contender.start() as server:
            for load in contender.loads:
                load.try_out(server)
                go = partial(drive, server, load, start=int(rng.integers(len(load.targets))))
                go(connections=_WARM_UP_CONNECTIONS, seconds=_WARM_UP_SECONDS)
                figures[load.name] = {
                    connections: go(connections=connections, seconds=seconds)
                    for connections in CONNECTIONS
                }
                rates = (f"{one.throughput:.0f}" for one in figures[load.name].values())
                print(f"round {number + 1}, {load.name}: {', '.join(rates)} a second", flush=True)
    return figures


def measure_exclusion(service: Contender) -> list[float]:
    """Returns the throughput with exclusions as a share of that without, by start and turn."""
    loads = {load.name: load for load in service.loads}
    shares = []
    for start in range(_STARTS):
        with service.start() as server:
            for turn in range(_TURNS + 1):
                over, under = (
                    drive(
                        server,
                        loads[name],
                        connections=EXCLUSION.connections,
                        seconds=_TURN_SECONDS,
                        start=(start * _TURNS + turn) * 997,
                    ).throughput
                    for name in (EXCLUSION.over, EXCLUSION.under)
                )
                if turn > 0:  # the first one warms up
                    shares.append(over / under)
    return shares


def summarise(rounds: Sequence[Round]) -> dict[str, Any]:
    """Returns medians of the figures, and of the ratios within each round."""
    medians = {
        load: {
            connections: Figures.median([one[load][connections] for one in rounds])
            for connections in CONNECTIONS
        }
        for load in rounds[0]
    }
    return {
        "loads": {
            load: {str(connections): one.to_json() for connections, one in by_connections.items()}
            for load, by_connections in medians.items()
        },
        "ratios": {ratio.name: _summarise_ratio(ratio, rounds, medians) for ratio in RATIOS},
    }


def _summarise_ratio(ratio: Ratio, rounds: Sequence[Round], medians: Round) -> dict[str, Any]:
    under = ratio.under
    if under.startswith("naive"):
        both = [under.replace("naive", name) for name in ("naive async", "naive def")]
        under = max(both, key=lambda name: medians[name][ratio.connections].throughput)
    values = [
        getattr(one[ratio.over][ratio.connections], ratio.figure)
        / getattr(one[under][ratio.connections], ratio.figure)
        for one in rounds
    ]
    return _describe(ratio, under, values)


def _describe(ratio: Ratio, under: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": round(median(values), 3),
        "rounds": [round(value, 3) for value in values],
        "under": under,
        **({"target": ratio.target} if ratio.target else {}),
        **({"stretch": ratio.stretch} if ratio.stretch else {}),
        **({"met": ratio.is_met(median(values))} if ratio.target else {}),
    }


def show(result: Mapping[str, Any]) -> None:
    """Prints the figures and the ratios."""
    console = Console(width=110)
    table = Table("load", title=f"model {result['model']['version']}, median of {result['rounds']}")
    for name in ("connections", "a second", "p50 ms", "p99 ms", "cpu us"):
        table.add_column(name, justify="right")
    for load, by_connections in result["loads"].items():
        for connections, one in by_connections.items():
            latencies = (f"{one[name] / 1000:.2f}" for name in ("p50_us", "p99_us"))
            cells = (f"{one['throughput']:,.0f}", *latencies, f"{one['cpu_us']:,.0f}")
            is_last = connections == str(CONNECTIONS[-1])
            table.add_row(load, connections, *cells, end_section=is_last)
    console.print(table)
    ratios = Table("ratio", title="median of the ratios within each round")
    for name in ("median", "rounds", "target", "stretch", "met"):
        ratios.add_column(name, justify="right")
    for name, one in result["ratios"].items():
        shown = name if one["under"] in name else f"{name} ({one['under']})"
        values = ", ".join(f"{value:.2f}" for value in sorted(one["rounds"]))
        wanted = (str(one.get("target", "")), str(one.get("stretch", "")))
        is_met = {True: "yes", False: "no", None: ""}[one.get("met")]
        ratios.add_row(shown, f"{one['median']:.2f}", values, *wanted, is_met)
    console.print(ratios)


def _contenders(
    models: Path, model: Model, users: Sequence[int], constant: Path
) -> list[Contender]:
    rng = np.random.default_rng(1)
    target = partial(_target, model)
    body = constant.read_bytes()
    popular = [target(user, strategy="popularity") for user in users]
    seen = [target(user, include_seen="true") for user in users]
    excluding = list(targets_with_exclusions(model, users, rng))
    ours = [
        Load("precomputed", [target(user) for user in users], lists_by("als")),
        Load("exclude", excluding, lists_by("als")),
        Load("live", seen, lists_by("als")),
        Load("popularity", popular, lists_by("popularity")),
        Load(
            "unknown user",
            [f"/recommend/stranger-{number}?n={_N}" for number in range(_USERS)],
            lists_by("popularity"),
        ),
    ]
    contenders = [Contender("service", lambda: encore(models), ours)]
    for name, factory in (("naive async", "async_app"), ("naive def", "threads_app")):
        loads = [
            Load(name, [target(user) for user in users], _naive_check),
            Load(f"{name}{_SEEN}", seen, _naive_check),
        ]
        start = partial(_naive, models, factory, target(users[0]))
        contenders.append(Contender(name, start, loads))
    for name in ("asgi", "starlette", "fastapi"):
        load = Load(name, [constant_app.PATH], partial(_same_check, body))
        start = partial(_constant, f"{name}_app", constant)
        contenders.insert(0, Contender(name, start, [load]))
        if name == "asgi":
            # The cost of such a long request to the server and the kernel, for any app.
            queries = [target.partition("?")[2] for target in excluding]
            targets = [f"{constant_app.PATH}?{query}" for query in queries]
            contenders[0].loads.append(Load(_LONG_QUERY, targets, load.check))
    return contenders


def _naive(models: Path, factory: str, ready: str) -> AbstractContextManager[Server]:
    env = {naive_app.MODELS: str(models)}
    return uvicorn(f"{naive_app.__name__}:{factory}", env=env, ready=ready)


def _constant(factory: str, body: Path) -> AbstractContextManager[Server]:
    env = {constant_app.BODY: str(body)}
    return uvicorn(f"{constant_app.__name__}:{factory}", env=env, ready=constant_app.PATH)


def _naive_check(body: bytes) -> None:
    if len(json.loads(body)) != _N:
        raise BenchmarkError(f"expected {_N} items, found {body[:300]!r}")


def _same_check(expected: bytes, body: bytes) -> None:
    if body != expected:
        raise BenchmarkError(f"expected the constant answer, found {body[:300]!r}")


def _target(model: Model, user: int, **parameters: str) -> str:
    """Returns the path and query of the list of a user."""
    user_id = quote(model.users.id(user), safe="")
    return f"/recommend/{user_id}?{urlencode({'n': _N, **parameters})}"


def _draw_users(model: Model) -> list[int]:
    """Draws users with a history, repeats included if there are few."""
    rng = np.random.default_rng(0)
    known = np.flatnonzero(np.asarray(model.user_factors).any(axis=1))
    users: list[int] = rng.choice(known, _USERS, replace=len(known) < _USERS).tolist()
    return users


def targets_with_exclusions(
    model: Model, users: Sequence[int], rng: np.random.Generator
) -> Iterator[str]:
    """Yields targets with excluded artists, as for a user who has just seen some."""
    if model.top_lists is None:
        raise SystemExit("error: the model has no precomputed lists")
    for user in users[:_EXCLUDING]:
        own = rng.choice(model.top_lists.items[user, :_OWN_REACH], _EXCLUDED_OWN, replace=False)
        others = rng.choice(len(model.items), _EXCLUDED - _EXCLUDED_OWN, replace=False)
        artists = rng.permutation(np.concatenate([own, others])).tolist()
        ids = "".join(f"&exclude={quote(model.items.id(item), safe='')}" for item in artists)
        yield _target(model, user) + ids


def _compare(
    what: str, ours: Sequence[Mapping[str, Any]], naive: Sequence[Mapping[str, Any]]
) -> None:
    """Compares two lists; artists with the same score may have changed places."""
    scores = {one["artist_id"]: one["score"] for one in naive}
    agree = len(ours) == len(naive) and all(
        math.isclose(mine["score"], other["score"], rel_tol=_TOLERANCE)
        and math.isclose(
            scores.get(mine["artist_id"], math.inf), other["score"], rel_tol=_TOLERANCE / 100
        )
        for mine, other in zip(ours, naive, strict=True)
    )
    if not agree:
        raise BenchmarkError(f"{what}: the service and implicit differ:\n{ours}\n{naive}")


def _facts(model: Model) -> dict[str, Any]:
    return {
        "version": model.version,
        "preset": model.card.get("preset"),
        "users": len(model.users),
        "artists": len(model.items),
        "factors": int(model.item_factors.shape[1]),
        "list_length": 0 if model.top_lists is None else int(model.top_lists.items.shape[1]),
    }


def _merge(path: Path, label: str, result: Mapping[str, Any]) -> None:
    """Writes a result under its label; results of other labels stay."""
    results = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**results, label: result}, indent=2) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of published models")
    parser.add_argument("--seconds", type=int, default=5, help="of each drive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--label", help="key of this model in the results, default its preset")
    return parser.parse_args()


if __name__ == "__main__":
    main()
