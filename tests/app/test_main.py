from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.artifacts.writable_folder import WritableModelsFolder
from app.main import create_app
from app.model.model import Model
from app.serving.newcomer_worker import NewcomerWorker
from app.settings import Settings
from tests.builders import CREATED_AT, publish_small
from tests.leftovers import assert_nothing_is_left
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgresql", "none"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStr:
    """The address of an event store, which may not be there."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return SecretStr(server.new_database())
    folder = tmp_path if request.param == "sqlite" else tmp_path / "none"
    return SecretStr(f"sqlite:///{folder / 'encore.db'}")


def test_starting_and_ending_the_service_leaves_nothing_open(
    models: Path, url: SecretStr, tmp_path: Path
) -> None:
    settings = Settings(models=models, database_url=url, state=tmp_path)
    events = {"events": [{"user_id": "u20", "artist_id": "i20"}]}

    def use() -> None:
        with TestClient(create_app(settings)) as client:
            client.post("/events", json=events)
            assert client.get("/recommend/u20?include_seen=true").status_code == 200
            assert client.get("/popular?days=7").status_code in {200, 503}
            assert client.get("/metrics").status_code == 200

    assert_nothing_is_left(use, times=5)


def test_models_that_were_exchanged_are_let_go_of(model: Model, tmp_path: Path) -> None:
    folder, url = tmp_path / "models", SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    folder.mkdir()
    versions = [
        publish_small(model, folder, created_at=CREATED_AT + timedelta(minutes=minute))
        for minute in range(2)
    ]
    settings = Settings(models=folder, database_url=url, state=tmp_path)
    with TestClient(create_app(settings)) as client:

        def exchange() -> None:
            for version in versions:
                WritableModelsFolder(folder).set_current(version)
                assert client.post("/admin/reload").json()["model_version"] == version
                assert client.get("/recommend/u20?include_seen=true").status_code == 200

        assert_nothing_is_left(exchange, times=5)


@pytest.mark.parametrize("method", ["start", "close"])
def test_a_failure_at_start_or_end_does_not_leave_other_parts_open(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    # Was wrong: after one that could not be closed, the others were left open.
    done = getattr(NewcomerWorker, method)

    def fail(worker: NewcomerWorker) -> None:
        done(worker)
        raise ZeroDivisionError

    settings = Settings(models=models, database_url=SecretStr(f"sqlite:///{tmp_path / 'e.db'}"))
    before = set(threading.enumerate())
    monkeypatch.setattr(NewcomerWorker, method, fail)
    with pytest.raises(ZeroDivisionError), TestClient(create_app(settings)):
        pass
    left = {thread.name for thread in set(threading.enumerate()) - before}
    ours = ("batcher", "newcomer-worker", "store-", "model-follower")
    assert not {name for name in left if name.startswith(ours)}
