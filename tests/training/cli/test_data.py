from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.cli.commands import N_USERS, QUICK, error_of
from training.cli import main
from training.datasets import DATASETS


def test_datasets_states_source_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "--json"]) == 0
    known = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(known) == list(DATASETS)
    assert all(one["licence"] and one["source"] for one in known.values())
    assert main(["datasets"]) == 0
    assert "lastfm-360k" in capsys.readouterr().out


def test_generate_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--users", "5", "--artists", "60"]
    assert main(["generate", *size, "--out", str(tmp_path / "one"), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["users"], counts["artists"]) == (5, 60)
    assert main(["generate", *size, "--out", str(tmp_path / "other")]) == 0
    said = f"{counts['rows']} rows of 5 made-up users and 60 made-up artists written to "
    assert said in capsys.readouterr().out
    name = "usersha1-artmbid-artname-plays.tsv"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_generate_does_not_replace_a_sample_unasked(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["generate", "--users", str(N_USERS), "--out", str(sample)]
    assert main(tokens) == 1
    assert "holds a sample already" in error_of(capsys)


@pytest.mark.slow
def test_generate_makes_plays_with_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["generate", "--users", "20", "--artists", "60", "--timed", "--drift", "0.5"]
    assert main([*tokens, "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["users"] == 20
    assert json.loads((tmp_path / "synthetic.json").read_text())["generator"]["drift"] == 0.5
    evaluate = ["evaluate", "--dataset", "synthetic", "--data", str(tmp_path), "--split"]
    assert main([*evaluate, "global-time", "--half-life", "100", *QUICK]) == 0


def test_drift_wants_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--drift", "1", "--out", str(tmp_path / "out")]) == 1
    assert "--drift does nothing without --timed" in error_of(capsys)
    assert not (tmp_path / "out").exists()
