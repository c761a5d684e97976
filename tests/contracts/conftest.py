"""Every implementation of an interface, for the suites that they all have to pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.store.address import open_store
from app.store.upkeep import MaintainableStore
from tests.postgres import PostgresServer

OpenStore = Callable[[], MaintainableStore]


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
    opened: list[MaintainableStore] = []

    def another() -> MaintainableStore:
        opened.append(open_store(url))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: OpenStore) -> MaintainableStore:
    """An empty event store."""
    return open_another()


@pytest.fixture
def other_store(url: str, tmp_path: Path, postgres: PostgresServer) -> Iterator[MaintainableStore]:
    """An empty event store in a database of the other kind."""
    is_sqlite = url.startswith("sqlite")
    store = open_store(
        postgres.new_database() if is_sqlite else f"sqlite:///{tmp_path / 'other.db'}"
    )
    yield store
    store.close()
