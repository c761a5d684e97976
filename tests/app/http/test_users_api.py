from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.events.personal_data import Place
from app.main import create_app
from app.model.model import Model
from app.settings import Settings


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    """The service with an empty store."""
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    with TestClient(create_app(Settings(models=models, database_url=url))) as client:
        yield client


def send(client: TestClient, **event: object) -> None:
    response = client.post("/events", json={"events": [{"user_id": "u30"} | event]})
    assert response.status_code == 200


def test_a_user_of_the_model_is_shown_with_their_history_most_played_first(
    client: TestClient, model: Model, version: str
) -> None:
    index = model.users.index("u30")
    assert index is not None
    items, plays = model.user_items.row(index)
    expected = sorted(zip((-plays).tolist(), items.tolist(), strict=True))
    card = client.get("/users/u30").json()
    assert (card["user_id"], card["model_version"], card["is_in_model"]) == ("u30", version, True)
    assert card["history"] == [
        {"artist_id": model.items.id(item), "name": model.item_names[item], "plays": -count}
        for count, item in expected
    ]
    assert (card["event_count"], card["events"], card["next_before"]) == (0, [], None)


def test_events_are_shown_as_they_were_sent(client: TestClient) -> None:
    send(client, artist_id="i30", timestamp="2026-11-20T13:00:00.5+01:00", event_id="e1", plays=2)
    send(client, artist_id="new", artist_name="New Band", type="like")
    card = client.get("/users/u30").json()
    assert card["event_count"] == 2
    like, play = card["events"]
    assert play.pop("received_at").endswith("Z")
    assert play == {
        "sequence": 1,
        "event_id": "e1",
        "artist_id": "i30",
        "name": "the i30 “band”",
        "type": "play",
        "plays": 2.0,
        "timestamp": "2026-11-20T12:00:00.500000Z",
    }
    assert (like["name"], like["plays"], like["timestamp"]) == ("New Band", None, None)


def test_an_artist_has_the_name_that_anybody_has_sent(client: TestClient) -> None:
    send(client, artist_id="new", artist_name="New Band", user_id="u31")
    send(client, artist_id="new")
    send(client, artist_id="nameless")
    names = [event["name"] for event in client.get("/users/u30").json()["events"]]
    assert names == [None, "New Band"]


def test_events_come_in_pages(client: TestClient) -> None:
    for number in range(5):
        send(client, artist_id=f"i{number}")
    pages, before = [], None
    while True:
        path = "/users/u30?n=2" + (f"&before={before}" if before else "")
        card = client.get(path).json()
        pages.append([event["sequence"] for event in card["events"]])
        before = card["next_before"]
        if before is None:
            break
    assert pages == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_a_history_comes_in_pages_also_while_events_come_in(
    client: TestClient, model: Model, n: int
) -> None:
    index = model.users.index("u30")
    assert index is not None
    expected = client.get("/users/u30?history_n=1000").json()["history"]
    assert len(expected) == len(model.user_items.row(index)[0]) > 7
    pages, offset = [], "0"
    while offset != "None":
        card = client.get(f"/users/u30?history_n={n}&history_offset={offset}").json()
        assert card["history_count"] == len(expected)
        pages.append(card["history"])
        offset = str(card["next_history_offset"])
        send(client, artist_id="i30", plays=1000)
    assert [len(page) for page in pages[:-1]] == [n] * (len(pages) - 1)
    assert [entry for page in pages for entry in page] == expected


def test_past_the_end_of_a_history_there_is_nothing(client: TestClient) -> None:
    for query in ("history_n=0", f"history_offset={2**63 - 1}"):
        card = client.get(f"/users/u30?{query}").json()
        assert card["history_count"] > 0
        assert card["history"] == []
    assert card["next_history_offset"] is None


def test_an_unknown_user_is_not_found(client: TestClient) -> None:
    response = client.get("/users/nobody")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:encore:problem:unknown-user"
    assert "this user is unknown" in response.json()["detail"]


