"""What is written in any dialect comes back equal, or is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.training.datasets.reading.dialects.round_trip import (
    Record,
    Written,
    outcome,
    tables,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(tables())
def test_records_come_back_equal_or_are_refused(table: tuple[Written, list[Record]]) -> None:
    written, records = table
    with tempfile.TemporaryDirectory() as folder:
        found = outcome(written, records, Path(folder))
    assert not found.startswith("different"), found
