import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.events.event import Event
from app.events.event_types import DEFAULT_RULES, EventRules, EventType
from app.model.watermark import Watermark
from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from app.store.activity_reading import read_activity
from app.store.sqlite import SqliteEventStore
from tests.builders import (
    checkerboard_interactions,
    dense_of,
    interactions_of,
    publish_small,
    random_model,
    small_model,
)
from training.errors import TrainingError
from training.publishing.export import export


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv"])
def test_exported_lists_equal_the_recommenders(
    rng: np.random.Generator, tmp_path: Path, ending: str
) -> None:
    model = random_model(rng, list_length=5)
    out = tmp_path / f"lists{ending}"
    assert export(model, out, n=7) == 30
    if ending == ".parquet":
        table = pl.read_parquet(out)
    else:
        table = pl.read_csv(out, separator="\t" if ending == ".tsv" else ",")
    recommender = Recommender(model)
    for user in ("u0", "u17", "u29"):
        answer = recommender.recommend(Query(user_id=user, n=7))
        rows = table.filter(pl.col("user_id") == user).sort("rank")
        assert rows["artist_id"].to_list() == [model.items.id(item) for item in answer.items]
        assert rows["name"].to_list() == [model.item_names[item] for item in answer.items]
        assert rows["source"].to_list() == [str(source) for source in answer.sources]
        scores = [None if math.isnan(score) else score for score in answer.scores]
        assert rows["score"].to_list() == pytest.approx(scores, rel=1e-6)
    assert list(tmp_path.iterdir()) == [out]


def test_events_count_and_whoever_was_erased_gets_no_list(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    model = random_model(rng, list_length=5)
    store = SqliteEventStore(tmp_path / "encore.db")
    top = Recommender(model).recommend(Query("u3", n=3)).items
    best, second, played = (model.items.id(item) for item in top)
    store.append([Event("u3", played), Event("u4", played), Event("stranger", played)], 1)
    store.erase("u0", 2)
    store.erase("u4", 2)
    store.append([Event("u4", played)], 3)
    store.set_available(best, is_available=False)
    out = tmp_path / "lists.parquet"
    assert export(model, out, n=7, store=store) == 29
    lists = {
        user: table.sort("rank") for (user,), table in pl.read_parquet(out).group_by("user_id")
    }
    assert set(lists) == {f"u{user}" for user in range(1, 30)}
    recommender = Recommender(model, availability=Availability.of(1, [best], model.items))
    for user in ("u3", "u4", "u5"):
        activity = read_activity(store, user, DEFAULT_RULES, 9)
        answer = recommender.recommend(Query(user, n=7, activity=activity))
        expected = [model.items.id(item) for item in answer.items]
        assert lists[user]["artist_id"].to_list() == expected
        assert best not in expected
    assert set(lists["u3"]["source"]) == set(lists["u4"]["source"]) == {"fold_in"}
    assert second in lists["u3"]["artist_id"]
    # In a model trained after the erasure, the same id is a new user.
    aware = replace(model, watermark=Watermark(store.id, store.last_sequence()))
    assert export(aware, out, n=7, store=store) == 30
    store.close()


def test_events_count_by_the_rules_that_are_given(rng: np.random.Generator, tmp_path: Path) -> None:
    model = random_model(rng)
    store = SqliteEventStore(tmp_path / "encore.db")
    seen = model.user_items.row(3)[0]
    new = next(item for item in range(len(model.items)) if item not in seen)
    store.append([Event("u3", model.items.id(new), EventType.LIKE)], 1)
    rules, out = EventRules(like=50.0), tmp_path / "lists.parquet"
    export(model, out, n=7, store=store, rules=rules)
    listed = pl.read_parquet(out).filter(pl.col("user_id") == "u3").sort("rank")
    activity = read_activity(store, "u3", rules, 9)
    answer = Recommender(model).recommend(Query("u3", n=7, activity=activity))
    assert listed["artist_id"].to_list() == [model.items.id(item) for item in answer.items]
    np.testing.assert_array_equal(listed["score"].to_numpy(), np.array(answer.scores, np.float32))
    store.close()


def test_another_ending_is_refused_before_anything_is_written(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"lists\.xlsx: expected a name ending in \.parquet"):
        export(random_model(rng), tmp_path / "lists.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(rng: np.random.Generator, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere: there is no such folder"):
        export(random_model(rng), tmp_path / "nowhere" / "lists.csv")


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_full_disk_is_named_and_leaves_nothing(
    rng: np.random.Generator, tmp_path: Path, ending: str
) -> None:
    # Was wrong: polars' own exception came through, or an error without the path. The limit on
    # the size of a file stands for the disk: writing fails in the kernel.
    models, out = tmp_path / "models", tmp_path / f"lists{ending}"
    publish_small(random_model(rng, n_users=300), models)
    script = (
        "import resource, sys; from training.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        f"sys.exit(main(['export', '--models', {str(models)!r}, '--out', {str(out)!r}]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert f"error: {out} cannot be written: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\uff1dx", "=a,b", '="q"', "=t\ty"]


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_spreadsheet_finds_no_formula_in_a_safe_table(tmp_path: Path, ending: str) -> None:
    ids = [*FORMULAS, *(f"plain={number}" for number in range(20 - len(FORMULAS)))]
    plays = checkerboard_interactions(20).user_items
    model = small_model(interactions_of(dense_of(plays), user_ids=ids, item_ids=ids))
    tables = {}
    for safe in (False, True):
        out = tmp_path / f"lists-{safe}{ending}"
        export(model, out, n=20, safe_csv=safe)
        separator = "\t" if ending == ".tsv" else ","
        tables[safe] = pl.read_csv(out, separator=separator, schema_overrides={"name": pl.String})
    for column in ("user_id", "artist_id", "name"):
        plain, safe_cells = tables[False][column].to_list(), tables[True][column].to_list()
        assert {*plain} & {*FORMULAS, *(f"name of {one}" for one in FORMULAS)}
        assert safe_cells == [f"'{one}" if one in FORMULAS else one for one in plain]
    for column in ("rank", "score", "source"):
        assert tables[False][column].to_list() == tables[True][column].to_list()


def test_parquet_has_no_formulas(rng: np.random.Generator, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"--safe-csv is for \.csv and \.tsv"):
        export(random_model(rng), tmp_path / "lists.parquet", safe_csv=True)
