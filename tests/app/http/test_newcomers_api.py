"""Artists that only events know of, from the first play to the list, through the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.server import eventually

PATIENCE = 30.0


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    """The service with an empty store."""
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    settings = Settings(models=models, database_url=url, new_artist_length=1.0)
    with TestClient(create_app(settings)) as client:
        yield client


def send(client: TestClient, artist: str, *users: str, **fields: Any) -> None:
    events = [{"user_id": user, "artist_id": artist, **fields} for user in users]
    assert client.post("/events", json={"events": events}).json()["stored"] == len(users)


def items(client: TestClient, user: str, **parameters: Any) -> dict[str, dict[str, Any]]:
    answer = client.get(f"/recommend/{user}", params={"n": 50, **parameters}).json()
    return {item["artist_id"]: item for item in answer["items"]}


@pytest.mark.slow
def test_an_artist_of_events_enters_lists_with_its_name_once_it_has_listeners(
    client: TestClient,
) -> None:
    others = [f"u{number}" for number in range(25, 39)]

    def shown_to() -> list[str]:
        return [user for user in others if "new/band" in items(client, user)]

    send(client, "new/band", "u20", "u21", artist_name="New Band")
    send(client, "another", "u20", "u21", "u22")
    eventually(lambda: any("another" in items(client, user) for user in others))
    assert shown_to() == []
    send(client, "new/band", "u22")
    eventually(lambda: bool(shown_to()))
    user = shown_to()[0]
    item = items(client, user)["new/band"]
    assert (item["name"], item["source"]) == ("New Band", "als")
    assert item["score"] > 0
    assert "new/band" not in items(client, "u20")
    client.put("/artists/new%2Fband", json={"available": False})
    assert shown_to() == []


@pytest.mark.slow
def test_an_artist_with_one_listener_is_explored(client: TestClient) -> None:
    send(client, "first song", "u20", artist_name="First Song")
    path = "/recommend/u30?n=10&explore=0.1"
    eventually(lambda: client.get(path).json()["items"][9]["source"] == "explore")
    item = client.get(path).json()["items"][9]
    assert item == {
        "rank": 10,
        "artist_id": "first song",
        "name": "First Song",
        "score": None,
        "source": "explore",
    }
    body = {"user_id": "u30", "n": 10, "explore": 0.1, "seed": 5}
    assert client.post("/recommend", json=body).json()["items"][9] == item
    assert "first song" not in items(client, "u30")
    # The users who played it have seen it.
    assert "first song" not in items(client, "u20", explore=0.1)


def explored(client: TestClient, path: str) -> list[str]:
    answer = client.get(path).json()
    return [one["artist_id"] for one in answer["items"] if one["source"] == "explore"]


@pytest.fixture
def thirty_new(client: TestClient) -> None:
    """Thirty artists with one listener each, u20; all of them can be explored."""
    for number in range(30):
        send(client, f"new {number}", "u20")
    path = "/recommend/u30?n=10&explore=0.5"

    def all_are_there() -> bool:
        drawn = {one for seed in range(40) for one in explored(client, f"{path}&seed={seed}")}
        return len(drawn) == 30

    eventually(all_are_there)


@pytest.mark.slow
@pytest.mark.usefixtures("thirty_new")
def test_the_choice_is_the_same_all_day_and_another_with_another_seed(client: TestClient) -> None:
    path = "/recommend/u30?n=10&explore=0.5"
    assert len(explored(client, path)) == 5
    assert explored(client, path) == explored(client, path)
    assert len({tuple(explored(client, f"{path}&seed={seed}")) for seed in range(5)}) == 5
    assert explored(client, path) != explored(client, path.replace("u30", "u31"))


@pytest.mark.slow
@pytest.mark.usefixtures("thirty_new")
@pytest.mark.parametrize("options", [{"explore": 0.3}, {"explore": 0.3, "seed": 5}])
def test_a_batch_explores_as_single_calls_do(client: TestClient, options: dict[str, float]) -> None:
    query = {"n": 10, **options}
    users = ["u30", "u20", "u31", "somebody"]
    batch = client.post("/recommend/batch", json={"user_ids": users, **query}).json()["results"]
    assert [one["items"] for one in batch] == [
        client.get(f"/recommend/{user}", params=query).json()["items"] for user in users
    ]
    # u20 knows them all.
    counts = [sum(item["source"] == "explore" for item in one["items"]) for one in batch]
    assert counts == [3, 0, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "query", ["explore=1.1", "explore=-0.1", "explore=nan", "seed=-1", "seed=x"]
)
def test_a_bad_query_is_refused(client: TestClient, query: str) -> None:
    response = client.get(f"/recommend/u30?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == f"query.{query.partition('=')[0]}"


@pytest.mark.slow
@pytest.mark.parametrize(("field", "value"), [("explore", 1.1), ("explore", None), ("seed", -1)])
def test_a_bad_batch_is_refused(client: TestClient, field: str, value: float | None) -> None:
    response = client.post("/recommend/batch", json={"user_ids": ["u30"], field: value})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == f"body.{field}"
