from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import errors
from app.errors import EncoreError
from app.http.problems import KINDS
from app.main import create_app
from app.settings import Settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


ROUTES = sorted(operations(create_app(Settings())))
PATHS = sorted({path for _, path in ROUTES} | {"/docs", "/openapi.json", "/"})


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    problem: dict[str, Any] = json.loads(response.content)
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= set(problem)
    assert set(problem) <= {"type", "title", "status", "detail", "instance", "errors"}
    assert problem["type"] == "about:blank" or problem["type"].startswith("urn:encore:problem:")
    assert ("errors" in problem) == (status == 422)
    assert problem["detail"]
    return problem


def test_every_exception_of_the_service_has_a_kind() -> None:
    defined = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, EncoreError) and one is not EncoreError
    }
    assert set(KINDS) == defined


def test_there_are_routes_to_walk() -> None:
    assert len(ROUTES) >= 8


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_call_refuses_an_unknown_parameter_in_one_shape(
    client: TestClient, method: str, path: str
) -> None:
    path = path.replace("{user_id}", "u30").replace("{artist_id}", "i30")
    response = client.request(method, f"{path}?verbose=1")
    problem = assert_problem(response, 422)
    assert problem["errors"][0]["location"] == "query.verbose"
    assert problem["instance"] == path


@pytest.mark.parametrize("path", PATHS)
def test_every_path_refuses_other_methods_in_one_shape(client: TestClient, path: str) -> None:
    path = path.replace("{user_id}", "nobody")
    allowed = set()
    for method in METHODS:
        response = client.request(method, path, follow_redirects=False)
        if response.status_code != 405:
            allowed.add(method)
            continue
        assert_problem(response, 405)
        listed = set(response.headers["allow"].split(", ")) - {"HEAD"}
    assert listed == allowed


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_call_documents_the_errors_that_it_gives(
    client: TestClient, bare_client: TestClient, method: str, path: str
) -> None:
    documented = client.get("/openapi.json").json()["paths"][path][method.lower()]["responses"]
    url = path.replace("{user_id}", "nobody")
    body: dict[str, Any] = {"user_ids": ["u30"]} if path.endswith("batch") else {}
    kwargs: dict[str, Any] = {"json": body} if method == "POST" else {}
    given = {
        bare_client.request(method, url, **kwargs).status_code,
        client.request(method, url + "?verbose=1", **kwargs).status_code,
    }
    assert given - {200} <= {int(status) for status in documented}
    for status, response in documented.items():
        if status != "200":
            assert list(response["content"]) == ["application/problem+json"]
            example = response["content"]["application/problem+json"]["example"]
            assert example["status"] == int(status)


@pytest.mark.parametrize(
    "path", ["/nothing", "/recommend/", "/docs/", "/docs/assets/../x", "/%2e%2e", "/health"]
)
def test_an_unknown_path_is_404_in_one_shape(client: TestClient, path: str) -> None:
    assert "GET /docs" in assert_problem(client.get(path), 404)["detail"]


def test_an_announced_body_over_the_limit_is_413(models: Path) -> None:
    with TestClient(create_app(Settings(models=models, max_body_bytes=100))) as client:
        headers = {"content-type": "application/json"}
        for path in ("/recommend", "/recommend/batch", "/admin/reload", "/nothing"):
            problem = assert_problem(client.post(path, content=b" " * 101, headers=headers), 413)
            assert "more than 100 bytes (ENCORE_MAX_BODY_BYTES)" in problem["detail"]
        whole = b'{"user_id": "u30"' + b" " * 82 + b"}"
        assert len(whole) == 100
        assert client.post("/recommend", content=whole, headers=headers).status_code == 200


def test_a_chunked_body_over_the_limit_is_413(models: Path) -> None:
    with TestClient(create_app(Settings(models=models, max_body_bytes=100))) as client:
        headers = {"content-type": "application/json"}
        content = iter([b" " * 10] * 11)
        assert_problem(client.post("/recommend", content=content, headers=headers), 413)
        content = iter([b'{"user_id":', b' "u30"}'])
        assert client.post("/recommend", content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "\u00e9", "x" * 5000])
def test_an_encoded_body_is_415(client: TestClient, coding: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-encoding", coding.encode())]
    for method, path in ROUTES:
        url = path.replace("{user_id}", "u30").replace("{artist_id}", "i30")
        operation = client.app.openapi()["paths"][path][method.lower()]  # type: ignore[attr-defined]
        if "requestBody" in operation:
            answer = client.request(method, url, content=b"{}", headers=headers)
            problem = assert_problem(answer, 415)
            assert problem["detail"].endswith("send it uncompressed")
            assert answer.headers["accept-encoding"] == "identity"
            assert {"413", "415"} <= operation["responses"].keys()


def test_a_body_that_says_that_it_is_not_encoded_is_taken(client: TestClient) -> None:
    for coding in ("identity", "Identity, identity", ""):
        answer = client.post("/recommend", json={}, headers={"content-encoding": coding})
        assert answer.status_code == 200


@pytest.mark.slow
def test_an_unexpected_exception_is_logged_and_not_shown(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(models=models))

    async def fail() -> None:
        raise RuntimeError("the password is hunter2")

    app.add_api_route("/fail", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        problem = assert_problem(client.get("/fail"), 500)
    assert "hunter2" not in json.dumps(problem)
    # The server logs what the app raises again.
    with TestClient(app) as client, pytest.raises(RuntimeError, match="hunter2"):
        client.get("/fail")
    assert logging.ERROR not in {record.levelno for record in caplog.records}


def test_no_error_echoes_much_of_the_request(client: TestClient) -> None:
    long = "Z" * 10_000
    json_type = {"content-type": "application/json"}
    responses = [
        client.get(f"/{long}"),
        client.get(f"/recommend/{long}"),
        client.get(f"/recommend/u30?{long}={long}"),
        client.get(f"/recommend/u30?n={long}"),
        client.get(f"/recommend/u30?strategy={long}"),
        client.get(f"/recommend/u30?exclude={long}"),
        client.post("/recommend", json={long: long}),
        client.post("/recommend", json={"user_id": long}),
        client.post("/recommend", json={"n": long}),
        client.post("/recommend", content=f'{{"{long}":1,"{long}":1}}', headers=json_type),
        client.post("/recommend", content=long, headers=json_type),
        client.post("/recommend", content=b"{}", headers={"content-type": long}),
    ]
    for response in responses:
        assert_problem(response, response.status_code)
        longest = max(map(len, re.findall("Z+", response.text)), default=0)
        assert longest <= 100, response.text
