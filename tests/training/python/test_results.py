from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import encore
from training.cli import main
from training.datasets.synthetic.timed_generator import generate_timed


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up sample with times, as CSV."""
    folder = tmp_path_factory.mktemp("sample")
    generate_timed(folder, users=60, artists=80, mean_artists_per_user=12, seed=1)
    records = encore.read(folder, dataset="synthetic").records
    path = folder / "plays.csv"
    pl.DataFrame(
        {
            "user_id": records.user_ids.gather(records.user_codes),
            "item_id": records.items.ids.gather(records.item_codes),
            "timestamp": records.timestamps,
        }
    ).write_csv(path)
    return path


@pytest.fixture(scope="module")
def data(plays: Path) -> encore.Data:
    """The sample, with a small model."""
    return encore.prepare(encore.read(plays), factors=8, iterations=3)


class Popular:
    """The popular artists whom a user does not have, as the service ranks them."""

    def fit(self, train: pl.DataFrame) -> None:
        self.train = train
        counts = train.group_by("artist_id").agg(pl.len(), pl.col("plays").sum())
        order = counts.sort("len", "plays", "artist_id", descending=[True, True, False])
        self.best = order["artist_id"].to_list()

    def recommend(self, user_ids: list[str], n: int) -> dict[str, list[str]]:
        seen = dict(self.train.group_by("user_id").agg("artist_id").iter_rows())
        return {
            user: [one for one in self.best if one not in seen.get(user, [])][:n]
            for user in user_ids
        }


@pytest.fixture(scope="module")
def results(data: encore.Data) -> encore.Results:
    """Measured with a contender that does what Encore's popularity does."""
    return encore.measure(data, {"mine": Popular()})


@pytest.mark.slow
def test_the_same_lists_of_ones_own_get_the_same_values(results: encore.Results) -> None:
    values = results.table.pivot("contender", index=["measure", "k"], values="value")
    assert values["mine"].to_list() == values["popularity"].to_list()
    assert results.figures.value("als", "ndcg") != results.figures.value("mine", "ndcg")


@pytest.mark.slow
def test_names_choose_contenders_of_encore(data: encore.Data) -> None:
    measured = encore.measure(data, ["ease", "popularity"], k=5)
    assert list(measured.figures.models) == ["ease", "popularity", "als"]
    assert measured.to_json()["asked"]["ease"]["search"]["tried"]
    with pytest.raises(encore.EncoreError, match="there is no contender 'eas'; did you mean"):
        encore.measure(data, ["eas"])
    with pytest.raises(encore.EncoreError, match="a dict from name to contender, or a list"):
        encore.measure(data, "ease")


def test_als_is_compared_with_each_of_the_others(results: encore.Results) -> None:
    compared = results.comparisons
    assert set(compared["first"]) == {"als"}
    others = ["item-knn", "mine", "popularity", "popularity with seen"]
    assert sorted(set(compared["second"])) == others
    assert compared.columns[-1] == "p_value"


@pytest.mark.slow
def test_own_contenders_see_the_training_part_alone(data: encore.Data) -> None:
    parts = []

    def spy(train: pl.DataFrame, user_ids: list[str], n: int) -> list[list[str]]:
        parts.append((train, user_ids, n))
        return [[] for _ in user_ids]

    measured = encore.measure(data, {"spy": spy})
    ((train, user_ids, n),) = parts
    fold = measured.measured.first.fold
    tested = fold.test.user_items
    pairs = set(train.select("user_id", "artist_id").iter_rows())
    assert tested.nnz > 100
    for user, item in zip(tested.row_of_each_pair(), tested.indices, strict=True):
        assert (fold.test.user_ids[int(user)], fold.test.item_ids[int(item)]) not in pairs
    assert len(pairs) + tested.nnz == len(data.pairs)
    assert n == 20
    assert len(user_ids) == measured.figures.users
    assert measured.figures.value("spy", "precision") == 0


