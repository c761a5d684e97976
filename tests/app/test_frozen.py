"""A real service process whose PostgreSQL server is frozen while everything is connected."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.server import PATIENCE, Server, eventually, serving

pytestmark = pytest.mark.slow

# Without deadlines the first question would wait for ever; the number itself measures nothing.
ENDS = 30.0
DEADLINES = {"ENCORE_STORE_READ_SECONDS": "0.5", "ENCORE_STORE_WRITE_SECONDS": "2"}
LISTS = (
    ("GET", "/recommend/u25", None),
    ("GET", "/recommend/u30", None),
    ("GET", "/recommend/newcomer", None),
    ("GET", "/recommend/nobody", None),
    ("GET", "/recommend/u25?n=20&include_seen=true", None),
    ("POST", "/recommend", {"user_id": "u30", "n": 3}),
    ("POST", "/recommend/batch", {"user_ids": ["u25", "newcomer"]}),
    ("GET", "/popular", None),
)


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.thaw()
    server.remove()


def ask(server: Server, method: str, path: str, body: object = None) -> int:
    """Asks and returns the status, once the answer has come in time."""
    start = time.monotonic()
    status, _ = server.ask(method, path, None if body is None else json.dumps(body))
    assert time.monotonic() - start < ENDS, path
    return status


def play(user: str, artist: str) -> dict[str, str]:
    return {"user_id": user, "artist_id": artist}


def test_lists_go_on_while_the_database_is_frozen_and_events_count_again_after(
    models: Path, database: PostgresServer
) -> None:
    variables = {"ENCORE_DATABASE_URL": database.new_database(), **DEADLINES}
    with serving(models, **variables) as server:
        assert (
            server.tell(play("u30", "i11"), play("newcomer", "i12"), play("unread", "i12"))[0]
            == 200
        )
        before = {user: server.get(f"/recommend/{user}") for user in ("u30", "newcomer")}
        database.freeze()
        # Activities that were not read in time are unknown; those that were read are still cached.
        assert server.get("/recommend/unread")[1]["source"] == "popularity"
        assert before == {user: server.get(f"/recommend/{user}") for user in before}
        for method, path, body in LISTS:
            assert ask(server, method, path, body) == 200, path
        assert ask(server, "POST", "/events", {"events": [play("u25", "i13")]}) == 503
        assert ask(server, "GET", "/popular?days=7") == 503
        assert ask(server, "GET", "/users/u30") == 503
        assert ask(server, "DELETE", "/users/u25") == 503
        status, ready = server.get("/health/ready")
        assert (status, ready["status"]) == (200, "degraded")

        database.thaw()
        eventually(lambda: server.get("/health/ready")[1]["status"] == "ready")
        assert server.tell(play("later", "i12"))[0] == 200
        for user in ("newcomer", "unread", "later"):
            assert server.get(f"/recommend/{user}")[1]["source"] == "fold_in"
        assert server.get("/users/newcomer")[0] == 200


def test_the_service_ends_while_the_database_is_frozen(
    models: Path, database: PostgresServer
) -> None:
    variables = {"ENCORE_DATABASE_URL": database.new_database(), **DEADLINES}
    with serving(models, **variables) as server:
        assert server.tell(play("u30", "i11"))[0] == 200
        database.freeze()
        event = json.dumps({"events": [play("u30", "i12")]})
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(server.ask, "POST", "/events", event)
            eventually(lambda: server.get("/health/ready")[1]["status"] == "degraded")
            start = time.monotonic()
            status, log = server.end()
            with suppress(OSError):
                assert waiting.result()[0] == 503
        assert time.monotonic() - start < ENDS < PATIENCE
        assert status == 0, log
        assert "Traceback" not in log


def test_a_service_that_starts_beside_a_frozen_database_finds_it_later(
    models: Path, database: PostgresServer
) -> None:
    variables = {"ENCORE_DATABASE_URL": database.new_database(), **DEADLINES}
    database.freeze()
    with serving(models, **variables) as server:
        assert ask(server, "GET", "/recommend/u25") == 200
        assert server.get("/health/ready")[1]["status"] == "degraded"
        database.thaw()
        eventually(lambda: server.get("/health/ready")[1]["status"] == "ready")
        assert server.tell(play("newcomer", "i12"))[0] == 200
        assert server.get("/recommend/newcomer")[1]["source"] == "fold_in"
