"""The cost of requests to the service, compared with another commit in alternating turns.

    python -m training generate --users 3000 --artists 5000 --out /tmp/sample
    python -m training train --dataset synthetic --data /tmp/sample --models /tmp/models --no-events
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.requests --models /tmp/models --against 5832281

Each commit has a process with the application and without a socket. Both get the same requests in
turns. Printed and written are processor times of all threads of the process: the median of each
commit, and the median of the ratios of pairs of turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import IO, Final

from benchmarks.conditions import conditions

RESULTS: Final = Path(__file__).parent / "results" / "requests.json"
# Kind of request to the number of requests in a turn of some tenths of a second.
KINDS: Final = {
    "list": 10_000,
    "list, excluding": 6_000,
    "live": 400,
    "live, of a user with events": 400,
    "fold-in": 300,
}
_SERVER: Final = """
import asyncio, json, sys, time
from pathlib import Path
from urllib.parse import quote
from app.main import create_app
from app.settings import Settings

models, state = Path(sys.argv[1]), Path(sys.argv[2])
settings = Settings(models=models, state=state, database_url=f"sqlite:///{state}/encore.db")
version = (models / "current").read_text().strip()

async def ask(app, method, path, query=b"", body=b""):
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1")] + (
            [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            if body else []
        ),
    }
    sent, given = [], False
    async def receive():
        nonlocal given
        if given:
            await asyncio.sleep(3600)
        given = True
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    await app(scope, receive, send)
    if sent[0]["status"] != 200:
        raise SystemExit(f"{path}: {sent}")
    return b"".join(message.get("body", b"") for message in sent)

async def main():
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        state = app.state
        # An earlier commit has another name for it.
        recommender = (getattr(state, "follower", None) or state.watcher).recommender
        users = [recommender.model.users.id(user) for user in range(1000)]
        artists = [recommender.model.items.id(item) for item in range(1000)]
        events = [{"user_id": user, "artist_id": artists[-place], "event_id": user}
                  for place, user in enumerate(users[500:], 1)]
        await ask(app, "POST", "/events", body=json.dumps({"events": events}).encode())
        excluded = [
            "&".join("exclude=" + quote(artists[(user * 7 + place) % 1000], safe="")
                     for place in range(10)).encode()
            for user in range(500)
        ]
        listens = [
            json.dumps({"listens": [{"artist_id": artists[(user * 13 + place * 17) % 1000],
                                     "plays": place + 1} for place in range(20)]}).encode()
            for user in range(500)
        ]
        def request(kind, number):
            path = "/recommend/" + quote(users[number % 500], safe="")
            if kind == "list":
                return "GET", path, b"", b""
            if kind == "list, excluding":
                return "GET", path, excluded[number % 500], b""
            if kind == "live":
                return "GET", path, b"discovery=0.25", b""
            if kind == "live, of a user with events":
                return "GET", "/recommend/" + quote(users[500 + number % 500], safe=""), b"", b""
            return "POST", "/recommend", b"", listens[number % 500]
        print("ready", flush=True)
        for line in sys.stdin:
            kind, count = json.loads(line)
            requests = [request(kind, number) for number in range(count)]
            begin = time.process_time()
            for one in requests:
                await ask(app, *one)
            print((time.process_time() - begin) / count, flush=True)

asyncio.run(main())
"""


class Server:
    """The application of a checkout, in a process of its own.

    Args:
        code: the checkout.
        models: the models folder.
        state: an empty folder.
    """

    def __init__(self, code: Path, models: Path, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, models.resolve(), state],
            cwd=code,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._line()

    def turn(self, kind: str, count: int) -> float:
        """Makes several requests of a kind; returns the processor time of one, in seconds."""
        print(json.dumps([kind, count]), file=self._pipe(self._process.stdin), flush=True)
        return float(self._line())

    def close(self) -> None:
        """Ends the process."""
        self._pipe(self._process.stdin).close()
        self._process.wait(60)

    def _line(self) -> str:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise SystemExit("error: the service has ended; it says why above")
        return line

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # noqa: S101 - it was asked for
        return pipe


@contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Yields a folder with the code of a commit."""
    git = ["git", "worktree"]
    subprocess.run([*git, "add", "--detach", folder, commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", folder], check=True)


def compare(before: Server, now: Server, kind: str, turns: int) -> dict[str, float]:
    """Makes requests of a kind in turns; which commit begins alternates."""
    count = KINDS[kind]
    for server in (before, now):
        server.turn(kind, count)  # warms up
    pairs = []
    for number in range(turns):
        if number % 2:
            there, here = before.turn(kind, count), now.turn(kind, count)
        else:
            here, there = now.turn(kind, count), before.turn(kind, count)
        pairs.append((there, here))
    return {
        "before_us": round(1e6 * median(there for there, _ in pairs), 2),
        "now_us": round(1e6 * median(here for _, here in pairs), 2),
        "ratio": round(median(here / there for there, here in pairs), 3),
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--against", default="5832281", help="commit to compare with")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--kind", choices=KINDS, help="one kind alone; nothing is written")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "before").mkdir()
        (folder / "now").mkdir()
        with checkout(options.against, folder / "there") as there:
            before = Server(there, options.models, folder / "before")
            now = Server(Path(__file__).parents[1], options.models, folder / "now")
            results = {}
            for kind in kinds:
                results[kind] = compare(before, now, kind, options.turns)
                print(kind, json.dumps(results[kind]), flush=True)
            before.close()
            now.close()
    if options.kind:
        return
    entry = {"conditions": conditions(), "against": options.against, "turns": options.turns}
    RESULTS.write_text(json.dumps({**entry, "requests": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
