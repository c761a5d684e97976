"""Fixtures for all tests."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from app.model.model import Model
from tests.builders import checkerboard_interactions, small_model
from tests.leftovers import WatchedConnection
from tests.postgres import PostgresServer
from training.data.interactions import Interactions

# Whatever a test opens without saying where, its events go to a folder of this run.
_EVENTS = tempfile.TemporaryDirectory(prefix="encore-test-events-")
os.environ["ENCORE_DATABASE_URL"] = f"sqlite:///{_EVENTS.name}/encore.db"
os.environ["ENCORE_STATE"] = _EVENTS.name
# What TestClient calls the service.
os.environ["ENCORE_ALLOWED_HOSTS"] = "testserver"
# A busy machine may not refuse what a test asks for; tests of the refusal say how long they wait.
os.environ["ENCORE_LIVE_WAIT_SECONDS"] = "60"
os.environ["ENCORE_STORE_READ_SECONDS"] = os.environ["ENCORE_STORE_WRITE_SECONDS"] = "60"

# A connection that nobody closes fails the test, on every Python.
if sys.version_info < (3, 13):
    sqlite3.connect = partial(sqlite3.connect, factory=WatchedConnection)  # type: ignore[assignment]

# No test is judged by its time; and CI tries the same examples each time, so that it fails only
# where something changed.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives every test the same numbers in every run."""
    return np.random.default_rng(20_261_123)


@pytest.fixture(scope="session")
def hetrec_path() -> Path:
    """The folder of the real HetRec data; skips where it is missing."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("ENCORE_TEST_DATA") or default) / "hetrec2011-lastfm-2k"
    if not path.is_dir():
        pytest.skip(f"{path} is missing; ENCORE_TEST_DATA names the folder that holds it")
    return path


@pytest.fixture(scope="session")
def checkerboard() -> Interactions:
    """Interactions in which item ``i{u}`` is the right answer for user ``u{u}``."""
    return checkerboard_interactions()


@pytest.fixture(scope="session")
def checkerboard_model(checkerboard: Interactions) -> Model:
    """A model of the checkerboard without precomputed lists."""
    return small_model(checkerboard, factors=2, iterations=15)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server."""
    server = PostgresServer()
    yield server
    server.remove()
