from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings


@pytest.fixture
def settings(models: Path, tmp_path: Path) -> Settings:
    return Settings(models=models, database_url=SecretStr(f"sqlite:///{tmp_path / 'encore.db'}"))


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service with an empty store."""
    with TestClient(create_app(settings)) as client:
        yield client


def switch(client: TestClient, artist: str, available: bool) -> None:
    path = f"/artists/{quote(artist, safe='')}"
    response = client.put(path, json={"available": available})
    assert response.status_code == 200
    assert response.json() == {"artist_id": artist, "available": available}


def artists(client: TestClient, path: str) -> list[str]:
    response = client.get(path)
    assert response.status_code == 200
    return [item["artist_id"] for item in response.json()["items"]]


PATHS = [
    "/recommend/u30?n=5",
    "/recommend/u30?n=5&include_seen=true",
    "/recommend/nobody?n=5",
    "/recommend/u31?n=5&strategy=popularity",
    "/popular?n=5",
    "/popular?n=5&by=plays",
    "/popular?n=5&days=7",
]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_an_artist_leaves_every_answer_with_the_next_request_and_comes_back(
    client: TestClient, path: str
) -> None:
    events = [{"user_id": "someone", "artist_id": f"i{number}"} for number in range(30, 40)]
    client.post("/events", json={"events": events})
    before = artists(client, path)
    gone = before[1]
    switch(client, gone, available=False)
    after = artists(client, path)
    assert gone not in after
    assert len(after) == 5
    assert after[:4] == [artist for artist in before if artist != gone]
    switch(client, gone, available=True)
    assert artists(client, path) == before


def test_lists_by_body_and_for_many_follow_as_well(client: TestClient) -> None:
    gone = artists(client, "/recommend/u30")[0]
    switch(client, gone, available=False)
    for path, body in (
        ("/recommend", {"user_id": "u30", "candidates": [gone, "i40"], "include_seen": True}),
        ("/recommend", {"listens": [{"artist_id": "i41"}], "n": 60}),
    ):
        items = client.post(path, json=body).json()["items"]
        assert items
        assert gone not in {item["artist_id"] for item in items}
    batch = client.post("/recommend/batch", json={"user_ids": ["u30", "u31"], "n": 60}).json()
    for result in batch["results"]:
        assert gone not in {item["artist_id"] for item in result["items"]}


@pytest.mark.slow
def test_another_service_of_the_host_follows_at_once(
    client: TestClient, settings: Settings
) -> None:
    with TestClient(create_app(settings)) as other:
        for _ in range(3):
            gone = artists(other, "/recommend/u30")[0]
            switch(client, gone, available=False)
            assert gone not in artists(other, "/recommend/u30")


@pytest.mark.slow
def test_it_holds_after_a_restart(client: TestClient, settings: Settings) -> None:
    gone = artists(client, "/recommend/u30")[0]
    switch(client, gone, available=False)
    with TestClient(create_app(settings)) as other:
        assert gone not in artists(other, "/recommend/u30")


@pytest.mark.slow
@pytest.mark.parametrize("artist", ["name:AC/DC", "never heard of", "50%", "é" * 128])
def test_any_id_will_do(client: TestClient, artist: str) -> None:
    switch(client, artist, available=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, "body.available"),
        ({"available": "no"}, "body.available"),
        ({"available": 0}, "body.available"),
        ({"available": True, "name": "x"}, "body.name"),
    ],
)
def test_a_bad_body_is_refused(client: TestClient, body: dict[str, Any], location: str) -> None:
    response = client.put("/artists/i30", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == location


def test_the_key_is_wanted_once_one_is_set(models: Path, tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    settings = Settings(models=models, database_url=url, api_key=SecretStr("k" * 20))
    with TestClient(create_app(settings)) as client:
        body, headers = {"available": False}, {"X-API-Key": "k" * 20}
        assert client.put("/artists/i30", json=body).status_code == 401
        assert client.put("/artists/i30", json=body, headers=headers).status_code == 200


def test_without_a_store_nothing_changes(models: Path, tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'none' / 'encore.db'}")
    with TestClient(create_app(Settings(models=models, database_url=url))) as client:
        response = client.put("/artists/i30", json={"available": False})
        assert response.status_code == 503
        assert response.json()["type"] == "urn:encore:problem:events-unavailable"
