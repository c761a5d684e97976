"""Answers over HTTP, looked up or scored live, against a simple reference ranking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.main import create_app
from app.model.model import Model
from app.ranking.discovery import discount
from app.settings import Settings
from tests.builders import interactions_of, publish_small, random_plays, small_model

N_ITEMS = 60
LIST_LENGTH = 12
# Have all artists but two, and all of them; an ordinary listener; no history; not in the data.
USERS = ("u0", "u1", "u2", "u39", "nobody", None)


@pytest.fixture(scope="module")
def model() -> Model:
    plays = random_plays(np.random.default_rng(11), 40, N_ITEMS)
    plays[0], plays[0, [7, 33]] = 1.0, 0.0
    plays[1] = 2.0
    plays[39] = 0.0
    return small_model(interactions_of(plays), list_length=LIST_LENGTH)


@pytest.fixture(scope="module")
def client(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("models")
    publish_small(model, folder)
    with TestClient(create_app(Settings(models=folder))) as client:
        yield client


def oracle(model: Model, asked: dict[str, Any]) -> list[tuple[str, float | None, str]]:
    """Ids, scores and sources, one item after the other."""
    ids = [f"i{item}" for item in range(N_ITEMS)]
    user = model.users.index(asked["user_id"]) if asked["user_id"] is not None else None
    behind = set(asked["exclude"])
    if user is not None and not asked["include_seen"]:
        behind |= {ids[item] for item in model.user_items.row(user)[0].tolist()}
    candidates = asked.get("candidates")
    left = [
        item
        for item in range(N_ITEMS)
        if ids[item] not in behind and (candidates is None or ids[item] in candidates)
    ]
    listeners = model.popularity.listeners
    plays = model.popularity.plays
    popular = sorted(left, key=lambda item: (-listeners[item], -plays[item], item))
    is_personal = user is not None and bool(model.user_factors[user].any())
    if asked["strategy"] == "popularity" or not is_personal:
        ranked: list[tuple[str, float | None, str]] = [
            (ids[item], float(listeners[item]), "popularity") for item in popular
        ]
    else:
        factors = discount(model.catalogue.log_discount, asked["discovery"]).astype(np.float64)

        def score(item: int) -> float:
            vector = model.user_factors[user].astype(np.float64)
            product = float((model.item_factors[item] * vector).sum())
            return min(product, product * factors[item]) if asked["discovery"] else product

        best = sorted(left, key=lambda item: (-score(item), item))
        ranked = [(ids[item], round(float(np.float32(score(item))), 6), "als") for item in best]
    return ranked[asked["offset"] : asked["offset"] + asked["n"]]


def shown(body: Any) -> list[tuple[str, float | None, str]]:
    return [(item["artist_id"], item["score"], item["source"]) for item in body["items"]]


def id_lists(most: int) -> st.SearchStrategy[list[str]]:
    known = st.integers(0, N_ITEMS - 1).map(lambda item: f"i{item}")
    return st.lists(st.one_of(known, st.sampled_from(["unknown", "", "I1"])), max_size=most)


QUERIES = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(USERS),
        "n": st.sampled_from([1, 2, 10, LIST_LENGTH, LIST_LENGTH + 1, N_ITEMS, 61, 500]),
        "offset": st.sampled_from([0, 0, 1, LIST_LENGTH - 1, 58, N_ITEMS, 10_000]),
        "strategy": st.sampled_from(["auto", "auto", "popularity"]),
        "include_seen": st.booleans(),
        "discovery": st.sampled_from([0, 0, 0.5, 1]),
        "exclude": st.one_of(
            id_lists(5),
            id_lists(40),
            st.just([f"i{item}" for item in range(N_ITEMS)]),
            st.integers(1, N_ITEMS).map(
                lambda left: [f"i{item}" for item in range(left, N_ITEMS)] + ["x"] * (940 + left)
            ),
        ),
        "candidates": st.one_of(st.none(), id_lists(8), id_lists(80)),
    }
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(asked=QUERIES)
def test_every_answer_is_that_of_the_plainest_ranking(
    client: TestClient, model: Model, asked: dict[str, Any]
) -> None:
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert shown(answer.json()) == oracle(model, asked)
    first = asked["offset"] + 1
    assert [item["rank"] for item in items] == list(range(first, first + len(items)))
    if asked["user_id"] is not None and asked["candidates"] is None:
        parameters = {key: asked[key] for key in asked.keys() - {"user_id", "candidates"}}
        by_get = client.get(f"/recommend/{asked['user_id']}", params=parameters)
        assert by_get.json() == answer.json()


BATCHES = st.fixed_dictionaries(
    {
        "user_ids": st.one_of(
            st.lists(st.sampled_from(["u0", "u1", "u2", "u39", "nobody"]), min_size=1, max_size=70),
            st.permutations(["u0", "u1", "u2", "u39", "nobody"]).map(lambda users: users * 200),
        ),
        "n": st.sampled_from([1, LIST_LENGTH, 100]),
        "discovery": st.sampled_from([0, 0.5]),
    }
)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(asked=BATCHES)
def test_every_list_of_a_batch_is_that_of_the_plainest_ranking(
    client: TestClient, model: Model, asked: dict[str, Any]
) -> None:
    results = client.post("/recommend/batch", json=asked).json()["results"]
    plain = {"offset": 0, "strategy": "auto", "include_seen": False, "exclude": []}
    assert [result["user_id"] for result in results] == asked["user_ids"]
    expected = {
        user: oracle(model, {**plain, **asked, "user_id": user}) for user in set(asked["user_ids"])
    }
    assert all(shown(result) == expected[result["user_id"]] for result in results)
