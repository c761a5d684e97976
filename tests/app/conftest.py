"""A small real model, published, and the service that answers from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.model.model import Model
from app.settings import Settings
from tests.builders import interactions_of, publish_small, random_plays, small_model

# Ids as in real data, and ids that are hard to put into a path.
ODD_USERS: Final = (
    "a/b",
    "björk fan",
    "50%",
    "%41",
    "a+b",
    "who?",
    "#1",
    "a&b=c;d",
    "日本語",
    "🎸",
    "..",
    ".",
    "",
    " ",
    "new\nline",
    "nul\0byte",
    "\\",
    "batch",
    "é" * 128,
)
ODD_ITEMS: Final = ("name:AC/DC", "a,b", "50%", "a+b", "", "Ümläut & Söhne", "who?#1", "x" * 256)
LIST_LENGTH: Final = 12


@pytest.fixture(scope="session")
def model() -> Model:
    """Users and artists with odd ids among plain ones; the last user has no history."""
    plays = random_plays(np.random.default_rng(5), 40, 60)
    user_ids = [*ODD_USERS, *(f"u{index}" for index in range(len(ODD_USERS), 40))]
    item_ids = [*ODD_ITEMS, *(f"i{index}" for index in range(len(ODD_ITEMS), 60))]
    names = [f"the {item_id} “band”" for item_id in item_ids]
    plays[-1] = 0
    interactions = interactions_of(plays, user_ids=user_ids, item_ids=item_ids, item_names=names)
    return small_model(interactions, list_length=LIST_LENGTH)


@pytest.fixture(scope="session")
def models(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one version; not to be written to."""
    folder = tmp_path_factory.mktemp("models")
    publish_small(model, folder)
    return folder


@pytest.fixture(scope="session")
def version(models: Path) -> str:
    """The version in ``models``."""
    return (models / "current").read_text().strip()


@pytest.fixture(scope="session")
def client(models: Path) -> Iterator[TestClient]:
    """The service with a model."""
    with TestClient(create_app(Settings(models=models)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def bare_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service without a model."""
    app = create_app(Settings(models=tmp_path_factory.mktemp("empty")))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
