from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from app.main import create_app
from app.model.model import Model
from app.settings import Settings
from tests.builders import publish_small


def test_a_service_with_a_model_is_ready(client: TestClient, version: str) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "model_version": version, "troubles": []}


def test_a_service_without_a_model_lives_and_says_what_to_do(bare_client: TestClient) -> None:
    assert bare_client.get("/health/live").json() == {"status": "live"}
    response = bare_client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "5"
    assert "python -m training train" in response.json()["detail"]


def test_a_published_model_makes_it_ready_without_a_restart(model: Model, tmp_path: Path) -> None:
    app = create_app(Settings(models=tmp_path / "later", poll_seconds=3600))
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 503
        version = publish_small(model, tmp_path / "later")
        assert client.post("/admin/reload").status_code == 200
        assert client.get("/health/ready").json()["model_version"] == version
