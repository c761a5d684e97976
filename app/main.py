"""The application."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from app import __version__
from app.http.answers import ScoringThreads
from app.http.body_limit import BodyLimit
from app.http.documentation import install_documentation
from app.http.problems import install_problem_handlers
from app.http.raw_target import RawTarget
from app.http.routers import admin, health, model, popular, recommend
from app.model_watcher import ModelWatcher
from app.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; nothing is opened before its lifespan begins.

    Args:
        settings: how it is set up; by default as the environment says.

    Raises:
        InvalidSettings: the environment says something that cannot be.
    """
    app = FastAPI(
        title="Encore",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # the page is our own
        redoc_url=None,
        redirect_slashes=False,  # a slash at the end is another path
    )
    app.state.settings = settings or load_settings()
    for module in (recommend, popular, model, health, admin):
        app.include_router(module.router)
    install_documentation(app)
    install_problem_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=app.state.settings.max_body_bytes)
    app.add_middleware(RawTarget)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    watcher = ModelWatcher(
        settings.models,
        poll_seconds=settings.poll_seconds,
        verify_bytes=settings.verify_bytes,
    )
    app.state.watcher = watcher
    app.state.threads = ScoringThreads(os.cpu_count() or 1)
    try:
        await to_thread.run_sync(watcher.start)
        yield
    finally:
        await to_thread.run_sync(watcher.close)
