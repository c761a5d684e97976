from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, cast

import psycopg
import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.store.course import Seen
from app.store.deadlines import Deadlines
from app.store.postgres import PostgresEventStore
from app.store.sql.connection import Connection
from tests.leftovers import assert_nothing_is_left
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def store(url: str) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(url)
    yield store
    store.close()


def trouble(use: Callable[[], Any]) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        use()
    return caught.value


def waits_for_a_lock(connection: Connection) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
    return connection.execute(waiting).fetchone() is not None


def test_an_acknowledged_event_survives_a_crash_of_the_server(store: PostgresEventStore) -> None:
    with store._writing() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    with store._reading() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_host_that_vanishes_while_it_is_asked_is_noticed(store: PostgresEventStore) -> None:
    with store._reading() as connection:
        number = os.dup(cast("psycopg.Connection[Any]", connection).fileno())
        with socket.socket(fileno=number) as lent:
            # Keepalives are not sent while an answer is outstanding.
            milliseconds = lent.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert milliseconds == 9000


def test_options_in_the_address_are_used(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine")
    store = PostgresEventStore(f"{url}?options=-csearch_path%3Dmine%20-csynchronous_commit%3Doff")
    store.append([Event("u", "a")], 1)
    with store._reading() as lent:
        assert lent.execute("SHOW synchronous_commit").fetchone() == ("on",)
    store.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM mine.events").fetchone() == (1,)


def test_writers_wait_for_each_other_whatever_isolation_the_database_prefers(
    url: str, store: PostgresEventStore
) -> None:
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        preference = "SET default_transaction_isolation = 'repeatable read'"
        connection.execute(f"ALTER DATABASE {name} {preference}".encode())
    other = PostgresEventStore(url)
    with ThreadPoolExecutor(1) as threads:
        with store._writing() as lent:
            store._lock_sequence(lent)
            lent.execute("UPDATE event_store SET last_sequence = 1")
            waiting = threads.submit(other.append, [Event("u", "a")], 1)
            while not waits_for_a_lock(lent):
                assert not waiting.done()
        assert [one.sequence for one in waiting.result()] == [2]
    other.close()


def test_a_server_that_is_away_is_told_and_one_that_is_back_is_used() -> None:
    server = PostgresServer()
    try:
        store = PostgresEventStore(server.new_database())
        assert [one.sequence for one in store.append([Event("u", "a")], 1)] == [1]
        server.stop()
        for use in (
            lambda: store.append([Event("u", "b")], 1),
            store.last_sequence,
            lambda: PostgresEventStore(server.url("test1")),
        ):
            error = trouble(use)
            assert error.reason == "unreachable"
            assert f"127.0.0.1:{server.port}/test1" in str(error)
            assert "is it running" in str(error)
        store.wait_for_news(0.01)
        server.start()
        assert [one.sequence for one in store.append([Event("u", "c")], 1)] == [2]
        assert store.count_of("u") == 2
        store.close()
    finally:
        server.remove()


def test_connections_that_the_server_ended_meanwhile_are_replaced(
    url: str, store: PostgresEventStore
) -> None:
    store.append([Event("u", "a")], 1)
    ended = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'encore'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(ended).fetchall() == [(True,)]
    assert [one.sequence for one in store.append([Event("u", "b")], 1)] == [2]
    assert store.count_of("u") == 2


def test_the_password_is_never_shown(postgres: PostgresServer) -> None:
    url = f"postgresql://encore:geheim@127.0.0.1:{postgres.port}/none"
    error = trouble(lambda: PostgresEventStore(url))
    assert "geheim" not in str(error)
    assert "none" in str(error)
    nowhere = "postgresql://encore:geheim@127.0.0.1:99999/x"
    assert "geheim" not in str(trouble(lambda: PostgresEventStore(nowhere)))


def test_a_read_only_database_is_named_so(url: str, store: PostgresEventStore) -> None:
    store.append([Event("u", "a")], 1)
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    store.close()
    # What is there can be read.
    opened = PostgresEventStore(url)
    assert opened.count_of("u") == 1
    for write in (
        opened.probe,
        opened.check_writable,
        lambda: opened.append([Event("u", "b")], 1),
        lambda: opened.settle(Seen(opened.id, last_sequence=9)),
    ):
        assert trouble(write).reason == "readonly"
    assert opened.last_sequence() == 1
    opened.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("DROP TABLE origins")
        connection.execute("DELETE FROM event_store_migrations WHERE done > 3")
    # Its tables would have to be changed first.
    assert trouble(lambda: PostgresEventStore(url)).reason == "readonly"


def test_a_role_that_may_not_write_is_named_so(url: str, store: PostgresEventStore) -> None:
    store.append([Event("u", "a")], 1)
    role = url.rpartition("/")[2] + "_reader"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
    reader = PostgresEventStore(url.replace("encore@", f"{role}@"))
    assert reader.count_of("u") == 1
    for write in (reader.probe, reader.check_writable, lambda: reader.erase("u", 1)):
        error = trouble(write)
        assert error.reason == "forbidden"
        assert "grant its role" in str(error)
    reader.close()


def test_on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room(
    postgres: PostgresServer,
) -> None:
    acknowledged: list[str] = []

    def append_until_it_fails(store: PostgresEventStore) -> None:
        for batch in range(1000):
            ids = [f"{batch} {number}" for number in range(500)]
            events = [Event("u", "a", event_id=one, artist_name="n" * 400) for one in ids]
            store.append(events, 1)
            acknowledged.extend(ids)

    with postgres.small_database() as (url, fill, make_room):
        store = PostgresEventStore(url)
        store.append([Event("u", "a", event_id="first")], 1)
        fill()
        error = trouble(lambda: append_until_it_fails(store))
        assert error.reason == "full"
        assert "make room" in str(error)
        # What is there can be read meanwhile.
        there = [one.event.event_id for one in store.events_of("u", limit=10**6)]
        assert sorted(map(str, there)) == sorted(["first", *acknowledged])
        make_room()
        (outcome,) = store.append([Event("u", "a", event_id="last")], 2)
        assert outcome.sequence == len(acknowledged) + 2
        store.close()


def test_a_lock_that_another_session_holds_is_told(url: str, store: PostgresEventStore) -> None:
    impatient = PostgresEventStore(url, deadlines=Deadlines(read=60, write=2))
    with store._writing() as connection:
        connection.execute("SELECT last_sequence FROM event_store FOR UPDATE")
        assert trouble(lambda: impatient.append([Event("u", "a")], 1)).reason == "locked"
        assert impatient.count_of("u") == 0
    assert [one.sequence for one in impatient.append([Event("u", "a")], 1)] == [1]
    impatient.close()


def test_news_of_another_end_the_wait_and_own_ones_do_not(
    url: str, store: PostgresEventStore
) -> None:
    store.wait_for_news(60)  # listens from here on
    store.append([Event("u", "own")], 1)
    other = PostgresEventStore(url)
    came = threading.Event()

    def wait() -> None:
        store.wait_for_news(60)
        came.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not came.wait(0.2)
    other.append([Event("u", "a")], 1)
    waiting.join(30)
    assert came.is_set()
    other.close()


def test_an_address_that_is_none_is_refused() -> None:
    error = trouble(lambda: PostgresEventStore("postgresql://[/secret"))
    assert error.reason == "address"
    assert "secret" not in "".join(traceback.format_exception(error, limit=0))


def test_ids_are_bytes_in_the_database(url: str, store: PostgresEventStore) -> None:
    store.append([Event("nul\0byte", "é")], 1)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT user_id, artist_id FROM events").fetchone()
    assert cast("tuple[bytes, bytes]", row) == (b"nul\0byte", "é".encode())


def test_when_all_connections_are_taken_it_says_that(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.postgres._CONNECTIONS", 1)
    store = PostgresEventStore(url)
    with store._reading():
        error = trouble(store.last_sequence)
    assert error.reason == "busy"
    assert store.last_sequence() == 0
    store.close()


def test_a_store_in_trouble_leaves_nothing_open(
    postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.postgres._OPTIONS", "-c lock_timeout=50")
    ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
    name = url.rpartition("/")[2]

    def use() -> None:
        with (
            closing(PostgresEventStore(url)) as store,
            psycopg.connect(postgres.url("postgres"), autocommit=True) as server,
        ):
            store.wait_for_news(0.0)
            with store._writing() as connection:
                connection.execute("SELECT last_sequence FROM event_store FOR UPDATE")
                assert trouble(lambda: store.append([Event("u", "a")], 1)).reason == "locked"
            server.execute(ended, [name])
            store.wait_for_news(0.0)
            assert store.last_sequence() == 0
        missing = postgres.url("none")
        with monkeypatch.context() as impatient:
            impatient.setattr("app.store.postgres._WAIT_SECONDS", 1)
            assert trouble(lambda: PostgresEventStore(missing)).reason == "unreachable"

    assert_nothing_is_left(use, times=4)


def test_nothing_of_an_erased_user_is_left_in_the_tables_of_a_compacted_store(
    store: PostgresEventStore, postgres: PostgresServer
) -> None:
    person = "person-5c1e7a90d3b84f26"

    def is_in_tables() -> bool:
        with store._reading() as connection:
            connection.execute("CHECKPOINT")
        return any(person.encode() in file.read_bytes() for file in postgres.tables())

    store.append([Event(person, "a"), Event("u", "a")], 1)
    assert is_in_tables()
    store.erase(person, 2)
    assert store.count_of("u") == 1
    assert is_in_tables()  # as the answer to an erasure says
    store.compact()
    assert not is_in_tables()
    assert store.is_wiped is None
