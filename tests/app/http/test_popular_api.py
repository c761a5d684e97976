from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.model import Model


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
        ("days=7", "query.days"),
    ],
)
def test_a_bad_query_is_refused(client: TestClient, query: str, location: str) -> None:
    response = client.get(f"/popular?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == location


def test_without_a_model_it_is_503(bare_client: TestClient) -> None:
    assert bare_client.get("/popular").status_code == 503