@pytest.mark.slow
def test_short_long_and_unknown_lists_are_taken(data: encore.Data) -> None:
    def odd(train: pl.DataFrame, user_ids: list[str], n: int) -> dict[str, list[str]]:
        many = train["artist_id"].unique().sort().to_list()
        return {user_ids[0]: ["who is this", *many], user_ids[1]: many[:2], "nobody": many}

    lists = encore.measure(data, {"odd": odd}).measured.first.evaluation.lists["odd"]
    assert lists[0, 0] == -1
    assert (lists[0, 1:] >= 0).all()
    assert (lists[1] >= 0).tolist() == [True, True] + [False] * 18
    assert (lists[2:] == -1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contender", "message"),
    [
        (lambda _train, users, _n: {users[0]: ["a", "a"]}, "the list of 'mine' .* has 'a' twice"),
        (lambda _train, users, _n: {users[0]: [1]}, "holds 1; artist ids are text"),
        (lambda _train, users, _n: {users[0]: "abc"}, "is no list: 'abc'"),
        (lambda _train, users, _n: {users[0]: None}, "is no list: None"),
        (lambda train, users, _n: train.head(len(users)), "has to return a list for each of the"),
        (lambda _train, users, _n: users[:2], "has to return a list for each of the"),
        (lambda _train, _users, _n: None, "has to return a list for each of the"),
        (Popular, "is a class; give an object of it"),
        (7, "is neither a function"),
    ],
)
def test_what_is_no_list_is_refused(data: encore.Data, contender: Any, message: str) -> None:
    with pytest.raises(encore.EncoreError, match=message):
        encore.measure(data, {"mine": contender})


@pytest.mark.slow
def test_an_error_of_ones_own_comes_through(data: encore.Data) -> None:
    def broken(train: pl.DataFrame, user_ids: list[str], n: int) -> list[list[str]]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        encore.measure(data, {"mine": broken})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contenders": Popular()}, "give a dict from name to contender"),
        ({"contenders": {"als": Popular()}}, "has a contender 'als' already"),
        ({"k": 0}, "k has to lie between 1"),
        ({"repeats": 0}, "repeats has to be at least 1"),
        ({"sample_users": 0}, "a sample has to hold at least 1 user"),
        ({"split": "time"}, "there is no split 'time'; known are random, k-fold"),
        ({"split": "k-fold", "split_options": {"fold": 3}}, "takes no fold; did you mean folds"),
        ({"split": "k-fold", "split_options": {"folds": "3"}}, "folds has to be a whole number"),
        ({"split": "global-time", "split_options": {"at": "2009"}}, "at has to be a whole number"),
        ({"split_options": {"test_fraction": 2}}, "test_fraction has to lie between 0 and 1"),
        ({"min_user_records": 2}, "is a filter"),
        ({"factors": 0, "linear_rank": 0}, "factors has to be at least 1"),
    ],
)
def test_wrong_measurements_are_refused(
    data: encore.Data, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(encore.EncoreError, match=message):
        encore.measure(data, **options)


@pytest.mark.slow
def test_held_out_users_are_no_task_for_own_contenders(data: encore.Data) -> None:
    with pytest.raises(encore.EncoreError, match="nothing of held-out users"):
        encore.measure(data, {"mine": Popular()}, split="held-out-users")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        ({}, ""),
        (
            {"split": "random", "split_options": {"test_fraction": 0.4}},
            "random --test-fraction 0.4",
        ),
        ({"split": "k-fold", "split_options": {"folds": np.int64(2)}}, "k-fold --folds 2"),
        (
            {"split": "global-time", "split_options": {"at": datetime(2009, 1, 1, tzinfo=UTC)}},
            "global-time --at 2009-01-01T00:00:00",
        ),
    ],
)
def test_values_are_those_of_the_command_line(
    data: encore.Data, plays: Path, tmp_path: Path, asked: dict[str, Any], arguments: str
) -> None:
    command = ["evaluate", "--dataset", "table", "--data", str(plays), "--factors", "8"]
    command += ["--iterations", "3", "--json", str(tmp_path / "figures.json")]
    assert main(command + (["--split", *arguments.split()] if arguments else [])) == 0
    theirs = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    mine = json.loads(json.dumps(encore.measure(data, **asked).to_json()))
    assert mine == {name: theirs[name] for name in mine}


@pytest.mark.slow
def test_results_show_themselves(results: encore.Results) -> None:
    assert repr(results).splitlines()[0].endswith("users with test artists")
    assert "NDCG@10" in repr(results)
    html = results._repr_html_()
    assert html.count("<tr>") == len(results.figures.measures) + 1
    assert "<th>als</th>" in html


@pytest.mark.slow
def test_a_chart_has_a_line_for_each_contender_and_shows_itself(results: encore.Results) -> None:
    chart = results.plot("recall")
    (axes,) = chart.get_axes()
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    assert list(lines) == ["ALS", "popularity", "popularity with seen", "item-kNN", "mine"]
    assert lines["mine"].tolist() == [
        results.figures.value("mine", "recall", k) for k in (1, 5, 10, 15, 20)
    ]
    assert chart._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(encore.EncoreError, match="no curve of 'gini'; there are precision, recall"):
        results.plot("gini")


@pytest.mark.slow
def test_the_report_shows_ones_own_contender(results: encore.Results, tmp_path: Path) -> None:
    results.report(tmp_path / "report.html")
    assert "mine" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(encore.EncoreError, match="no such folder"):
        results.report(tmp_path / "missing" / "report.html")
