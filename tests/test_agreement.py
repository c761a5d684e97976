"""What is measured is what is served: every way to a list gives the same one."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from app.artifacts.reading import open_model
from app.main import create_app
from app.recommend.query import Strategy
from app.settings import Settings
from tests.builders import interactions_of, publish_small, random_plays, small_model
from training.data.filters import Filters, preprocess
from training.data.interactions import Interactions
from training.datasets import load_dataset
from training.fitting.fit import fit_model
from training.fitting.top_lists import with_top_lists
from training.measuring.evaluation import Contender, recommend_lists
from training.presets import DEFAULT
from training.publishing.export import export
from training.publishing.publish import publish

AUTO = Contender(Strategy.AUTO)


def assert_all_ways_agree(models: Path, version: str, lists: list[list[int]], n: int) -> None:
    """Compares lists of an evaluation with export, single and batched requests."""
    model = open_model(models / version)
    expected = {
        model.users.id(user): [model.items.id(item) for item in items if item >= 0]
        for user, items in enumerate(lists)
    }
    table = models / "lists.parquet"
    export(model, table, n=n)
    exported = pl.read_parquet(table).sort("user_id", "rank").group_by("user_id").all()
    from_export = dict(exported.select("user_id", "artist_id").iter_rows())
    scores = dict(exported.select("user_id", "score").iter_rows())
    assert from_export == expected
    with TestClient(create_app(Settings(models=models))) as client:
        users = list(expected)
        answers = client.post("/recommend/batch", json={"user_ids": users[:1000], "n": n}).json()
        assert len(answers["results"]) == len(users[:1000])
        for answer in answers["results"]:
            artists = [item["artist_id"] for item in answer["items"]]
            assert artists == expected[answer["user_id"]]
        for user in users[:: max(1, len(users) // 50)]:
            alone = client.get(f"/recommend/{user}", params={"n": n}).json()
            assert [item["artist_id"] for item in alone["items"]] == expected[user]
            shown = [item["score"] for item in alone["items"]]
            assert shown == pytest.approx(scores[user], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("list_length", [0, 4, 20])
def test_evaluation_export_batch_and_http_agree(
    rng: np.random.Generator, tmp_path: Path, list_length: int
) -> None:
    plays = random_plays(rng, 50, 70)
    plays[7] = 0  # answered by popularity
    model = small_model(interactions_of(plays), list_length=list_length)
    users = np.arange(50)
    lists = recommend_lists(model, AUTO, users, 10, lambda _done: None)
    assert_all_ways_agree(tmp_path, publish_small(model, tmp_path), lists.tolist(), 10)


@pytest.mark.slow
@pytest.mark.parametrize("discovery", [0.25, 1.0])
def test_evaluation_batch_and_http_agree_under_the_dial(
    rng: np.random.Generator, tmp_path: Path, discovery: float
) -> None:
    model = small_model(interactions_of(random_plays(rng, 50, 70)), list_length=20)
    publish_small(model, tmp_path)
    contender = Contender(Strategy.AUTO, discovery=discovery)
    lists = recommend_lists(model, contender, np.arange(50), 10, lambda _done: None)
    off = recommend_lists(model, AUTO, np.arange(50), 10, lambda _done: None)
    assert (lists != off).any()
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        options = {"n": 10, "discovery": discovery}
        body = {"user_ids": [f"u{user}" for user in range(50)]} | options
        batch = client.post("/recommend/batch", json=body).json()["results"]
        for answer, items in zip(batch, lists.tolist(), strict=True):
            artists = [item["artist_id"] for item in answer["items"]]
            assert artists == [model.items.id(item) for item in items]
            alone = client.get(f"/recommend/{answer['user_id']}", params=options).json()
            assert alone["items"] == answer["items"]


@pytest.mark.slow
def test_they_agree_on_real_data(hetrec_path: Path, tmp_path: Path) -> None:
    interactions: Interactions
    interactions, _ = preprocess(load_dataset("hetrec-lastfm-2k", hetrec_path), Filters())
    live = fit_model(interactions, DEFAULT.parameters)
    users = np.arange(len(live.users))
    lists = recommend_lists(live, AUTO, users, 20, lambda _done: None)
    card = {"dataset": {"name": "test"}, "parameters": {}, "metrics": None}
    version = publish(with_top_lists(live, 100), tmp_path, card=card).version
    assert_all_ways_agree(tmp_path, version, lists.tolist(), 20)
