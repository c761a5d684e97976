"""Training and measuring models with a linear block, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.models_folder import ModelsFolder
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.training.cli.commands import error_of, of_sample
from training.cli import main


def train(sample: Path, models: Path, *options: str) -> int:
    return main(
        ["train", *of_sample(sample), "--models", str(models), "--iterations", "3", *options]
    )


@pytest.mark.parametrize(
    ("options", "kinds", "columns"),
    [
        (("--factors", "8", "--linear-rank", "6"), ["als", "linear"], [8, 6]),
        (("--factors", "0", "--linear-rank", "6"), ["linear"], [6]),
        (("--factors", "0", "--linear-rank", "4096"), ["linear"], None),
        (("--factors", "8", "--linear-rank", "0"), ["als"], [8]),
    ],
)
def test_a_published_model_has_the_blocks_that_were_asked_for(
    sample: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    kinds: list[str],
    columns: list[int] | None,
) -> None:
    weight = ["--linear-weight", "2.5"] if "linear" in kinds else []
    assert train(sample, tmp_path, *options, *weight, "--no-report", "--patience", "2") == 0
    folder = ModelsFolder(tmp_path)
    model = folder.open(folder.current() or "")
    assert [block.kind for block in model.blocks] == kinds
    lengths = [block.length for block in model.blocks]
    # A rank above what the data have is limited to their users or artists.
    assert lengths == columns or lengths[0] <= min(len(model.users), len(model.items))
    np.testing.assert_array_equal(model.fold_in(model.user_items), model.user_factors)
    answer = Recommender(model).recommend(Query(user_id=model.users.id(0)))
    assert (answer.source, len(answer.items)) == ("als", 10)
    entry = model.card["parameters"].get("linear")
    assert (entry is None) == (kinds == ["als"])
    if entry is not None:
        assert entry["weight"] == 2.5 == model.blocks[-1].parameters()["weight"]


def test_a_report_is_made_of_a_linear_block_alone(sample: Path, tmp_path: Path) -> None:
    assert train(sample, tmp_path, "--factors", "0", "--linear-rank", "6") == 0
    (report,) = tmp_path.glob("*/report.html")
    assert "linear" in report.read_text()


def test_evaluate_measures_both_blocks(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for name, options in {
        "als": ["--factors", "8", "--linear-rank", "0"],
        "linear": ["--factors", "0", "--linear-rank", "6"],
        "both": ["--factors", "8", "--linear-rank", "6"],
    }.items():
        tokens = ["evaluate", *of_sample(sample), *options, "--iterations", "3", "--json", "-"]
        assert main(tokens) == 0
        found[name] = json.loads(capsys.readouterr().out)
    ndcg = {name: one["models"]["als"]["ndcg"] for name, one in found.items()}
    assert len(set(ndcg.values())) == 3
    assert min(ndcg.values()) > 0.1
    assert [one["parameters"].get("linear", {}).get("rank") for one in found.values()] == [
        None,
        6,
        6,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--factors", "0", "--linear-rank", "0"),
            "factors has to be at least 1, not 0, in a model without a linear",
        ),
        (
            ("--linear-rank", "0", "--linear-share", "0.5"),
            "--linear-share does nothing without a linear block",
        ),
    ],
)
def test_options_that_make_no_model_are_refused(
    sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert main(["train", *of_sample(sample), "--models", str(tmp_path), *options]) == 1
    assert message in error_of(capsys)