def test_a_user_with_events_only_is_shown(client: TestClient) -> None:
    client.post("/events", json={"events": [{"user_id": "a/b c", "artist_id": "i30"}]})
    client.post("/events", json={"events": [{"user_id": "newcomer", "artist_id": "i30"}]})
    card = client.get("/users/newcomer").json()
    assert (card["is_in_model"], card["history"], card["event_count"]) == (False, [], 1)
    assert client.get("/users/a%2Fb%20c").json()["user_id"] == "a/b c"


def test_events_are_shown_without_a_model(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    settings = Settings(models=tmp_path / "none", database_url=url)
    with TestClient(create_app(settings)) as client:
        send(client, artist_id="i1")
        card = client.get("/users/u30").json()
    assert (card["model_version"], card["event_count"]) == (None, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("n=0", "n"),
        ("n=1001", "n"),
        ("before=0", "before"),
        ("all=1", "all"),
        ("history_n=1001", "history_n"),
        ("history_offset=-1", "history_offset"),
    ],
)
def test_a_bad_query_is_refused(client: TestClient, query: str, field: str) -> None:
    response = client.get(f"/users/u30?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == f"query.{field}"


@pytest.mark.slow
def test_an_erased_user_is_unknown_from_the_next_answer_on(
    client: TestClient, models: Path, tmp_path: Path
) -> None:
    send(client, artist_id="i50")
    stranger = client.get("/recommend/nobody").json()["items"]
    assert client.get("/recommend/u30").json()["source"] == "fold_in"
    answer = client.delete("/users/u30").json()
    assert (answer["user_id"], answer["events_erased"], answer["was_in_model"]) == ("u30", 1, True)
    assert "store_log" in answer["done"]  # nobody else reads
    named = [*answer["done"], *answer["stays"], *(one["place"] for one in answer["to_come"])]
    assert sorted(named) == sorted(Place)
    for path in ("/recommend/u30", "/recommend/u30?include_seen=true"):
        answer = client.get(path).json()
        assert (answer["source"], answer["items"]) == ("popularity", stranger)
    assert client.get("/recommend/u30?strategy=als").status_code == 404
    batch = client.post("/recommend/batch", json={"user_ids": ["u30", "u31"]}).json()["results"]
    assert [result["source"] for result in batch] == ["popularity", "als"]
    assert client.get("/users/u30").status_code == 404
    assert client.get("/popular?days=7").json()["items"] == []
    assert client.delete("/users/u30").json()["events_erased"] == 0
    # After a restart, and on another process of the host.
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    with TestClient(create_app(Settings(models=models, database_url=url))) as other:
        assert other.get("/recommend/u30").json()["source"] == "popularity"
        client.delete("/users/u31")
        assert other.get("/recommend/u31").json()["source"] == "popularity"


def test_events_after_an_erasure_are_those_of_a_new_user(client: TestClient) -> None:
    client.delete("/users/u30")
    send(client, artist_id="i50")
    card = client.get("/users/u30").json()
    assert (card["is_in_model"], card["history"], card["event_count"]) == (False, [], 1)
    send(client, user_id="newcomer", artist_id="i50")
    lists = [client.get(f"/recommend/{user}").json() for user in ("u30", "newcomer")]
    assert lists[0]["items"] == lists[1]["items"]
    assert lists[0]["source"] == "fold_in"


def test_erasing_an_unknown_user_succeeds_with_any_id(client: TestClient) -> None:
    for path in ("/users/nobody", "/users/a%2Fb%20c", "/users/%F0%9F%8E%B8.mp3"):
        answer = client.delete(path).json()
        assert (answer["events_erased"], answer["was_in_model"]) == (0, False)


def test_erasing_wants_the_key_and_a_store(models: Path, tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'none' / 'encore.db'}")
    settings = Settings(models=models, database_url=url, api_key=SecretStr("k" * 20))
    with TestClient(create_app(settings)) as client:
        assert client.delete("/users/u30").status_code == 401
        response = client.delete("/users/u30", headers={"X-API-Key": "k" * 20})
        assert response.status_code == 503
        assert response.json()["type"] == "urn:encore:problem:events-unavailable"
