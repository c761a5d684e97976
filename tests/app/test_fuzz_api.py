"""Generated requests find no fault. `benchmarks/fuzz_api.py` sends 3,000 and more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz_api import fuzz


@pytest.mark.slow
@pytest.mark.parametrize(
    ("with_key", "phases", "examples", "cases"),
    [(True, "examples,coverage,fuzzing", 5, 600), (False, "fuzzing", 15, 80)],
)
def test_no_generated_request_finds_a_fault(
    models: Path, with_key: bool, phases: str, examples: int, cases: int
) -> None:
    options = [f"--phases={phases}", "--seed=1"]
    result = fuzz(models, with_key=with_key, examples=examples, options=options)
    assert result["failures"] == {}, result["text"]
    assert result["cases"] >= cases
    assert (result["operations"], result["tracebacks in the log"]) == (14, 0)
