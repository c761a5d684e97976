from __future__ import annotations

from pathlib import Path

import pytest

from app.model.weighting import WeightingName
from training.cli.options import RecipeOptions
from training.configuration import read_configuration, write_configuration
from training.errors import TrainingError, WriteError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    values = {"weighting": "log", "factors": 96, "relative_regularization": 0.31, "alpha": 5.0}
    write_configuration(path, values, ["The best of 40 trials."])
    assert path.read_text().startswith("# The best of 40 trials.\n")
    read = read_configuration(path, RecipeOptions)
    assert read == values
    assert read["weighting"] is WeightingName.LOG


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factor = 3", "there is no option 'factor'; known are preset, seed, "),
        ('factors = "many"', "factors: input should be a valid integer"),
        ('weighting = "bm26"', "weighting: input should be 'raw'"),
        ("factors = ", "is not TOML"),
        ("[als]\nfactors = 3", "there is no option 'als'"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "best.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message) as refusal:
        read_configuration(path, RecipeOptions)
    assert str(path) in str(refusal.value)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        write_configuration(tmp_path / "missing" / "best.toml", {"factors": 3}, [])
    assert list(tmp_path.iterdir()) == []
