"""A store whose server is stopped, with everything still connected: each question ends in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.store import deadlines as deadlines_module
from app.store.deadlines import Deadlines
from app.store.postgres import PostgresEventStore
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow

# Long enough to prove on any machine that a question ends.
PATIENCE = 20.0
SOON = Deadlines(read=0.3, write=0.6)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def store(server: PostgresServer) -> Iterator[PostgresEventStore]:
    # Opened as in the service; later questions may not take as long.
    store = PostgresEventStore(server.new_database(), deadlines=Deadlines(read=60, write=60))
    store.append([Event("u", "a")], 1)
    store._deadlines = SOON
    yield store
    store.close()


@contextmanager
def ends() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < PATIENCE


def trouble(use: Callable[[], Any]) -> StoreUnavailable:
    with ends(), pytest.raises(StoreUnavailable) as caught:
        use()
    return caught.value


def eventually(use: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(StoreUnavailable):
            return use()
    raise AssertionError("it did not come to that")


def test_every_question_to_a_frozen_server_ends_and_says_why(
    server: PostgresServer, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines_module, "FOLLOWING_SECONDS", 0.5)
    with server.frozen():
        reading = trouble(lambda: store.events_of("u", limit=1))
        assert reading.reason == "slow"
        assert "did not answer within 0.3 s (ENCORE_STORE_READ_SECONDS)" in str(reading)
        assert f"127.0.0.1:{server.port}/" in str(reading)
        for use in (
            store.last_sequence,
            store.availability_version,
            store.check_writable,
            lambda: store.append([Event("u", "b")], 1),
            lambda: store.erase("u", 1),
            lambda: store.set_available("a", is_available=False),
            lambda: store.tombstone_of("u"),
            lambda: store.count_of("u"),
            lambda: store.names_of(["a"]),
            lambda: store.latest_of_users(0),
            lambda: store.erased_after(0),
            lambda: store.played_since(0, by_plays=True, limit=1),
        ):
            # A thread that saw its connection fail as well reports that there is none.
            assert trouble(use).reason in {"slow", "unreachable"}
    store._deadlines = Deadlines(read=60, write=60)
    assert eventually(lambda: store.append([Event("u", "c")], 1))[0].sequence == 2
    assert [one.event.artist_id for one in store.events_of("u", limit=9)] == ["c", "a"]


def test_an_answer_that_was_given_up_is_not_taken_for_that_of_the_next_question(
    server: PostgresServer, store: PostgresEventStore
) -> None:
    with server.frozen():
        trouble(lambda: store.count_of("u"))
    store._deadlines = Deadlines(read=60, write=60)
    assert eventually(lambda: store.events_of("u", limit=9))[0].event.artist_id == "a"


def test_a_server_that_freezes_in_the_middle_of_a_transaction_stores_nothing_of_it(
    server: PostgresServer, store: PostgresEventStore
) -> None:
    def use() -> None:
        with store._writing() as connection:
            connection.execute("UPDATE event_store SET last_sequence = 9")
            server.freeze()
            connection.execute("SELECT 1")

    assert trouble(use).reason == "slow"
    server.thaw()
    store._deadlines = Deadlines(read=60, write=60)
    assert eventually(lambda: store.append([Event("u", "b")], 1))[0].sequence == 2


def test_one_frozen_session_is_left_and_another_one_asked(store: PostgresEventStore) -> None:
    with store._reading() as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert trouble(store.last_sequence).reason == "slow"
        assert eventually(store.last_sequence) == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_closing_ends_questions_under_way(
    server: PostgresServer, store: PostgresEventStore
) -> None:
    store._deadlines = Deadlines(read=3600, write=3600)
    for _ in range(2):  # connects, and listens
        store.wait_for_news(0.01)
    with server.frozen(), ThreadPoolExecutor() as threads:
        questions: list[Callable[[], Any]] = [
            store.last_sequence,
            lambda: store.append([Event("u", "b")], 1),
            lambda: store.latest_of_users(0),
        ]
        waiting = [threads.submit(use) for use in questions]
        listening = threads.submit(store.wait_for_news, 3600)
        time.sleep(0.3)  # some of them may not have begun, which is as good
        with ends():
            store.close()
            assert {type(one.exception(PATIENCE)) for one in waiting} == {StoreUnavailable}
            listening.result(PATIENCE)


def test_a_server_that_is_frozen_from_the_start_is_told(server: PostgresServer) -> None:
    before = threading.active_count()
    with server.frozen():
        error = trouble(lambda: PostgresEventStore(server.url("postgres"), deadlines=SOON))
    assert error.reason in {"slow", "unreachable"}
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
