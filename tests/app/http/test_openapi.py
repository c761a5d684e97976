from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from app.main import create_app
from app.schemas import artists, events, health, lists, model, popular, problem, users
from app.settings import Settings

SCHEMA: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}
MODULES = (artists, events, health, lists, model, popular, problem, users)
# Those that answer no JSON.
OTHERS = {"GET /model/report": "text/html", "GET /metrics": "text/plain"}


def schema_of(name: str) -> type[BaseModel]:
    schema = next(vars(module)[name] for module in MODULES if name in vars(module))
    assert isinstance(schema, type)
    assert issubclass(schema, BaseModel)
    return schema


def parameters() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", []):
            yield f"{name} {parameter['in']}.{parameter['name']}", parameter


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in SCHEMA["components"]["schemas"].items():
        for key, value in schema.get("properties", {}).items():
            yield f"{name}.{key}", value


@pytest.mark.parametrize(("name", "parameter"), list(parameters()))
def test_every_parameter_has_a_description_and_an_example(
    name: str, parameter: dict[str, Any]
) -> None:
    assert parameter["description"].endswith("."), name
    assert parameter["schema"]["examples"], name


@pytest.mark.parametrize(("name", "value"), list(properties()))
def test_every_field_has_a_description_and_an_example(name: str, value: dict[str, Any]) -> None:
    assert value["description"].endswith("."), name
    assert value["examples"], name


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in SCHEMA["tags"]}
    answer = operation["responses"]["200"]
    assert answer["description"] != "Successful Response"
    if name in OTHERS:
        assert list(answer["content"]) == [OTHERS[name]]
    else:
        assert answer["content"]["application/json"]["example"]


def test_operation_ids_are_stable() -> None:
    """Generated clients name their methods by them."""
    assert {name: operation["operationId"] for name, operation in OPERATIONS.items()} == {
        "GET /recommend/{user_id}": "recommend",
        "POST /recommend": "recommend_by_query",
        "POST /recommend/batch": "recommend_batch",
        "POST /events": "add_events",
        "GET /users/{user_id}": "user",
        "DELETE /users/{user_id}": "erase_user",
        "PUT /artists/{artist_id}": "set_artist",
        "GET /popular": "popular",
        "GET /model": "model",
        "GET /model/report": "model_report",
        "GET /health/live": "live",
        "GET /health/ready": "ready",
        "GET /metrics": "metrics",
        "POST /admin/reload": "reload",
    }


def test_every_example_fits_its_schema() -> None:
    for name in OPERATIONS.keys() - OTHERS.keys():
        content = OPERATIONS[name]["responses"]["200"]["content"]["application/json"]
        model = schema_of(content["schema"]["$ref"].rpartition("/")[2])
        TypeAdapter(model).validate_python(content["example"])


def test_every_reference_leads_somewhere() -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(reference := part.get("$ref"), str):
                yield reference.removeprefix("#/components/schemas/")
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    assert set(references(SCHEMA)) <= set(SCHEMA["components"]["schemas"])
    assert "HTTPValidationError" not in SCHEMA["components"]["schemas"]


def test_only_protected_calls_name_the_key() -> None:
    protected = {name for name, operation in OPERATIONS.items() if "security" in operation}
    assert protected == {
        "POST /admin/reload",
        "POST /events",
        "GET /users/{user_id}",
        "DELETE /users/{user_id}",
        "PUT /artists/{artist_id}",
    }


def test_answers_match_the_schema(client: TestClient) -> None:
    answers = {
        "Recommendations": client.get("/recommend/u30"),
        "BatchRecommendations": client.post("/recommend/batch", json={"user_ids": ["u30"]}),
        "PopularArtists": client.get("/popular"),
        "EventsAnswer": client.post(
            "/events", json={"events": [{"user_id": "openapi", "artist_id": "i30"}]}
        ),
        "UserCard": client.get("/users/openapi"),
        "UserErased": client.delete("/users/openapi"),
        "Availability": client.put("/artists/openapi", json={"available": False}),
        "ModelCard": client.get("/model"),
        "Ready": client.get("/health/ready"),
        "Live": client.get("/health/live"),
        "ModelVersion": client.post("/admin/reload"),
        "Problem": client.get("/nothing"),
    }
    for name, response in answers.items():
        model = schema_of(name)
        model.model_validate_json(response.content, strict=True)
        required = SCHEMA["components"]["schemas"][name].get("required", [])
        assert set(required) <= set(response.json()) <= set(model.model_fields)


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "https://" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"./docs/assets/{asset}" in page.text
        assert client.get(f"/docs/assets/{asset}").status_code == 200


def test_the_root_leads_to_the_page(client: TestClient) -> None:
    assert client.get("/").url.path == "/docs"


def test_the_docs_list_every_call() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    missing = [name for name in OPERATIONS if f"`{name}`" not in text]
    assert not missing
