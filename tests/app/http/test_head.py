"""HEAD on every path that has GET: the same status and headers, and no body."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings

PLACES: Final = {"{user_id}": "u30", "{artist_id}": "i30", "{name}": "favicon.png"}


def paths() -> Iterator[tuple[str, set[str]]]:
    """Yields each path of the application with its methods, those that are not in OpenAPI too."""
    for route in iter_route_contexts(create_app(Settings()).routes):
        path = str(route.path)
        for place, value in PLACES.items():
            path = path.replace(place, value)
        assert "{" not in path, f"{path}: PLACES lacks a value"
        yield path, set(route.methods or ())


METHODS: Final[dict[str, set[str]]] = {}
for _path, _methods in paths():
    METHODS.setdefault(_path, set()).update(_methods)
# It is the path of a user's list as well.
METHODS["/recommend/batch"].add("GET")
READ: Final = sorted(path for path, methods in METHODS.items() if "GET" in methods)


def test_there_are_paths_to_walk() -> None:
    assert {"/recommend/u30", "/docs", "/openapi.json", "/metrics", "/health/live", "/"} < {*READ}
    assert {"/events", "/admin/reload", "/docs/assets/favicon.png"} < {*METHODS}


@pytest.mark.parametrize(
    "path", [*READ, "/recommend/u30?n=0", "/recommend/u30?n=2&offset=3", "/no"]
)
def test_head_has_the_status_and_headers_of_get(
    client: TestClient, bare_client: TestClient, path: str
) -> None:
    for one in (client, bare_client):
        for coding in ("gzip", "identity"):
            headers = {"accept-encoding": coding}
            get, head = (
                one.request(method, path, headers=headers, follow_redirects=False)
                for method in ("GET", "HEAD")
            )
            assert head.status_code == get.status_code
            assert head.headers == get.headers
            assert head.content == b""


@pytest.mark.parametrize("path", sorted(METHODS))
def test_every_path_says_its_methods(client: TestClient, path: str) -> None:
    expected = METHODS[path] | ({"HEAD"} if "GET" in METHODS[path] else set())
    for method in ("OPTIONS", "TRACE", "PROPFIND"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.headers["allow"].split(", ")) == expected
    if "GET" not in METHODS[path]:
        head = client.head(path)
        assert (head.status_code, head.content) == (405, b"")
        assert set(head.headers["allow"].split(", ")) == expected


def test_head_wants_the_key_where_get_does(models: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate({"models": models, "state": tmp_path, "api_key": "secret"})
    with TestClient(create_app(settings)) as client:
        assert client.head("/users/u30").status_code == 401
        assert client.head("/users/u30", headers={"X-API-Key": "secret"}).status_code == 200
        assert client.head("/recommend/u30").status_code == 200
