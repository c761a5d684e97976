from __future__ import annotations

import json
from pathlib import Path

from starlette.testclient import TestClient

from app.model import Model
from tests.app.conftest import LIST_LENGTH


def test_the_card_says_what_the_manifest_says(
    client: TestClient, models: Path, version: str
) -> None:
    card = client.get("/model").json()
    manifest = json.loads((models / version / "manifest.json").read_text())
    assert card.pop("version") == version
    del card["sizes"]
    assert card == {key: manifest[key] for key in card}
    assert set(card) == {
        "created_at",
        "code_version",
        "dataset",
        "parameters",
        "weighting",
        "metrics",
    }


def test_the_card_gives_the_sizes(
    client: TestClient, model: Model, models: Path, version: str
) -> None:
    files = (models / version).glob("*.npy")
    assert client.get("/model").json()["sizes"] == {
        "users": len(model.users),
        "artists": len(model.items),
        "pairs": model.user_items.nnz,
        "factors": 8,
        "list_length": LIST_LENGTH,
        "bytes": sum(file.stat().st_size for file in files),
    }


def test_the_card_keeps_the_files_to_itself(client: TestClient) -> None:
    assert "sha256" not in client.get("/model").text


def test_without_a_model_there_is_no_card(bare_client: TestClient) -> None:
    assert bare_client.get("/model").status_code == 503
