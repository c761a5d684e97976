"""The least work of a web framework: the same bytes for every request, at one fixed path.

The answer is made once and sent for every request, so that only the framework and its server cost
time. The bytes are read from the file that the variable ``BENCHMARK_BODY`` names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

BODY: Final = "BENCHMARK_BODY"
PATH: Final = "/recommend"


def fastapi_app() -> FastAPI:
    """Builds the app of FastAPI."""
    app, answer = FastAPI(), _answer()

    @app.get(PATH)
    async def recommend() -> Response:
        return answer

    return app


def starlette_app() -> Starlette:
    """Builds the app of Starlette."""
    answer = _answer()

    async def recommend(_request: Request) -> Response:
        return answer

    return Starlette(routes=[Route(PATH, recommend)])


def asgi_app() -> ASGIApp:
    """Builds an app without any framework, for the cost of the server itself."""
    body = _answer().body
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def recommend(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return recommend


def _answer() -> Response:
    return Response(Path(os.environ[BODY]).read_bytes(), media_type="application/json")
