"""Acknowledged events survive kills, each once. `benchmarks/kills.py` has 100 rounds of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.model.model import Model
from benchmarks.crash import crash
from benchmarks.kills import kills_of_training
from tests.builders import publish_small
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_while_events_come_in_nothing_is_lost_and_nothing_counts_twice(
    model: Model, tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    models = tmp_path / "models"
    publish_small(model, models)
    is_file = database == "sqlite"
    url = f"sqlite:///{tmp_path}/encore.db" if is_file else postgres.new_database()
    result = crash(models, url, rounds=4)
    assert result["acknowledged"] > 0
    assert (result["missing"], result["twice"]) == (0, 0)
    assert result["lists from events after the last round"] == 40
    assert result["deaths of the service in the log"] == 2


def test_killed_trainings_leave_whole_models_and_nothing_else(tmp_path: Path) -> None:
    result = kills_of_training(tmp_path, rounds=2)
    assert result["killed"] + result["finished before"] == 2
    assert result["versions that are not whole"] == 0
    assert result["the next training publishes"]
    assert result["leftovers after the next training"] == 0
