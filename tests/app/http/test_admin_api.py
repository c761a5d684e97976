from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.model.model import Model
from app.settings import Settings
from tests.builders import CREATED_AT, publish_small

KEY = "s3cret-key_~!"


def service(models: Path, key: str | None = None) -> TestClient:
    settings = Settings(models=models, poll_seconds=3600, api_key=SecretStr(key) if key else None)
    return TestClient(create_app(settings), raise_server_exceptions=False)


@pytest.mark.slow
def test_reload_takes_the_version_that_is_current_now(model: Model, tmp_path: Path) -> None:
    first = publish_small(model, tmp_path)
    with service(tmp_path) as client:
        assert client.post("/admin/reload").json() == {"model_version": first}
        second = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))
        assert client.get("/health/ready").json()["model_version"] == first
        assert client.post("/admin/reload").json() == {"model_version": second}
        assert client.get("/health/ready").json()["model_version"] == second


@pytest.mark.slow
def test_reload_says_why_a_broken_version_is_not_taken(model: Model, tmp_path: Path) -> None:
    first = publish_small(model, tmp_path)
    with service(tmp_path) as client:
        second = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))
        file = tmp_path / second / "item_factors.npy"
        file.write_bytes(file.read_bytes()[:-4])
        response = client.post("/admin/reload")
        assert response.status_code == 503
        assert "item_factors.npy" in response.json()["detail"]
        assert f"Version {first} stays in service" in response.json()["detail"]
        assert client.get("/health/ready").json()["model_version"] == first


@pytest.mark.slow
def test_reload_says_when_the_pointer_is_not_a_version(model: Model, tmp_path: Path) -> None:
    first = publish_small(model, tmp_path)
    with service(tmp_path) as client:
        (tmp_path / "current").write_text("latest\n")
        response = client.post("/admin/reload")
        assert response.status_code == 503
        assert "found 6 other characters" in response.json()["detail"]
        assert "latest" not in response.json()["detail"]
        (tmp_path / "current").write_text(first)
        assert client.post("/admin/reload").json() == {"model_version": first}


def test_reload_without_any_model_gives_the_hint(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        response = client.post("/admin/reload")
    assert response.status_code == 503
    assert "python -m training train" in response.json()["detail"]


@pytest.mark.slow
def test_a_set_key_is_wanted(models: Path) -> None:
    with service(models, KEY) as client:
        assert client.post("/admin/reload", headers={"X-API-Key": KEY}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, "", KEY[:-1], KEY + "x", KEY.upper(), "Bearer " + KEY])
def test_another_key_is_refused(models: Path, key: str | None) -> None:
    with service(models, KEY) as client:
        headers = {} if key is None else {"X-API-Key": key}
        response = client.post("/admin/reload", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("ApiKey")
    assert response.headers["content-type"] == "application/problem+json"
    assert "X-API-Key" in response.json()["detail"]


def test_a_key_of_odd_bytes_is_refused(models: Path) -> None:
    with service(models, KEY) as client:
        headers = {b"X-API-Key": "schlüssel".encode()}
        assert client.post("/admin/reload", headers=headers).status_code == 401


@pytest.mark.slow
def test_calls_that_only_read_want_no_key(models: Path) -> None:
    with service(models, KEY) as client:
        for path in ("/recommend/u30", "/popular", "/model", "/health/ready", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_the_key_is_never_shown(
    models: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(models=models, api_key=SecretStr(KEY))
    assert KEY not in repr(settings)
    caplog.set_level(logging.DEBUG)
    with service(models, KEY) as client:
        shown = [
            client.post("/admin/reload", headers={"X-API-Key": KEY}).text,
            client.post("/admin/reload", headers={"X-API-Key": KEY + "x"}).text,
            client.get("/openapi.json").text,
            client.get("/model").text,
        ]
    shown += [caplog.text, *capsys.readouterr()]
    assert not any(KEY in text for text in shown)
