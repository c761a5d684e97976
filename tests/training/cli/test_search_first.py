"""``train --search 5m``: hyperparameters are searched before the training."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import read_report
from tests.builders import interactions_of
from tests.training.cli.commands import error_of, of_sample
from tests.training.cli.configuration.printed import config, holds
from training.cli import main
from training.datasets import load_dataset
from training.errors import TrainingError
from training.pipeline import prepare
from training.presets import DEFAULT, REFERENCE
from training.tuning.best import search_for, with_winner
from training.tuning.trials import Search, Trial


@pytest.mark.slow
def test_the_winner_of_a_search_is_measured_trained_and_shown(
    sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "left"))
    (tmp_path / "left").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    tokens = ["--models", str(tmp_path / "models"), "--search", "1s", "--split", "k-fold"]
    out = tmp_path / "x.json"
    assert main(["train", *of_sample(sample), *tokens, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    found = result["search"]
    assert found["objective"] == "NDCG@10"
    winner = found["winner"]
    assert winner["ndcg"] == max(trial["ndcg"] for trial in found["trials"])
    for name in ("alpha", "factors", "iterations", "relative_regularization", "weighting"):
        assert result["parameters"][name] == winner[name]
    assert result["parameters"]["linear"]["rank"] == winner["linear_rank"]
    # The search has seen pairs of the test parts of the other folds.
    assert result["metrics"]["folds"] == 1
    folder = ModelsFolder(tmp_path / "models")
    version = folder.current()
    assert version is not None
    assert folder.open(version).card["recipe"].startswith("searched: the best of ")
    report = read_report(folder.place_of(version))
    assert report is not None
    assert b"trial" in report
    shown = capsys.readouterr().out
    assert "The best of " in shown
    assert list((tmp_path / "left").glob("encore-search-*")) == []


def test_a_file_of_options_has_a_time_or_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, '[publish]\nsearch = "1h30m"\n')
    assert holds(capsys, "--config", str(path))["search"] == "5400s"
    path = config(tmp_path, '[publish]\nsearch = "found/best.search"\n')
    tokens = ["train", "--dataset", "synthetic", "--config", str(path)]
    assert main(tokens) == 1
    # Paths count from the folder of the file.
    assert f"{tmp_path}/found/best.search: there is no such search" in error_of(capsys)
    path = config(tmp_path, "[publish]\nsearch = 5\n")
    assert main(tokens) == 1
    assert "5: there is no such search" in error_of(capsys)


@pytest.mark.slow
def test_a_search_of_a_moment_tries_the_preset(sample: Path) -> None:
    interactions = prepare(load_dataset("synthetic", sample), DEFAULT).interactions
    found = search_for(timedelta(microseconds=1), interactions, DEFAULT, k=10)
    assert len(found.trials) == 1
    best = with_winner(REFERENCE, found)
    assert best.parameters.factors == DEFAULT.parameters.factors
    assert best.filters == REFERENCE.filters
    assert best.parameters.iterations == found.winner.iterations


def test_a_search_without_a_hit_has_no_winner() -> None:
    trial = Trial(0, {}, ndcg=0.0, curve=[0.0], pruned=False, seconds=1.0)
    found = Search([trial], best=0, k=10, users=3, space={})
    with pytest.raises(TrainingError, match="after 1 trial no list has a validation artist"):
        with_winner(DEFAULT, found)


def test_a_search_on_too_few_data_is_refused() -> None:
    few = interactions_of([[1.0, 2.0], [3.0, 0.0]])
    with pytest.raises(TrainingError):
        search_for(timedelta(seconds=1), few, DEFAULT, k=10)
