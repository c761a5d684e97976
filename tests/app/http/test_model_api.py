from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from starlette.testclient import TestClient

from app.artifacts.writable_folder import WritableModelsFolder
from app.main import create_app
from app.model.model import Model
from app.settings import Settings
from tests.app.conftest import LIST_LENGTH
from tests.builders import card_of, publish_small, with_linear
from tests.golden.make import HERE as GOLDEN
from training.publishing.publish import publish

REPORT: Final = "<!DOCTYPE html><title>Sigur Rós</title>\r\n<p>坂本龍一\n"


@pytest.fixture
def reported(model: Model, tmp_path: Path) -> Path:
    """The folder of a model that was published with a report."""
    models = tmp_path / "models"
    return models / publish(model, models, card=card_of(model), report=REPORT).version


@pytest.fixture
def report_client(reported: Path) -> Iterator[TestClient]:
    """The service with that model."""
    settings = Settings(models=reported.parent, poll_seconds=3600)
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_card_shows_the_manifest(client: TestClient, models: Path, version: str) -> None:
    card = client.get("/model").json()
    manifest = json.loads((models / version / "manifest.json").read_text())
    assert card.pop("version") == card.pop("current_version") == version
    assert (card.pop("verified"), card.pop("troubles")) == (True, [])
    del card["sizes"]
    (block,) = card.pop("blocks")
    assert (block["kind"], block["columns"]) == ("als", [0, 8])
    assert block["weighting"] == manifest["weighting"]
    assert block["parameters"] == {
        "alpha": manifest["parameters"]["alpha"],
        "regularization": manifest["parameters"]["fold_in_regularization"],
        "median_weight": manifest["event_unit"]["median_weight"],
    }
    assert card == {key: manifest[key] for key in card}
    assert set(card) == {
        "created_at",
        "code_version",
        "dataset",
        "parameters",
        "weighting",
        "event_unit",
        "event_watermark",
        "metrics",
        "publication",
    }


@pytest.mark.parametrize("alone", [False, True])
def test_the_card_says_what_the_vectors_are_made_of(
    model: Model, tmp_path: Path, alone: bool
) -> None:
    version = publish_small(with_linear(model, 5, alone=alone, list_length=12), tmp_path)
    manifest = json.loads((tmp_path / version / "manifest.json").read_text())
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        card = client.get("/model").raise_for_status().json()
        answer = client.get("/recommend/u20").raise_for_status().json()
    assert card["blocks"] == manifest["blocks"]
    assert [block["kind"] for block in card["blocks"]] == ["als", "linear"][alone:]
    assert card["weighting"] == manifest["blocks"][0]["weighting"]
    assert card["event_unit"] == {
        "multiple": 3.0,
        "median_weight": manifest["blocks"][0]["parameters"]["median_weight"],
    }
    assert card["sizes"]["factors"] == card["blocks"][-1]["columns"][1] == 5 + 8 * (not alone)
    assert answer["source"] == "als"


@pytest.mark.slow
def test_the_card_says_that_a_model_was_made_current_by_force(model: Model, tmp_path: Path) -> None:
    for users in (100, 10):
        card = card_of(model) | {"dataset": {"name": "table", "users": users}}
        publish(model, tmp_path, card=card, force=True)
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        publication = client.get("/model").json()["publication"]
    assert (publication["made_current"], publication["force"]) == (True, True)
    counts = publication["shrinkage"]["counts"]
    assert counts == {"users": {"before": 100, "now": 10, "share": 0.1}}


def test_the_card_of_an_older_model_says_nothing_of_how_it_was_published(tmp_path: Path) -> None:
    (golden,) = (GOLDEN / "format-1").glob("2*")
    shutil.copytree(golden, tmp_path / golden.name)
    WritableModelsFolder(tmp_path).set_current(golden.name)
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        assert client.get("/model").raise_for_status().json()["publication"] is None


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


def test_the_card_does_not_list_the_files(client: TestClient) -> None:
    assert "sha256" not in client.get("/model").text


def test_without_a_model_there_is_no_card(bare_client: TestClient) -> None:
    assert bare_client.get("/model").status_code == 503


def test_the_report_is_answered_byte_for_byte(report_client: TestClient) -> None:
    answer = report_client.get("/model/report")
    assert answer.status_code == 200
    assert answer.content == REPORT.encode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_the_report_may_run_and_load_nothing(report_client: TestClient) -> None:
    headers = report_client.get("/model/report").headers
    policy = dict(
        directive.split(" ", 1) for directive in headers["content-security-policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.slow
def test_the_report_counts_among_the_bytes_of_the_model(
    report_client: TestClient, reported: Path
) -> None:
    files = [*reported.glob("*.npy"), reported / "report.html"]
    assert report_client.get("/model").json()["sizes"]["bytes"] == sum(
        file.stat().st_size for file in files
    )


def test_a_model_without_a_report_says_how_to_get_one(client: TestClient, version: str) -> None:
    answer = client.get("/model/report")
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code == 404
    assert problem["type"] == "urn:encore:problem:report-not-found"
    assert version in problem["detail"]
    assert "--no-report" in problem["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["changed", "longer", "missing", "whole folder missing"])
def test_a_report_that_is_not_the_published_one_is_not_shown(
    report_client: TestClient, reported: Path, damage: str
) -> None:
    page = reported / "report.html"
    if damage == "changed":
        page.write_bytes(page.read_bytes().replace(b"title", b"tItle", 1))
    elif damage == "longer":
        page.write_bytes(page.read_bytes() + b"<script>")
    elif damage == "missing":
        page.unlink()
    else:
        shutil.rmtree(reported)
    answer = report_client.get("/model/report")
    assert answer.status_code == answer.json()["status"] == 503
    assert answer.json()["type"] == "urn:encore:problem:report-unavailable"
    assert "retry-after" in answer.headers
    assert reported.name in answer.json()["detail"]
    assert str(reported.parent) not in answer.json()["detail"]  # no path of the server
    # Lists do not depend on the report.
    assert report_client.get("/recommend/u30").status_code == 200


@pytest.mark.slow
def test_a_model_whose_report_is_damaged_from_the_start_is_served(reported: Path) -> None:
    (reported / "report.html").write_text("<script>")
    with TestClient(create_app(Settings(models=reported.parent))) as client:
        assert client.get("/health/ready").status_code == 200
        assert client.get("/recommend/u30").status_code == 200
        assert client.get("/model/report").status_code == 503


def test_without_a_model_there_is_no_report(bare_client: TestClient) -> None:
    assert bare_client.get("/model/report").status_code == 503


def test_the_report_is_that_of_the_model_in_service(
    report_client: TestClient, reported: Path, model: Model
) -> None:
    publish(model, reported.parent, card=card_of(model), report="<p>the next one")
    assert report_client.get("/model/report").content == REPORT.encode()
    assert report_client.post("/admin/reload").status_code == 200
    assert report_client.get("/model/report").text == "<p>the next one"
