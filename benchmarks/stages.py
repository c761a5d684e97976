"""The time of each step of the hot route, for a precomputed list.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.stages --models models

Lists of random users are requested in one process. Each step runs for a few hundred users at a
time, and the steps run in turns, so that the caches are in about the same state as in the service.
The least time of many rounds is shown, since the rest is noise of other tenants. The time of the
server and the kernel is not included: that is the load ``asgi`` of ``benchmarks/serve.py``, which
sends constant bytes. The same is measured for requests that exclude 20 artists.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from starlette.types import Message, Scope

from app.artifacts.models_folder import ModelsFolder
from app.http.hot_route import read_query
from app.main import create_app
from app.recommend.ladder import Recommender
from app.serving.encoding import encode_list
from app.settings import Settings
from benchmarks.conditions import conditions
from benchmarks.serve import targets_with_exclusions

RESULTS: Final = Path(__file__).parent / "results" / "stages.json"
_PART: Final = 300
_ROUNDS: Final = 200
_USERS: Final = 20_000


def scope_of(target: str) -> Scope:
    """Returns the scope of a request, as a server passes it."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
    }


async def measure(models: Path, targets: Sequence[str]) -> dict[str, float]:
    """Returns microseconds of each step and of all of them."""
    app = create_app(Settings(models=models))
    model = ModelsFolder(models).open_current()
    recommender = Recommender(model)
    fastest: defaultdict[str, float] = defaultdict(lambda: float("inf"))

    def timed(step: str, work: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
        start = time.perf_counter()
        results = [work(one) for one in given]
        fastest[step] = min(fastest[step], (time.perf_counter() - start) / len(given) * 1e6)
        return results

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(_message: Message) -> None:
        pass

    async with app.router.lifespan_context(app):
        for number in range(_ROUNDS):
            start = number * _PART % len(targets)
            scopes = [scope_of(target) for target in targets[start : start + _PART]]
            queries = timed("read the request", read_query, scopes)
            timed("find the user (in the look-up)", lambda q: model.users.index(q.user_id), queries)
            answers = timed("look the list up", recommender.recommend_quickly, queries)
            pairs = list(zip(queries, answers, strict=True))
            timed("encode it", lambda pair: encode_list(model, *pair), pairs)
            began = time.perf_counter()
            for scope in scopes:
                await app(scope, receive, send)
            whole = (time.perf_counter() - began) / len(scopes) * 1e6
            fastest["all of the application"] = min(fastest["all of the application"], whole)
    return {step: round(value, 2) for step, value in fastest.items()}


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    model = ModelsFolder(given.models).open_current()
    users = np.random.default_rng(0).choice(len(model.users), _USERS).tolist()
    targets = [f"/recommend/{quote(model.users.id(user), safe='')}?n=10" for user in users]
    excluding = list(targets_with_exclusions(model, users, np.random.default_rng(1)))
    results = {
        "conditions": conditions(),
        "users": len(model.users),
        "artists": len(model.items),
        "microseconds": asyncio.run(measure(given.models, targets)),
        "microseconds_excluding": asyncio.run(measure(given.models, excluding)),
    }
    print(json.dumps(results, indent=2))
    given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
