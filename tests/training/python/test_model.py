from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import encore
from app.model.weighting import WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.training.python.conftest import SIZE
from training.cli import main
from training.fitting.hyperparameters import LinearParameters


@pytest.fixture(scope="module")
def model(data: encore.Data) -> encore.Model:
    """A model of the board."""
    return encore.fit(data)


def test_data_are_the_pairs_with_names(board: pl.DataFrame, data: encore.Data) -> None:
    expected = board.select(
        "user_id", pl.col("item_id").alias("artist_id"), "name", pl.col("plays").cast(pl.Float32)
    )
    assert data.pairs.sort("user_id", "artist_id").equals(expected.sort("user_id", "artist_id"))


def test_everybody_gets_the_one_right_artist(model: encore.Model) -> None:
    lists = model.recommend([f"u{user}" for user in range(SIZE)], n=1)
    assert lists["artist_id"].to_list() == [f"i{user}" for user in range(SIZE)]
    assert lists["name"].to_list() == [f"name of i{user}" for user in range(SIZE)]
    assert lists["rank"].to_list() == [1] * SIZE


def test_lists_are_those_of_the_service(model: encore.Model) -> None:
    recommender = Recommender(model.parts)
    for options in ({}, {"discovery": 0.7}, {"include_seen": True}, {"exclude": ["i4", "i6"]}):
        answer = recommender.recommend(Query(user_id="u2", n=6, **options))
        shown = model.recommend("u2", n=6, **options)
        assert shown["artist_id"].to_list() == [model.parts.items.id(one) for one in answer.items]
        scores = shown["score"].fill_null(float("nan")).to_numpy()
        np.testing.assert_allclose(scores, answer.scores, rtol=1e-6)


def test_somebody_unknown_gets_what_fits_the_listens_or_what_is_popular(
    model: encore.Model,
) -> None:
    odd = model.recommend(listens={"i1": 5, "i3": 2}, n=4)
    assert set(odd["source"]) == {"fold_in"}
    assert all(int(artist[1:]) % 2 for artist in odd["artist_id"])
    assert set(model.recommend("nobody", n=3)["source"]) == {"popularity"}
    assert model.recommend(n=1)["user_id"].to_list() == [None]


def test_nobody_asked_gets_an_empty_table(model: encore.Model) -> None:
    nothing = model.recommend([])
    assert nothing.is_empty()
    assert nothing.columns == ["user_id", "rank", "artist_id", "name", "score", "source"]


