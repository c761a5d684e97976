from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.cli.commands import (
    N_USERS,
    QUICK,
    error_of,
    of_sample,
    of_table,
    write_pairs,
)
from training.cli import main
from training.measuring.experiment import TRAINED_IN
from training.measuring.measures import MEASURES

CONTENDERS = ["popularity", "popularity with seen", "item-knn", "als"]


def evaluate(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, Any]:
    """Returns what the command prints as JSON."""
    assert main(["evaluate", *QUICK, *tokens, "--json", "-"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.slow
def test_the_json_has_all_that_was_measured(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(capsys, *of_sample(sample))
    assert set(result) == {
        *("dataset", "split", "k", "folds", "users", "users_with_test", "models", "asked"),
        *("intervals", "at", "comparisons", "bands", "parameters"),
    }
    assert result["dataset"] == "synthetic"
    assert result["split"] == {
        "name": "random per user",
        "test_fraction": 0.2,
        "min_items": 5,
        "seed": 0,
    }
    assert (result["k"], result["folds"]) == (10, 1)
    assert 50 < result["users"] == result["users_with_test"] <= N_USERS
    assert list(result["models"]) == list(result["at"]) == CONTENDERS
    assert all(list(figures) == list(MEASURES) for figures in result["models"].values())
    assert list(result["at"]["als"]) == ["1", "5", "10", "15", "20"]
    assert result["at"]["als"]["10"] == result["models"]["als"]
    low, high = result["intervals"]["als"]["ndcg"]
    assert low < result["models"]["als"]["ndcg"] < high
    assert {one["second"] for one in result["comparisons"]} == set(CONTENDERS) - {"als"}
    assert set(result["bands"]) == {"users", "artists"}
    assert result["parameters"]["factors"] == 8


@pytest.mark.slow
def test_the_tables_show_the_same_figures(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluate(capsys, *of_sample(sample))
    assert main(["evaluate", *QUICK, *of_sample(sample)]) == 0
    shown = capsys.readouterr()
    assert f"Measured at k = 10 on {result['users']} users with test artists" in shown.out
    for name in CONTENDERS:
        assert f"{result['models'][name]['ndcg']:.4f} ±" in shown.out
    assert "als beats popularity" in shown.out
    # What goes on is told on stderr.
    assert "ALS iterations" in shown.err
    assert "ALS iterations" not in shown.out


@pytest.mark.slow
def test_contenders_are_chosen_by_name_and_search_their_options(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = [*of_sample(sample), "--contenders", "ease, item-knn-searched,item-knn", "--k", "5"]
    result = evaluate(capsys, *tokens)
    assert list(result["models"]) == ["ease", "item-knn-searched", "item-knn", "als"]
    assert "search" not in result["asked"]["item-knn"]
    for name in ("ease", "item-knn-searched"):
        asked = result["asked"][name]
        best = dict(max(asked["search"]["tried"], key=lambda one: one["ndcg"]))
        assert asked["search"]["ndcg"] == best.pop("ndcg")
        assert all(asked.get(option, 0.0) == value for option, value in best.items())
        assert asked["search"]["objective"] == "NDCG@5"
    assert main(["evaluate", *QUICK, *tokens]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"ease: relative regularization {result['asked']['ease']['relative_regularization']:g}"
        in (shown)
    )
    assert evaluate(capsys, *tokens) == result


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("item-knn,eese", "there is no contender 'eese'; did you mean 'ease'?"),
        (" , ", "--contenders names none; known are popularity,"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_wrong_contender_is_refused_before_the_data_are_read(
    command: str, names: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *of_table(tmp_path / "missing.csv"), "--contenders", names]) == 1
    assert message in error_of(capsys)


@pytest.mark.slow
def test_a_file_gets_what_stdout_would_get(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    printed = evaluate(capsys, *of_sample(sample))
    assert main(["evaluate", *QUICK, *of_sample(sample), "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == printed
    shown = capsys.readouterr().out
    assert shown.endswith(f"the figures are in {out}\n")
    assert "Precision" in shown


@pytest.mark.slow
def test_folds_are_told_one_by_one(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluate(capsys, *of_sample(sample), "--split", "k-fold", "--folds", "3")
    assert result["split"] == {"name": "k-fold", "n_folds": 3, "seed": 0}
    assert result["folds"] == 3
    by_fold = [one["als"]["ndcg"] for one in result["repeats"]]
    assert result["models"]["als"]["ndcg"] == pytest.approx(np.mean(by_fold))


@pytest.mark.slow
def test_repeats_are_means_of_several_splits(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(capsys, *of_sample(sample), "--repeats", "2")
    assert result["split"]["repeats"] == 2
    by_repeat = [one["als"]["ndcg"] for one in result["repeats"]]
    assert by_repeat[0] != by_repeat[1]
    assert result["models"]["als"]["ndcg"] == pytest.approx(np.mean(by_repeat))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tokens", "split"),
    [
        (["--split", "global-time"], {"name": "global time", "test_fraction": 0.2, "at": None}),
        (
            ["--split", "global-time", "--at", "2009-03-01"],
            {"name": "global time", "test_fraction": 0.2, "at": 1_235_865_600},
        ),
        (["--split", "leave-last-out"], {"name": "leave last out", "min_items": 2}),
    ],
)
def test_splits_by_time(
    timed_table: Path,
    tokens: list[str],
    split: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = evaluate(capsys, *of_table(timed_table), *tokens)
    assert result["split"] == split
    assert result["users"] > 5
    assert result["models"]["als"]["ndcg"] > 0


@pytest.mark.slow
def test_held_out_users_are_measured_folded_in_and_trained_in(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["--split", "held-out-users", "--test-fraction", "0.5"]
    result = evaluate(capsys, *of_sample(sample), *tokens)
    assert result["split"]["user_fraction"] == 0.5
    assert list(result["models"]) == [*CONTENDERS, TRAINED_IN]
    assert result["users"] == pytest.approx(N_USERS / 2, abs=2)


@pytest.mark.slow
def test_the_size_of_a_sample_of_users_is_told(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(capsys, *of_sample(sample), "--sample-users", "20")
    assert result["users"] == 20
    assert result["users_with_test"] > 50
    assert main(["evaluate", *QUICK, *of_sample(sample), "--sample-users", "20"]) == 0
    assert f"on 20 of {result['users_with_test']} users" in capsys.readouterr().out


@pytest.mark.slow
def test_convergence_and_the_discovery_dial_are_measured_if_asked_for(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = evaluate(capsys, *of_sample(sample))
    tokens = ["--convergence", "--discovery-curve"]
    result = evaluate(capsys, *of_sample(sample), *tokens)
    convergence, discovery = result.pop("convergence"), result.pop("discovery")
    assert result == plain
    assert len(convergence["ndcg"]) == 3
    assert (convergence["k"], convergence["patience"]) == (10, None)
    assert [point["discovery"] for point in discovery] == [0, 0.1, 0.25, 0.5, 0.75, 1]
    assert discovery[0]["ndcg"] == plain["models"]["als"]["ndcg"]
    assert main(["evaluate", *QUICK, *of_sample(sample), *tokens]) == 0
    shown = capsys.readouterr().out
    assert "after each iteration; best after" in shown
    assert "Lists of als by setting of the discovery dial" in shown


@pytest.mark.slow
def test_patience_ends_the_training_early(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["--iterations", "50", "--patience", "2"]
    assert main(["evaluate", "--factors", "8", *of_sample(sample), *tokens, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["convergence"]["patience"] == 2
    assert len(result["convergence"]["ndcg"]) < 50
    assert result["parameters"]["iterations"] == result["convergence"]["iterations"] < 50


@pytest.mark.slow
def test_a_file_of_options_is_taken_and_the_command_line_wins(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "best.toml"
    config.write_text('weighting = "log"\nfactors = 5\nalpha = 2.5\nrelative_regularization = 0.3')
    result = evaluate(capsys, *of_sample(sample), "--config", str(config))
    parameters = result["parameters"]
    assert (parameters["weighting"], parameters["alpha"]) == ("log", 2.5)
    assert parameters["relative_regularization"] == 0.3
    assert (parameters["factors"], parameters["iterations"]) == (8, 3)


def test_a_file_of_options_with_a_typo_is_refused_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "best.toml"
    config.write_text("factor = 5")
    tokens = [*of_table(tmp_path / "missing.csv"), "--config", str(config)]
    assert main(["evaluate", *tokens]) == 1
    assert f"{config}: there is no option 'factor'; did you mean 'factors'?" in error_of(capsys)


@pytest.mark.slow
def test_reference_preset_takes_the_studys_steps(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *of_sample(sample), "--preset", "reference", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parameters"]["weighting"] == "raw"
    assert result["asked"]["popularity"] == {
        "strategy": "popularity",
        "popularity_by": "plays",
        "include_seen": True,
        "discovery": 0.0,
    }
    assert result["asked"]["popularity without seen"]["include_seen"] is False
    # Seen artists stay in: everyone gets the same ten.
    assert result["models"]["popularity"]["coverage_items"] == 10


def test_a_cut_off_above_the_catalogue_is_refused(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *of_table(table), *QUICK, "--k", "10"]) == 1
    assert "k has to lie between 1 and the 9 artists of the training part, not 10" in (
        error_of(capsys)
    )


def test_too_few_pairs_for_the_folds_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_pairs(tmp_path / "few.csv", [(1, 1), (1, 2), (2, 1)])
    assert main(["evaluate", *of_table(table), "--split", "k-fold", "--k", "1"]) == 1
    assert "5 folds cannot be made of 3 pairs of user and artist; ask for fewer" in (
        error_of(capsys)
    )


def test_repeats_of_a_split_that_draws_nothing_are_refused(
    timed_table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["--split", "leave-last-out", "--repeats", "2"]
    assert main(["evaluate", *of_table(timed_table), *QUICK, *tokens]) == 1
    assert "'leave last out' draws nothing" in error_of(capsys)


def test_a_file_that_cannot_be_written_is_refused_before_the_data_are_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "--json", "/no/such/folder/x.json"]) == 1
    assert "/no/such/folder: there is no such folder" in error_of(capsys)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
@pytest.mark.parametrize("split", ["k-fold", "held-out-users"])
def test_fresh_processes_print_the_same_bytes_whatever_the_threads(
    sample: Path, split: str
) -> None:
    # So many factors that BLAS would share the work out.
    size = ["--factors", "128", "--iterations", "3", "--split", split, "--convergence"]
    tokens = [*of_sample(sample), *size, "--discovery-curve", "--json", "-"]

    def run(threads: str, cores: set[int]) -> bytes:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return subprocess.run(
            [sys.executable, "-m", "training", "evaluate", *tokens],
            env=os.environ | dict.fromkeys(names, threads),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    cores = os.sched_getaffinity(0)
    alone, together = run("1", {min(cores)}), run("3", cores)
    assert json.loads(alone)["models"]["als"]["ndcg"] > 0
    assert alone == together
