"""Rendered reports, made once: drawing takes most of a second."""

from __future__ import annotations

import pytest

from tests.training.report.builders import full_study, small_study
from training.report import render


@pytest.fixture(scope="session")
def full_page() -> str:
    """A report with every section."""
    return render(full_study())


@pytest.fixture(scope="session")
def small_page() -> str:
    """A report with only what every report has."""
    return render(small_study())


@pytest.fixture(scope="session")
def reference_page() -> str:
    """A report of the preset ``reference`` on another data set than the published one."""
    return render(full_study(preset="reference"))
