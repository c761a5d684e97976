from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What only training, tests or other extras want.
FOREIGN = frozenset(
    [
        "training",
        "cyclopts",
        "httpx2",
        "implicit",
        "jinja2",
        "joblib",
        "matplotlib",
        "optuna",
        "polars",
        "rich",
        "scipy",
        "tomlkit",
    ]
)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after a statement."""
    script = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(ended.stdout)}


@pytest.mark.slow
def test_the_service_loads_only_what_serves() -> None:
    loaded = loaded_by("import app.main")
    assert loaded >= {"app", "fastapi", "numpy"}
    assert not loaded & FOREIGN


@pytest.mark.slow
def test_the_policy_loads_no_framework() -> None:
    loaded = loaded_by("import app.recommend.ladder")
    assert not loaded & {*FOREIGN, "fastapi", "starlette", "pydantic", "uvicorn", "anyio"}


@pytest.mark.slow
def test_the_schemas_load_no_framework_and_no_store() -> None:
    modules = ", ".join(f"app.schemas.{path.stem}" for path in (ROOT / "app/schemas").glob("*.py"))
    loaded = loaded_by(f"import {modules.replace('.__init__', '')}")
    assert not loaded & {*FOREIGN, "fastapi", "starlette", "uvicorn", "anyio", "sqlite3"}


@pytest.mark.slow
def test_help_does_not_wait_for_numpy() -> None:
    """The variables of BLAS have to be set before it is loaded."""
    assert not loaded_by("import app.__main__") & {"numpy", "fastapi", "uvicorn"}
