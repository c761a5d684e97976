"""Whatever is killed: what was acknowledged is there, once. `benchmarks/crash.py` has 30 rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.model import Model
from benchmarks.crash import crash
from tests.builders import publish_small


@pytest.mark.slow
def test_killed_while_events_come_in_nothing_is_lost_and_nothing_counts_twice(
    model: Model, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish_small(model, models)
    result = crash(models, f"sqlite:///{tmp_path}/encore.db", rounds=4)
    assert result["acknowledged"] > 0
    assert (result["missing"], result["twice"]) == (0, 0)
    assert result["lists from events after the last round"] == 40
