"""``docs/python.md``, and the wheel beside an ``app`` of somebody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from tests.server import serving
from training.datasets import load_dataset
from training.datasets.synthetic.timed_generator import generate_timed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(python: Path | str, *arguments: str, cwd: Path, **variables: str) -> str:
    """Runs a Python to its end, without the variables of Encore, and returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if "ENCORE_" not in name}
    ended = subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # Neither warnings nor bars.
    assert ended.stderr == ""
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plays, and packages of somebody else under the names of the clone."""
    sample, folder = tmp_path_factory.mktemp("sample"), tmp_path_factory.mktemp("theirs")
    generate_timed(sample, users=80, artists=100, mean_artists_per_user=15, seed=2)
    records = load_dataset("synthetic", sample)
    pl.DataFrame(
        {
            "who": records.user_ids.gather(records.user_codes),
            "artist": records.items.ids.gather(records.item_codes),
            "artist name": records.items.names.gather(records.item_codes),
            "at": records.timestamps,
        }
    ).write_csv(folder / "plays.csv")
    for name in ("app", "training"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('that of somebody else')\n")
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel is installed beside what it needs."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", symlinks=True)
    python = place / "venv/bin/python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"),
            *("--no-index", "--no-compile", "--disable-pip-version-check", str(wheel)),
        ],
        check=True,
        capture_output=True,
    )
    (packages,) = (place / "venv/lib").glob("python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    return python


def check_outputs(folder: Path, printed: str) -> None:
    assert "users with test artists" in printed
    assert "read takes no user_colum; did you mean user_column?" in printed
    assert (folder / "ndcg.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_page_runs_from_the_wheel_beside_an_app_of_somebody_else(
    folder: Path, installed: Path
) -> None:
    assert len(BLOCKS) >= 7
    asked = "import sys\nassert not {'app', 'training'} & sys.modules.keys()\n"
    check_outputs(folder, run(installed, "-c", "\n".join([*BLOCKS, asked]), cwd=folder))
    listed = run(installed, "-m", "encore.training", "models", "list", cwd=folder)
    assert "current" in listed
    with serving(
        folder / "models", python=str(installed), module="encore.app", cwd=str(folder)
    ) as server:
        status, answer = server.get("/recommend/nobody?n=2")
        assert (status, answer["source"]) == (200, "popularity")
        assert server.end()[0] == 0


@pytest.mark.slow
def test_the_wheel_loads_no_more_than_it_needs(folder: Path, installed: Path) -> None:
    loaded = "import sys, encore, encore.app.main; print(*sys.modules)"
    modules = {name.partition(".")[0] for name in run(installed, "-c", loaded, cwd=folder).split()}
    assert {"encore", "fastapi"} <= modules
    assert not modules & {"app", "training", "polars", "implicit", "scipy", "matplotlib"}


@pytest.mark.slow
def test_a_missing_extra_is_one_sentence(folder: Path, installed: Path) -> None:
    missing = "import sys; sys.modules['polars'] = None\nimport encore\n"
    told: Mapping[str, str] = {
        "encore.read": "encore.read needs the extra `training`, of which polars is not installed",
        "encore.reed": "module 'encore' has no attribute 'reed'",
    }
    for name, sentence in told.items():
        script = f"{missing}try:\n    {name}\nexcept Exception as error:\n    print(error)"
        assert sentence in run(installed, "-c", script, cwd=folder)
