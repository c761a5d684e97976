from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from app.artifacts.models_folder import ModelsFolder
from tests.training.cli.commands import SPACE, error_of, of_sample, of_table, write_pairs
from training.cli import main
from training.tuning.state import read_search

pytestmark = pytest.mark.slow  # all of it makes models or pages


@pytest.fixture(scope="module")
def tuned(sample: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a search of three trials left; not to be written to."""
    folder = tmp_path_factory.mktemp("tuned")
    assert tune(sample, folder, space, "--trials", "3", "--json", str(folder / "best.json")) == 0
    return folder


@pytest.fixture
def same(sample: Path, tuned: Path, space: Path) -> list[str]:
    """The options of that search."""
    return [*of_sample(sample), "--out", str(tuned / "best.toml"), "--space", str(space)]


def tune(sample: Path, folder: Path, space: Path, *more: str) -> int:
    out = ["--out", str(folder / "best.toml"), "--space", str(space)]
    return main(["tune", *of_sample(sample), *out, *more])


def figures_of(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "best.json").read_text())
    return result


def parameter_of(result: dict[str, Any], option: str) -> Any:
    """The value of an option of the recipe in what a command prints."""
    block, _, name = option.partition("_")
    if block == "linear":
        return result["parameters"]["linear"][name]
    return result["parameters"][option]


def test_the_winner_is_written_with_a_word_on_where_it_comes_from(tuned: Path) -> None:
    text = (tuned / "best.toml").read_text()
    assert text.startswith("# The best of 3 trials on synthetic, ")
    winner = figures_of(tuned)["search"]["winner"]
    options = {name: value for name, value in winner.items() if name not in {"number", "ndcg"}}
    assert tomllib.loads(text) == {"recipe": options}
    assert {"weighting", "factors", "relative_regularization", "alpha", "iterations"} <= set(
        options
    )
    assert f"NDCG@10 {winner['ndcg']:.4f} on " in text.splitlines()[0]


def test_the_json_has_the_search_and_what_the_winner_does_on_the_test_part(tuned: Path) -> None:
    result = figures_of(tuned)
    assert result["dataset"] == "synthetic"
    assert len(result["search"]["trials"]) == 3
    assert result["search"]["space"]["factors"] == "4 to 8, by logarithm"
    assert result["models"]["als"]["ndcg"] > 0
    for name, value in tomllib.loads((tuned / "best.toml").read_text())["recipe"].items():
        assert parameter_of(result, name) == value


def test_evaluate_takes_the_winner_and_measures_the_same(
    sample: Path, tuned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    tokens = ["--config", str(tuned / "best.toml"), "--json", str(out)]
    assert main(["evaluate", *of_sample(sample), *tokens]) == 0
    result = json.loads(out.read_text())
    tuned_result = figures_of(tuned)
    del tuned_result["search"]
    assert result == tuned_result


def test_train_takes_the_winner_as_well(
    sample: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tuned / "best.toml"
    tokens = ["--config", str(config), "--factors", "5", "--models", str(tmp_path)]
    assert main(["train", *of_sample(sample), *tokens, "--no-evaluation", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["version"] == ModelsFolder(tmp_path).current()
    expected = tomllib.loads(config.read_text())["recipe"] | {"factors": 5}
    assert {name: parameter_of(result, name) for name in expected} == expected


def test_train_takes_the_winner_of_a_search_of_the_linear_block(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "linear.toml"
    space.write_text('blocks = ["linear"]\nlinear_rank = [4, 8]\n')
    assert tune(sample, tmp_path, space, "--trials", "2") == 0
    winner = tomllib.loads((tmp_path / "best.toml").read_text())["recipe"]
    assert winner["factors"] == 0
    assert "weighting" not in winner
    models = tmp_path / "models"
    tokens = ["--config", str(tmp_path / "best.toml"), "--models", str(models)]
    assert main(["train", *of_sample(sample), *tokens, "--no-evaluation"]) == 0
    capsys.readouterr()
    folder = ModelsFolder(models)
    model = folder.open(folder.find())
    assert model.als is None
    assert model.linear is not None
    assert model.item_factors.shape[1] == winner["linear_rank"]


@pytest.mark.slow
def test_a_search_goes_on_where_it_was(
    sample: Path, tuned: Path, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(sample, tmp_path, space, "--trials", "2") == 0
    capsys.readouterr()
    assert tune(sample, tmp_path, space, "--trials", "3") == 0
    shown = capsys.readouterr()
    assert [line[:8] for line in shown.err.splitlines() if line.startswith("trial ")] == [
        f"trial {number}:" for number in range(3)
    ]
    assert "The best of 3 trials" in shown.out
    one, other = (read_search(folder / "best.search") for folder in (tmp_path, tuned))
    assert [(trial.parameters, trial.curve) for trial in one.trials] == [
        (trial.parameters, trial.curve) for trial in other.trials
    ]
    assert (tmp_path / "best.toml").read_text() == (tuned / "best.toml").read_text()


def test_the_json_on_stdout_is_nothing_but_json(
    same: list[str], tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The search is over: this only tells of it.
    assert main(["tune", *same, "--trials", "3", "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == figures_of(tuned)
    assert "trial 2: " in shown.err


def test_a_search_says_what_it_finds(
    same: list[str], tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", *same, "--trials", "3"]) == 0
    shown = capsys.readouterr()
    best = figures_of(tuned)["search"]["winner"]
    assert f"best {best['ndcg']:.4f} (trial {best['number']})" in shown.err
    out = tuned / "best.toml"
    assert f"the winner is in {out}; use it with `train --config {out}`\n" in shown.out
    assert "Measured at k = 10 on" in shown.out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--seed", "1"], "on other data (or another split of them) and with another --seed"),
        (["--k", "5"], "with another --k"),
        (["--min-user-records", "15"], "on other data"),
        (["--split", "k-fold"], "on other data (or another split of them)"),
        (
            ["--validation-users", "9"],
            "on other data (or another split of them) and with another number of validation users",
        ),
    ],
)
def test_a_search_is_not_mixed_with_another(
    same: list[str],
    tuned: Path,
    changes: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (tuned / "best.search").read_bytes()
    assert main(["tune", *same, "--trials", "4", *changes]) == 1
    said = error_of(capsys)
    assert f"{tuned / 'best.search'} belongs to a search {message}" in said
    assert "name another file" in said
    assert (tuned / "best.search").read_bytes() == before


def test_a_search_is_not_continued_in_another_space(
    same: list[str], tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = tmp_path / "wider.toml"
    wider.write_text(SPACE.replace("8", "9"))
    tokens = [str(wider) if token.endswith("space.toml") else token for token in same]
    assert main(["tune", *tokens, "--trials", "4"]) == 1
    assert f"{tuned / 'best.search'} belongs to a search in another space" in error_of(capsys)


def test_a_search_is_not_continued_on_other_data(
    tuned: Path, timed_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tuned / "best.search"), "--out", str(tmp_path / "best.toml")]
    assert main(["tune", *of_table(timed_table), *state]) == 1
    assert "belongs to a search on other data" in error_of(capsys)
    assert not (tmp_path / "best.toml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factor = [4, 8]", "there is no 'factor'; known are weighting, k1, b, factors"),
        ("factors = [8, 4]", "the lower bound comes first: [4, 8]"),
        ("factors = ", "is not TOML"),
    ],
)
def test_a_bad_space_is_refused_before_the_data_are_read(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text(text)
    out = ["--out", str(tmp_path / "best.toml"), "--space", str(space)]
    assert main(["tune", *of_table(tmp_path / "missing.csv"), *out]) == 1
    said = error_of(capsys)
    assert str(space) in said
    assert message in said
    assert [path.name for path in tmp_path.iterdir()] == ["space.toml"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--out", "best.search"], "best.search is named for two outputs"),
        (["--out", "best.toml", "--state", "best.toml"], "best.toml is named for two outputs"),
        (["--out", "best.toml", "--json", "./best.toml"], "best.toml is named for two outputs"),
        (["--out", "."], "is a folder; name a file in it"),
        (["--out", "nowhere/best.toml"], "nowhere: there is no such folder"),
        (["--out", "best.toml", "--json", "nowhere/x.json"], "nowhere: there is no such folder"),
        (["--out", "best.toml", "--state", "nowhere/x"], "nowhere: there is no such folder"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_the_data_are_read(
    tokens: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Was wrong: the winner was written over the search itself, and a folder raised ValueError.
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *of_table(tmp_path / "missing.csv"), *tokens]) == 1
    assert message in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_no_search_is_refused_and_stays(
    sample: Path, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "diary.txt"
    state.write_text("Dear diary")
    assert tune(sample, tmp_path, space, "--state", str(state)) == 1
    assert f"{state} holds no search" in error_of(capsys)
    assert state.read_text() == "Dear diary"


def test_a_ready_made_split_is_searched_in_its_training_part(
    parts: list[str], space: Path, tmp_path: Path
) -> None:
    files = ["--out", str(tmp_path / "best.toml"), "--json", str(tmp_path / "best.json")]
    tokens = [*parts, "--space", str(space), "--trials", "1", "--k", "1"]
    assert main(["tune", *tokens, *files]) == 0
    result = figures_of(tmp_path)
    assert result["split"]["name"] == "ready-made"
    assert result["users"] == 13
    assert result["models"]["als"]["precision"] > 0.8


def test_without_a_test_part_the_winner_is_not_measured(
    parts: list[str], space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = [*parts[:2], "--space", str(space), "--trials", "1", "--k", "1"]
    assert main(["tune", *tokens, "--out", str(tmp_path / "best.toml"), "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"dataset", "search"}
    assert (tmp_path / "best.toml").exists()
    assert main(["tune", *tokens, "--out", str(tmp_path / "best.toml")]) == 0
    shown = capsys.readouterr().out
    assert "60 training pairs of 12 users and 12 artists; without --test nothing" in shown
    assert "Measured" not in shown


@pytest.mark.slow
def test_the_same_training_part_gives_the_same_winner_with_and_without_a_test_part(
    parts: list[str], space: Path, tmp_path: Path
) -> None:
    # The test part is not looked at in the search.
    winners = []
    for name, tokens in (("with", parts), ("without", parts[:2])):
        out = tmp_path / f"{name}.toml"
        more = ["--space", str(space), "--trials", "2", "--k", "1", "--out", str(out)]
        assert main(["tune", *tokens, *more]) == 0
        winners.append(tomllib.loads(out.read_text()))
    assert winners[0] == winners[1]


def test_a_cut_off_above_the_catalogue_is_refused_before_the_search(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: refused at the end, when the winner was measured.
    out = ["--out", str(tmp_path / "best.toml")]
    assert main(["tune", *of_table(table), *out, "--k", "10"]) == 1
    assert "between 1 and the 9 artists of the training part, not 10" in error_of(capsys)
    assert not (tmp_path / "best.search").exists()


def test_data_too_few_for_a_validation_part_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_pairs(tmp_path / "train.csv", [(1, 1), (1, 2), (2, 1)])
    out = ["--out", str(tmp_path / "best.toml")]
    assert main(["tune", "--train", str(train), *out, "--k", "1"]) == 1
    assert "no user has the 3 artists that the split asks for" in error_of(capsys)


def test_where_no_trial_finds_anything_there_is_no_winner(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: the first of them was written as the winner.
    space = tmp_path / "space.toml"
    space.write_text('alpha = [1e39, 1e39]\nweighting = ["raw"]\n')
    assert tune(sample, tmp_path, space, "--trials", "1") == 1
    assert "after 1 trial no list has a validation artist" in error_of(capsys)
    assert not (tmp_path / "best.toml").exists()


def test_minutes_are_a_budget_of_their_own(
    sample: Path, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(sample, tmp_path, space, "--minutes", "0.0001") == 0
    assert "The best of 1 trial " in capsys.readouterr().out
