from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema_specifications import REGISTRY
from openapi_spec_validator import OpenAPIV31SpecValidator
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


def test_the_schema_is_openapi() -> None:
    assert SCHEMA["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(SCHEMA).validate()


# Keywords that OpenAPI 3.1 adds to those of JSON Schema 2020-12.
OPENAPI_KEYWORDS = {"discriminator", "xml", "externalDocs", "example"}
# Keywords whose value is a schema, several in a list, or several by name.
ONE = {"items", "additionalProperties", "if", "then", "else", "not", "contains", "propertyNames"}
SEVERAL = {"anyOf", "oneOf", "allOf", "prefixItems"}
NAMED = {"properties", "patternProperties", "$defs", "dependentSchemas"}


def keywords() -> set[str]:
    dialect = REGISTRY.contents("https://json-schema.org/draft/2020-12/schema")
    assert isinstance(dialect, dict)
    parts = [
        REGISTRY.contents(f"https://json-schema.org/draft/2020-12/{part['$ref']}")
        for part in dialect["allOf"]
    ]
    return {*dialect["properties"]}.union(*(part["properties"] for part in parts))


def parts_of(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields a schema and all that it holds."""
    if not isinstance(schema, dict):
        assert isinstance(schema, bool), place
        return
    yield place, schema
    for keyword, value in schema.items():
        inner: dict[str, Any] = {}
        if keyword in ONE:
            inner = {"": value}
        elif keyword in SEVERAL:
            inner = {str(number): one for number, one in enumerate(value)}
        elif keyword in NAMED:
            inner = value
        for name, one in inner.items():
            yield from parts_of(one, f"{place}/{keyword}/{name}".rstrip("/"))


def all_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each schema of the document: of parameters, headers, bodies and components."""

    def search(part: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key == "schema":
                yield from parts_of(value, f"{place}/schema")
            elif isinstance(value, dict | list) and key not in {"example", "examples"}:
                yield from search(value, f"{place}/{key}")

    yield from search(SCHEMA["paths"], "")
    for name, schema in SCHEMA["components"]["schemas"].items():
        yield from parts_of(schema, name)


def test_every_keyword_is_one_of_json_schema() -> None:
    """Bounds used to be called `ge` and `le`, which every reader ignores."""
    known = keywords() | OPENAPI_KEYWORDS
    assert {"minimum", "exclusiveMinimum", "maxItems", "$ref", "format"} <= known
    unknown = {
        f"{place}: {keyword}"
        for place, schema in all_schemas()
        for keyword in schema.keys() - known
    }
    assert unknown == set()
    bounds = {
        schema.get(keyword)
        for _, schema in all_schemas()
        for keyword in ("minimum", "exclusiveMinimum", "maximum")
    }
    assert {0, 1, 500, 3650, 0.001, 2**63 - 1} <= bounds


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    # References lead to the components of the document.
    return Draft202012Validator(
        {"allOf": [schema], "components": SCHEMA["components"]}, format_checker=FormatChecker()
    )


def test_every_example_and_default_in_a_schema_fits_it() -> None:
    seen = 0
    for place, schema in all_schemas():
        values = [*schema.get("examples", [])]
        values += [schema[name] for name in ("default", "example") if name in schema]
        for value in values:
            seen += 1
            assert list(validator(schema).iter_errors(value)) == [], (place, value)
    assert seen > 100


def test_every_example_of_an_answer_fits_its_schema() -> None:
    for name, operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            for content in answer["content"].values():
                if "example" in content:
                    errors = list(validator(content["schema"]).iter_errors(content["example"]))
                    assert errors == [], (name, status)


def test_headers_of_errors_are_in_the_schema() -> None:
    answers = OPERATIONS["POST /events"]["responses"]
    headers = {status: [*answer.get("headers", ())] for status, answer in answers.items()}
    assert {status: names for status, names in headers.items() if names} == {
        "401": ["WWW-Authenticate"],
        "415": ["Accept-Encoding"],
        "503": ["Retry-After"],
    }


def test_the_rule_of_plays_is_in_the_schema() -> None:
    event = {"user_id": "u", "artist_id": "a"}
    valid = validator({"$ref": "#/components/schemas/EventIn"})
    for extra in ({}, {"plays": 2}, {"type": "play", "plays": 2}, {"type": "skip"}):
        assert valid.is_valid(event | extra)
    for extra in ({"type": "skip", "plays": 2}, {"type": "like", "plays": 1}, {"plays": 0}):
        assert not valid.is_valid(event | extra)
    assert not valid.is_valid({"user_id": "", "artist_id": "a"})


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


def test_calls_do_without_the_key_where_none_is_set() -> None:
    with_key = create_app(Settings.model_validate({"api_key": "secret"})).openapi()
    for path, methods in SCHEMA["paths"].items():
        for method, operation in methods.items():
            guarded = with_key["paths"][path][method].get("security", [])
            assert {} not in guarded
            assert operation.get("security", []) == (guarded and [*guarded, {}])


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "https://" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"./docs/assets/{asset}" in page.text
        assert client.get(f"/docs/assets/{asset}").status_code == 200


@pytest.mark.parametrize(
    ("prefix", "location"),
    [
        ("", "docs"),
        ("/encore", "/encore/docs"),
        ("/music/v1.2", "/music/v1.2/docs"),
        ("//evil.example", "docs"),
        ("https://evil.example", "docs"),
        ("/\\evil.example", "docs"),
        ("/encore/", "docs"),
        ("/enc\u00f6re", "docs"),
    ],
)
def test_the_root_leads_to_the_page(client: TestClient, prefix: str, location: str) -> None:
    assert client.get("/").url.path == "/docs"
    header = [(b"x-forwarded-prefix", prefix.encode("latin-1"))]
    answer = client.get("/", headers=header, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, location)


def test_the_docs_list_every_call() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    missing = [name for name in OPERATIONS if f"`{name}`" not in text]
    assert not missing
