"""A true service under damaged models; `benchmarks/damaged_models.py` has 300 of them."""

from __future__ import annotations

import pytest

from benchmarks.damaged_models import damage_models
from benchmarks.damages import BEFORE, POINTER, SERVED


@pytest.mark.slow
def test_no_damaged_model_is_served_and_none_ends_the_service() -> None:
    """One of each kind. A truncated file used to end every worker, and all was 503."""
    result = damage_models(len(BEFORE) + len(POINTER) + len(SERVED), seed=1)
    assert result["total"]["lists"] > 0
    assert result["total"].get("wrong", 0) == 0, result["examples of wrong answers"]
    assert result["total"].get("secrets in answers", 0) == 0
    assert (result["exit status"], result["tracebacks"], result["secrets in the log"]) == (0, 0, 0)
