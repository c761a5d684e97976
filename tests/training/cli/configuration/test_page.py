"""The page about the file: its example trains."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from app.artifacts.manifest import read_manifest
from app.artifacts.models_folder import ModelsFolder
from training.cli import main

ROOT = Path(__file__).parents[4]


@pytest.mark.slow
def test_the_example_of_the_page_trains_as_it_says(table: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "nightly.toml"
    path.write_text(example)
    table.write_text(table.read_text().replace("user_id", "listener").replace("item_id", "artist"))
    assert main(["train", "--config", str(path)]) == 0
    folder = ModelsFolder(tmp_path / "models")
    manifest = read_manifest(folder.place_of(str(folder.current())))
    recipe = tomllib.loads(example)["recipe"]
    assert manifest["parameters"]["factors"] == recipe["factors"]
    assert manifest["parameters"]["weighting"] == recipe["weighting"]
    assert manifest["parameters"]["seed"] == recipe["seed"]
    assert json.loads((tmp_path / "figures.json").read_text())["version"] == folder.current()