@pytest.mark.parametrize(
    ("users", "options", "message"),
    [
        ("u1", {"discover": 1}, "takes no discover; did you mean discovery"),
        ("u1", {"discovery": 2}, "discovery has to lie between 0 and 1, not 2"),
        ("u1", {"strategy": "best"}, "'best' is not a valid Strategy"),
        ("u1", {"n": 0}, "n has to be a whole number from 1 on, not 0"),
        ("u1", {"n": 2.5}, "n has to be a whole number from 1 on, not 2.5"),
        ([1, 2], {}, "ids are text, and this is int: 1"),
        (3, {}, r"users is 3; expected ids as text, such as \['3'\]"),
        ("u1", {"exclude": "i1"}, r"exclude is 'i1'; expected ids as text, such as \['i1'\]"),
        ("u1", {"candidates": 5}, "candidates is 5; expected ids"),
        (None, {"listens": ["i1"]}, "listens are artist ids with their plays, such as {'a1': 3}"),
        (None, {"listens": {"i1": -1}}, "above 0"),
        ("nobody", {"strategy": "als"}, "no listening history"),
    ],
)
def test_wrong_questions_are_refused(
    model: encore.Model, users: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(encore.EncoreError, match=message):
        model.recommend(users, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": 3}, "prepare takes no factor; did you mean factors"),
        ({"preset": "best"}, "there is no preset 'best'; known are default, reference"),
        ({"factors": "3"}, "factors has to be a whole number, not '3'"),
        ({"factors": 2.5}, "factors has to be a whole number, not 2.5"),
        ({"factors": True}, "factors has to be a whole number, not True"),
        ({"alpha": None}, "alpha has to be a number, not None"),
        ({"alpha": -1}, "alpha has to be above 0"),
        ({"weighting": "tf"}, "no weighting 'tf'; known are raw, binary"),
        (
            {"linear_rank": 4, "linear_weighting": "bm25"},
            "no linear_weighting 'bm25'; known are log",
        ),
        ({"linear_rank": 4.5}, "linear_rank has to be a whole number, not 4.5"),
        ({"regularization": 1, "relative_regularization": 1}, "regularization or relative_reg"),
        ({"min_user_records": 1000}, "min_user_records 1000, .* leave nothing"),
        ({"half_life": 3}, "a half-life needs the time of each record"),
    ],
)
def test_wrong_recipes_are_refused(
    board: pl.DataFrame, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(encore.EncoreError, match=message):
        encore.prepare(encore.read(board), **changes)


def test_calls_out_of_order_are_refused(board: pl.DataFrame) -> None:
    plays: Any = encore.read(board)
    frame: Any = board
    with pytest.raises(encore.EncoreError, match=r"prepare takes what read returns, .* DataFrame"):
        encore.prepare(frame)
    with pytest.raises(encore.EncoreError, match=r"fit takes what prepare returns, .* Plays"):
        encore.fit(plays)
    with pytest.raises(encore.EncoreError, match="measure takes what prepare returns"):
        encore.measure(plays)


def test_a_filter_after_the_preparation_is_refused(data: encore.Data) -> None:
    with pytest.raises(encore.EncoreError, match=r"top_users is a filter.* prepare"):
        encore.fit(data, top_users=3)


def test_hyperparameters_may_be_of_numpy_and_change_the_recipe(board: pl.DataFrame) -> None:
    plays = encore.read(board)
    data = encore.prepare(plays, factors=np.int64(3), alpha=np.float32(2.0), seed=5, top_users=None)
    assert (data.recipe.parameters.factors, data.recipe.parameters.alpha) == (3, 2.0)
    assert data.recipe.split.to_manifest()["seed"] == 5
    fixed = data.with_changes({"regularization": 0.5, "weighting": "log"}, "fit").parameters
    assert (fixed.regularization, fixed.regularization_is_relative) == (0.5, False)
    assert fixed.weighting == "log"
    linear = data.with_changes({"linear_rank": 4, "linear_weighting": "log"}, "fit").parameters
    assert linear.linear == LinearParameters(rank=4, weight=0.4, weighting=WeightingName.LOG)


def test_artists_known_by_name_are_left_out_while_reading(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["", "a"], "name": ["N", "A"]})
    with pytest.raises(encore.EncoreError, match=r"read\(drop_items_without_id=True\)"):
        encore.prepare(encore.read(frame), preset="reference")


@pytest.mark.slow
def test_a_published_model_is_that_of_the_command_line(
    board: pl.DataFrame, data: encore.Data, tmp_path: Path
) -> None:
    published = encore.fit(data).publish(tmp_path / "models")
    assert published.is_current
    mine = encore.load(tmp_path / "models", published.version)
    board.write_csv(tmp_path / "plays.csv")
    options = ["--factors", "2", "--iterations", "15", "--no-evaluation"]
    options += ["--models", str(tmp_path / "others")]
    source = ["--dataset", "table", "--data", str(tmp_path / "plays.csv")]
    assert main(["train", *source, *options]) == 0
    theirs = encore.load(tmp_path / "others")
    np.testing.assert_array_equal(mine.parts.item_factors, theirs.parts.item_factors)
    assert mine.card["parameters"] == theirs.card["parameters"]
    users = mine.users.to_list()
    assert mine.recommend(users).equals(theirs.recommend(users))
    theirs_of_data, mine_of_data = theirs.card["dataset"], mine.card["dataset"]
    assert {**mine_of_data, "sources": None} == {**theirs_of_data, "sources": None}
    with pytest.raises(encore.EncoreError, match="published already"):
        mine.publish(tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_the_models_folder_is_that_of_the_service(
    data: encore.Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCORE_MODELS", str(tmp_path / "models"))
    version = encore.fit(data).publish().version
    assert encore.load().parts.version == version
    monkeypatch.delenv("ENCORE_MODELS")
    monkeypatch.chdir(tmp_path)
    assert encore.load().parts.version == version


def test_a_missing_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(encore.EncoreError, match="there is no model in"):
        encore.load(tmp_path)
