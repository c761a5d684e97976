"""Real service processes whose event store goes back, or cannot be written any more.

``benchmarks/store_faults.py`` breaks stores in more ways, and measures how long it takes.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from app.store.address import open_store
from tests.postgres import PostgresServer, Standby
from tests.server import ROOT, Server, eventually, serving
from tests.store_faults import FaultyPostgres, FaultySqlite, FaultyStore, play

pytestmark = pytest.mark.slow

USERS = ("u30", "newcomer", "other", "fourth")
# A worker that has not looked yet may take a request or two.
ENOUGH = 6


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FaultyStore:
    if request.param == "sqlite":
        return FaultySqlite(tmp_path)
    return FaultyPostgres(request.getfixturevalue("postgres"))


def is_ready(server: Server) -> bool:
    return server.get("/health/ready")[0] == 200


def troubles(server: Server) -> str:
    return " ".join(server.get("/health/ready")[1]["troubles"])


def artists(server: Server, user: str) -> list[str]:
    return [item["artist_id"] for item in server.get(f"/recommend/{user}?n=60")[1]["items"]]


def tell_next(server: Server) -> dict[str, str]:
    """Tells of the first artist in each user's list; returns it by user."""
    told = {user: next(filter(None, artists(server, user))) for user in USERS}
    status, answer = server.tell(*(play(user, artist) for user, artist in told.items()))
    assert (status, answer["stored"]) == (200, len(told)), answer
    return told


def count(server: Server, told: dict[str, str]) -> bool:
    """Says whether the events count, whichever worker is asked."""
    return all(
        artist not in artists(server, user) for user, artist in told.items() for _ in range(ENOUGH)
    )


def metrics(server: Server) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        return str(answer.read().decode())


def fill(server: Server, save: Callable[[], None]) -> None:
    """Stores events, and more after ``save``, so that both workers have read them."""
    eventually(lambda: is_ready(server))
    tell_next(server)
    save()
    for _ in range(3):
        assert count(server, tell_next(server))


def test_what_is_stored_after_a_store_went_back_counts(models: Path, store: FaultyStore) -> None:
    """Later events were answered as stored and never counted, until a restart."""
    with serving(models, "--workers", "2", ENCORE_DATABASE_URL=store.url) as server:
        fill(server, store.save)
        gone = artists(server, "nobody")[0]
        assert server.ask("PUT", f"/artists/{gone}", '{"available": false}')[0] == 200
        assert server.ask("DELETE", "/users/fourth")[0] == 200
        eventually(lambda: gone not in artists(server, "nobody"))
        store.go_back()
        told = tell_next(server)
        eventually(lambda: count(server, told))
        assert count(server, tell_next(server))
        for _ in range(ENOUGH):
            status, ready = server.get("/health/ready")
            assert (status, ready["status"]) == (200, "degraded")
            assert "it ends at number" in ready["troubles"][0]
        # The other worker may not have known yet.
        eventually(lambda: "erase 1 users again" in troubles(server))
        assert 'encore_event_store_failures_total{reason="went_back"} 1.0' in metrics(server)
        if isinstance(store, FaultySqlite):  # the other one lost its events only
            eventually(lambda: gone in artists(server, "nobody"))
        renew = [sys.executable, "-m", "training", "events", "renew", "--events", store.url]
        subprocess.run(renew, cwd=ROOT, check=True, capture_output=True)
        eventually(lambda: not any(troubles(server) for _ in range(ENOUGH)))
        assert count(server, tell_next(server))
        status, log = server.end()
        assert (status, "Traceback" in log) == (0, False), log
        assert log.count("the event store is not what it was") == 2


def test_a_standby_that_lacks_the_last_events_takes_over(models: Path) -> None:
    with PostgresServer.removed() as primary, Standby.of(primary) as standby:
        url = standby.url_of_both(primary.new_database())
        with serving(models, "--workers", "2", ENCORE_DATABASE_URL=url) as server:
            fill(server, standby.lags)
            standby.takes_over(primary)
            eventually(lambda: "it ends at number" in troubles(server))
            eventually(lambda: server.tell(play("first", "i11"))[0] == 200)
            told = tell_next(server)
            eventually(lambda: count(server, told))
            status, log = server.end()
            assert (status, "Traceback" in log) == (0, False), log


def test_a_table_of_killed_workers_is_not_taken_for_a_store_that_went_back(
    models: Path, store: FaultyStore
) -> None:
    """The table in shared memory outlives a kill, with the numbers of events that are lost."""
    with serving(models, ENCORE_DATABASE_URL=store.url) as server:
        fill(server, store.save)
        # Whoever erases somebody reads what is there, and writes it into the table.
        assert server.ask("DELETE", "/users/nobody")[0] == 200
        server.kill()
    store.go_back()
    with serving(models, ENCORE_DATABASE_URL=store.url) as server:
        eventually(lambda: is_ready(server))
        assert "it ends at number" in troubles(server)
        assert count(server, tell_next(server))


@contextmanager
def between(begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


def test_what_keeps_events_from_being_stored_is_said_before_one_comes(
    models: Path, store: FaultyStore
) -> None:
    """A store that was read-only looked healthy until the first event was lost."""
    faults: dict[str, AbstractContextManager[None]] = {
        "a later Encore": between(store.migrate, store.migrate_back),
    }
    if isinstance(store, FaultyPostgres):
        faults["name the primary"] = between(store.make_read_only, store.make_writable)
        faults["grant its role"] = between(store.forbid, store.allow)
    if isinstance(store, FaultySqlite):
        faults["another program holds its lock"] = store.locked()
        faults["replaced while it was in use"] = between(store.replace, store.put_back)
    with serving(models, ENCORE_DATABASE_URL=store.url, ENCORE_STORE_WRITE_SECONDS="3") as server:
        eventually(lambda: is_ready(server) and not troubles(server))
        assert server.tell(play("newcomer", "i11"))[0] == 200
        before = server.get("/recommend/newcomer")
        for number, (said, fault) in enumerate(faults.items()):
            with fault:
                eventually(lambda said=said: said in troubles(server))  # type: ignore[misc]
                status, problem = server.tell(play("newcomer", "i12"))
                assert (status, said in problem["detail"]) == (503, True), problem
                # What was stored can be read.
                assert server.get("/recommend/newcomer") == before
            eventually(lambda: not troubles(server))
            assert server.tell(play(f"after {number}", "i12"))[0] == 200
            assert server.get(f"/recommend/after%20{number}")[1]["source"] == "fold_in"
        status, log = server.end()
        assert (status, "Traceback" in log) == (0, False), log
    with closing(open_store(store.url)) as opened:
        assert opened.last_sequence() == 1 + len(faults)


def test_events_that_wait_for_a_lock_are_said(models: Path, store: FaultyStore) -> None:
    with serving(models, ENCORE_DATABASE_URL=store.url) as server:
        eventually(lambda: is_ready(server) and not troubles(server))
        with store.locked():
            sending = subprocess.Popen(
                [sys.executable, "-c", _SEND.format(port=server.port)], stdout=subprocess.PIPE
            )
            eventually(lambda: "lock" in troubles(server))
            assert server.get("/recommend/u30")[0] == 200
        answer, _ = sending.communicate()
        assert answer.strip() == b"200"
        eventually(lambda: not troubles(server))


_SEND = """
import urllib.request
body = b'{{"events": [{{"user_id": "u", "artist_id": "i11"}}]}}'
request = urllib.request.Request(
    "http://127.0.0.1:{port}/events", body, {{"Content-Type": "application/json"}}
)
print(urllib.request.urlopen(request).status)
"""
