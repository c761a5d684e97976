"""The OpenAPI schema and the page that shows it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import __version__
from app.http.access.openapi import add_access
from app.schemas.problem import Problem

_TITLE: Final = "Encore"
ASSETS: Final = "/docs/assets"
_DESCRIPTION: Final = """\
Music recommendations made from listening history.

Ids are strings of at most 256 bytes of UTF-8; in a path they are percent-encoded. Every error is
`application/problem+json` (RFC 9457). Unknown parameters and fields are refused. Every call with
GET also answers HEAD, with the same status and headers. Answers over 14 kB are compressed for
clients that send `Accept-Encoding: gzip`.
"""
# Relative to where the schema lies, so that it holds behind a proxy that takes a prefix away.
_SERVERS: Final = [{"url": ".", "description": "The service that this schema comes from."}]
# Segments of letters, digits and the like: no second slash, which would name another host.
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_TAGS: Final = [
    {"name": "recommend", "description": "Lists made for a user."},
    {"name": "events", "description": "What was just played; the next list reflects it."},
    {"name": "users", "description": "The history and events of a user; behind the key."},
    {"name": "artists", "description": "The availability of an artist; behind the key."},
    {"name": "browse", "description": "The same for everyone."},
    {"name": "model", "description": "What answers, and how good it is."},
    {"name": "health", "description": "Probes for load balancers and orchestrators."},
    {"name": "admin", "description": "Behind the key, once one is set."},
]


def install_documentation(app: FastAPI) -> None:
    """Adds ``/docs`` and ``/openapi.json``, and redirects ``/`` to the page."""
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    assets = _asset_folder()
    if assets:
        files = _Assets(directory=assets)
        app.router.routes.append(Route(f"{ASSETS}/{{name}}", files, methods=["GET"]))
    page = _page(local=assets is not None)

    async def docs(_request: Request) -> HTMLResponse:
        return page

    async def index(request: Request) -> RedirectResponse:
        # A relative address does behind a prefix that ends in a slash. A proxy that also forwards
        # the prefix without one says what it was.
        prefix = request.headers.get("x-forwarded-prefix", "")
        return RedirectResponse(f"{prefix}/docs" if _PREFIX.fullmatch(prefix) else "docs")

    app.router.routes.append(Route("/docs", docs))
    app.router.routes.append(Route("/", index))


class _Assets(StaticFiles):
    """The files of a folder by name, at a route, which knows its methods as a mount does not."""

    def get_path(self, scope: Scope) -> str:
        """Returns the name of the file."""
        return str(scope["path_params"]["name"])


def _asset_folder() -> Path | None:
    """Returns the folder of a local Swagger UI, with which the page works without the internet."""
    package = find_spec("fastapi_offline")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "static"


def _page(*, local: bool) -> HTMLResponse:
    urls: dict[str, Any] = {}
    if local:
        urls = {
            "swagger_js_url": f".{ASSETS}/swagger-ui-bundle.js",
            "swagger_css_url": f".{ASSETS}/swagger-ui.css",
            "swagger_favicon_url": f".{ASSETS}/favicon.png",
        }
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=_TITLE,
        # Without this the page has the address of the schema checked by a site of the internet.
        swagger_ui_parameters={"validatorUrl": None},
        **urls,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode(), local=local)
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def _policy(html: str, *, local: bool) -> str:
    """Returns the policy under which the page may do what it does, and nothing else."""
    hashes = [
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    ]
    elsewhere = "" if local else " https://cdn.jsdelivr.net"
    icon = "" if local else " https://fastapi.tiangolo.com"
    return (
        f"default-src 'none'; script-src 'self'{elsewhere} {' '.join(hashes)}; "
        f"style-src 'self'{elsewhere}; img-src 'self' data:{icon}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _schema(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=_TITLE,
            version=__version__,
            description=_DESCRIPTION,
            routes=app.routes,
            tags=_TAGS,
            servers=_SERVERS,
        )
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        components.update(problem.pop("$defs"), Problem=problem)
        _add_answer_examples(schema)
        add_access(schema, app.state.settings.protect)
        if app.state.settings.api_key is None:
            _leave_open(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _leave_open(schema: dict[str, Any]) -> None:
    """Lets calls that ask for the key do without, as they do while no key is set."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"].append({})


def _add_answer_examples(schema: dict[str, Any]) -> None:
    """Adds an example answer to each operation, built from the examples of its fields."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["200"]["content"].get("application/json")
            if content is None:
                continue  # a page is its own example
            name = content["schema"]["$ref"].rpartition("/")[2]
            properties = schema["components"]["schemas"][name]["properties"]
            content["example"] = {key: value["examples"][0] for key, value in properties.items()}
