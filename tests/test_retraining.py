"""Events and the next training: each counts once, whichever model answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.writable_folder import WritableModelsFolder
from app.events.event import Event
from app.events.event_types import EventType
from app.main import create_app
from app.settings import Settings
from app.store.address import open_store
from app.store.clock import now
from tests.postgres import PostgresServer
from tests.server import eventually
from training.cli import main

pytestmark = pytest.mark.slow  # all of it makes models or pages

PATIENCE = 30.0


class Encore:
    """A service on a store, and the trainings that it follows."""

    def __init__(self, folder: Path, url: str) -> None:
        self.models, self.url = folder / "models", url
        self._table = folder / "plays.csv"
        rows = [
            f"u{user},a{artist},{1 + user * artist}"
            for user in range(12)
            for artist in range(9)
            if (user + artist) % 3
        ]
        self._table.write_text("\n".join(["user_id,item_id,weight", *rows]) + "\n")
        self.first = self.train()
        self.client = self._client(url)

    def _client(self, url: str) -> TestClient:
        settings = Settings(
            models=self.models,
            database_url=SecretStr(url),
            poll_seconds=3600,
            new_artist_listeners=1,
        )
        return TestClient(create_app(settings))

    def train(self, *options: str) -> str:
        """Trains on the table and more, and returns the version."""
        tokens = ["train", "--dataset", "table", "--data", str(self._table), "--no-evaluation"]
        tokens += ["--models", str(self.models), "--factors", "8"]
        events = ["--data-until", "never"] if "--events" in options else ["--no-events"]
        assert main([*tokens, "--regularization", "0.1", *events, *options]) == 0
        return self.current

    @contextmanager
    def another(self, url: str) -> Iterator[Encore]:
        """Serves the same models on another store."""
        other = copy(self)
        other.url, other.client = url, self._client(url)
        with other.client:
            yield other

    @property
    def current(self) -> str:
        return (self.models / "current").read_text().strip()

    def serve(self, version: str) -> None:
        WritableModelsFolder(self.models).set_current(version)
        assert self.client.post("/admin/reload").json()["model_version"] == version

    def run(self, *tokens: str, url: str | None = None) -> None:
        """Runs a command about events."""
        assert main(["events", *tokens, "--events", url or self.url]) == 0

    def play(self, user: str, artist: str, **more: Any) -> None:
        event = {"user_id": user, "artist_id": artist, **more}
        (result,) = self.client.post("/events", json={"events": [event]}).json()["results"]
        assert result["status"] == "stored"

    def ask(self, user: str) -> tuple[str, list[str], list[float | None]]:
        answer = self.client.get(f"/recommend/{user}", params={"n": 9}).json()
        items = answer["items"]
        return (
            answer["source"],
            [item["artist_id"] for item in items],
            [item["score"] for item in items],
        )

    def history(self, user: str) -> dict[str, float] | None:
        """Returns the plays that the model holds of a user, None where it does not know them."""
        response = self.client.get(f"/users/{user}")
        if response.status_code == 404 or not response.json()["is_in_model"]:
            return None
        return {entry["artist_id"]: entry["plays"] for entry in response.json()["history"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def encore(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer
) -> Iterator[Encore]:
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    encore = Encore(tmp_path, url if request.param == "sqlite" else postgres.new_database())
    with encore.client:
        yield encore


def test_events_count_once_whichever_model_answers(encore: Encore) -> None:
    before = encore.ask("u1")
    assert before[0] == "als"
    encore.play("u1", "a2", plays=40)
    encore.play("fresh", "a4", plays=5)
    encore.play("u1", "new", artist_name="New Band")
    encore.play("u3", "a5", type="dislike")
    # The lists change once more when the new artist has its vector, half a second later.
    eventually(lambda: "new" in encore.ask("u3")[1])
    live = {user: encore.ask(user) for user in ("u1", "u3", "fresh")}
    assert {source for source, _, _ in live.values()} == {"fold_in"}

    encore.serve(encore.train("--events", encore.url, "--event-unit", "2"))
    model = encore.client.get("/model").json()
    assert model["event_watermark"]["sequence"] == 4
    assert model["event_unit"]["multiple"] == 2
    # All is in the model now, and nothing of it counts once more.
    assert {encore.ask(user)[0] for user in live} == {"als"}
    assert encore.history("fresh") == {"a4": 5}
    assert (encore.history("u1") or {})["a2"] == 40
    names = [entry["name"] for entry in encore.client.get("/users/u1").json()["history"]]
    assert "New Band" in names
    assert "a5" not in (encore.history("u3") or {"a5": 0})
    assert "a5" not in encore.ask("u3")[1]
    assert {"a2", "new"}.isdisjoint(encore.ask("u1")[1])
    # The next event does.
    second = encore.current
    encore.play("fresh", "a7")
    assert encore.ask("fresh")[0] == "fold_in"

    encore.serve(encore.first)
    eventually(lambda: "new" in encore.ask("u3")[1])
    assert {user: encore.ask(user) for user in ("u1", "u3")} == {
        user: live[user] for user in ("u1", "u3")
    }
    encore.serve(second)
    assert encore.ask("u1")[0] == "als"


def test_events_count_for_a_user_whom_the_filters_left_out(encore: Encore) -> None:
    encore.play("fresh", "a4", plays=5)
    live = encore.ask("fresh")
    assert live[0] == "fold_in"
    encore.serve(encore.train("--events", encore.url, "--min-user-records", "2"))
    assert encore.history("fresh") is None
    assert encore.ask("fresh")[0] == "fold_in"


def test_a_model_that_has_learned_from_another_store_lets_all_events_count(
    encore: Encore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'another.db'}"
    store = open_store(url)
    store.append([Event("u5", "a2"), Event("u5", "a4"), Event("u5", "a6")], 1)
    store.close()
    encore.play("u1", "a2", plays=40)
    encore.serve(encore.train("--events", url))
    assert encore.client.get("/model").json()["event_watermark"]["sequence"] == 3
    assert encore.ask("u1")[0] == "fold_in"
    assert encore.ask("u5")[0] == "als"


def test_an_erased_user_is_unknown_to_every_model_and_training(encore: Encore) -> None:
    encore.play("u2", "a3")
    stranger = encore.ask("nobody")
    encore.serve(encore.train("--events", encore.url))
    with_events = encore.current
    assert encore.history("u2") is not None
    assert encore.client.delete("/users/u2").json()["events_erased"] == 1
    assert (encore.ask("u2"), encore.history("u2")) == (stranger, None)
    # Neither a rollback nor a training that knows nothing of it brings them back.
    encore.serve(encore.first)
    assert encore.history("u2") is None
    assert encore.ask("u2") == encore.ask("nobody")
    unaware = encore.train("--seed", "2")
    encore.serve(unaware)
    assert (encore.ask("u2"), encore.history("u2")) == (encore.ask("nobody"), None)
    aware = encore.train("--events", encore.url)
    encore.serve(aware)
    assert encore.client.get("/model").json()["dataset"]["users"] == 11
    assert (encore.ask("u2"), encore.history("u2")) == (encore.ask("nobody"), None)

    # Somebody new of that name.
    encore.play("u2", "a5", plays=7)
    assert encore.ask("u2")[0] == "fold_in"
    encore.serve(encore.train("--events", encore.url))
    again = encore.current
    assert (encore.ask("u2")[0], encore.history("u2")) == ("als", {"a5": 7})
    encore.serve(aware)
    assert (encore.ask("u2")[0], encore.history("u2")) == ("fold_in", None)

    prune = ["models", "prune", "--erased", "--models", str(encore.models), "--events", encore.url]
    assert main([*prune, "--dry-run"]) == 0
    assert len(ModelsFolder(encore.models).versions()) == 5
    assert main(prune) == 0
    assert set(ModelsFolder(encore.models).versions()) == {aware, again}
    assert {encore.first, with_events, unaware}.isdisjoint(ModelsFolder(encore.models).versions())


def test_what_is_imported_counts_in_a_running_service(encore: Encore, tmp_path: Path) -> None:
    url, dump = f"sqlite:///{tmp_path / 'another.db'}", str(tmp_path / "dump.jsonl")
    store = open_store(url)
    store.append([Event("u1", "a2", plays=40), Event("u3", "a5", EventType.DISLIKE)], 1)
    store.erase("u2", now())
    store.close()
    encore.play("u2", "a3")
    before = {user: encore.ask(user) for user in ("u1", "u4")}
    encore.run("export", dump, url=url)
    encore.run("import", dump)
    # Within the second that a host takes to learn of what another one did.
    eventually(lambda: encore.ask("u1")[0] == "fold_in")
    assert encore.ask("u1")[1] != before["u1"][1]
    assert encore.ask("u4") == before["u4"]
    eventually(lambda: encore.history("u2") is None)
    assert "a5" not in encore.ask("u3")[1]


def test_a_model_knows_its_events_in_the_database_that_they_were_moved_to(
    encore: Encore, tmp_path: Path
) -> None:
    encore.play("u1", "a2", plays=40)
    encore.serve(encore.train("--events", encore.url))
    learned = encore.ask("u1")
    assert learned[0] == "als"
    encore.play("u3", "a5", plays=9)
    live = encore.ask("u3")
    url, dump = f"sqlite:///{tmp_path / 'moved.db'}", str(tmp_path / "dump.jsonl.gz")
    encore.run("export", dump)
    encore.run("import", dump, url=url)
    with encore.another(url) as moved:
        assert (moved.ask("u1"), moved.ask("u3")) == (learned, live)
        moved.play("u1", "a7")
        assert moved.ask("u1")[0] == "fold_in"


def test_a_store_that_is_put_back_counts_what_comes_after(tmp_path: Path) -> None:
    url, backup = f"sqlite:///{tmp_path / 'encore.db'}", tmp_path / "backup.db"
    encore = Encore(tmp_path, url)
    with encore.client:
        encore.play("u1", "a2", plays=40)
        encore.run("backup", str(backup))
        encore.play("u3", "a5", plays=9)
        encore.play("u4", "a8", plays=9)
        encore.serve(encore.train("--events", url))
        learned = encore.ask("u1")
        assert learned[0] == "als"
    with encore.another(f"sqlite:///{backup}") as restored:
        # Its number is that of an event that the model has learned, and is lost.
        restored.play("u5", "a4")
        assert restored.ask("u5")[0] == "fold_in"
        assert restored.ask("u1") == learned
