"""The surroundings of commands."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_event_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the event store of the tests of the service, which commands would read as well."""
    monkeypatch.delenv("ENCORE_DATABASE_URL", raising=False)
