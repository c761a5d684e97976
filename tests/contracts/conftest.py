"""Every implementation of an interface, for the suites that they all have to pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.store.address import open_store
from app.store.interface import EventStore
from tests.postgres import PostgresServer

OpenStore = Callable[[], EventStore]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty event store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'encore.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def open_another(url: str) -> Iterator[OpenStore]:
    """Opens the same store once more; all are closed in the end."""
    opened: list[EventStore] = []

    def another() -> EventStore:
        opened.append(open_store(url))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: OpenStore) -> EventStore:
    """An empty event store."""
    return open_another()
