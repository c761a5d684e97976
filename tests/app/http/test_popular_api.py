from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.model.model import Model
from app.schemas.popular import PopularParameters
from app.settings import Settings


@pytest.mark.parametrize("by", ["listeners", "plays"])
def test_the_ranking_is_that_of_the_counts(
    client: TestClient, model: Model, version: str, by: str
) -> None:
    answer = client.get("/popular", params={"by": by, "n": 500}).json()
    assert (answer["model_version"], answer["by"]) == (version, by)
    items = answer["items"]
    assert [item["rank"] for item in items] == list(range(1, len(model.items) + 1))
    counts = [item[by] for item in items]
    assert counts == sorted(counts, reverse=True)
    for item in items:
        index = model.items.index(item["artist_id"])
        assert index is not None
        assert item["name"] == model.item_names[index]
        assert item["listeners"] == np.count_nonzero(model.user_items.indices == index)
        plays = model.user_items.plays[model.user_items.indices == index].sum(dtype=float)
        assert item["plays"] == plays


def test_listeners_count_unless_asked_otherwise(client: TestClient) -> None:
    assert client.get("/popular").json() == client.get("/popular?by=listeners&n=10").json()
    assert client.get("/popular?by=plays").json() != client.get("/popular?by=listeners").json()


def test_pages_make_up_the_ranking(client: TestClient) -> None:
    whole = client.get("/popular?n=20").json()["items"]
    pages = [client.get(f"/popular?n=10&offset={k}").json()["items"] for k in (0, 10)]
    assert pages[0] + pages[1] == whole
    assert client.get("/popular?offset=10000").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("n=0", "query.n"),
        ("n=501", "query.n"),
        ("offset=10001", "query.offset"),
        ("by=name", "query.by"),
        ("by=plays&by=plays", "query.by"),
        ("days=0", "query.days"),
        ("days=3651", "query.days"),
        ("days=nan", "query.days"),
        ("days=week", "query.days"),
    ],
)
def test_a_bad_query_is_refused(client: TestClient, query: str, location: str) -> None:
    response = client.get(f"/popular?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == location


def events(*events: dict[str, object]) -> dict[str, object]:
    return {"events": list(events)}


def test_the_last_days_are_counted_from_events(models: Path, tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'encore.db'}")
    days_ago = [(datetime.now(UTC) - timedelta(days=days)).isoformat() for days in range(9)]
    with TestClient(create_app(Settings(models=models, database_url=url))) as client:
        sent = events(
            {"user_id": "a", "artist_id": "i30"},
            {"user_id": "a", "artist_id": "i30", "plays": 5},
            {"user_id": "b", "artist_id": "i31", "timestamp": days_ago[1]},
            {"user_id": "c", "artist_id": "i31", "timestamp": days_ago[6]},
            {"user_id": "d", "artist_id": "i31", "timestamp": days_ago[8]},
            {"user_id": "d", "artist_id": "new", "artist_name": "New Band"},
            {"user_id": "d", "artist_id": "newer"},
            {"user_id": "d", "artist_id": "i32", "type": "like"},
            {"user_id": "d", "artist_id": "i33", "type": "skip"},
        )
        assert client.post("/events", json=sent).status_code == 200
        week = client.get("/popular?days=7").json()
        assert (week["days"], week["by"]) == (7.0, "listeners")
        by_listeners = [
            (item["rank"], item["artist_id"], item["name"], item["listeners"], item["plays"])
            for item in week["items"]
        ]
        assert by_listeners == [
            (1, "i31", "the i31 “band”", 2, 2.0),
            (2, "i30", "the i30 “band”", 1, 6.0),
            (3, "new", "New Band", 1, 1.0),
            (4, "newer", "newer", 1, 1.0),
        ]
        by_plays = client.get("/popular?days=7&by=plays&n=1&offset=1").json()["items"]
        assert [(item["rank"], item["artist_id"]) for item in by_plays] == [(2, "i31")]
        half_a_day = client.get("/popular?days=0.5").json()["items"]
        assert [item["artist_id"] for item in half_a_day] == ["i30", "new", "newer"]
        assert client.get("/popular?days=5.5").json()["days"] == 6
        client.post("/events", json=events({"user_id": "e", "artist_id": "new"}))
        assert client.get("/popular").json()["days"] is None


@pytest.mark.parametrize(
    ("days", "period"),
    [
        (5e-324, 1 / 24),
        (0.0417, 0.125),
        (0.5, 0.5),
        (0.51, 1),
        (1, 1),
        (29.01, 30),
        (30, 30),
        (31, 60),
        (365, 365),
        (366, 730),
        (3650, 3650),
    ],
)
def test_days_are_rounded_up_to_a_period(days: float, period: float) -> None:
    assert PopularParameters(days=days).days == period


def test_without_a_model_it_is_503(bare_client: TestClient) -> None:
    assert bare_client.get("/popular").status_code == 503
