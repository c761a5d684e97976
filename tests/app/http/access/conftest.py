"""Services with other settings than those of the other tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings

Start = Callable[..., TestClient]


@pytest.fixture(scope="module")
def start(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the service with settings, and asks it under the name ``localhost``."""
    with ExitStack() as ending:

        def start(**changed: Any) -> TestClient:
            folder = tmp_path_factory.mktemp("state")
            settings: dict[str, Any] = {
                "models": models,
                "allowed_hosts": (),
                "database_url": SecretStr(f"sqlite:///{folder}/encore.db"),
                "state": folder,
            } | changed
            app = create_app(Settings(**settings))
            client = TestClient(app, "http://localhost", raise_server_exceptions=False)
            return ending.enter_context(client)

        yield start
