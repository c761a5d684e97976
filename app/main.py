"""The application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app import __version__
from app.http.batcher import Batcher
from app.http.body_limit import BodyLimit
from app.http.documentation import install_documentation
from app.http.hot_route import HotRoute
from app.http.problems import install_problem_handlers
from app.http.raw_target import RawTarget
from app.http.routers import (
    admin,
    artists,
    events,
    health,
    metrics,
    model,
    popular,
    recommend,
    users,
)
from app.model_watcher import ModelWatcher
from app.restocker import Restocker
from app.serving.journal.journal import Journal
from app.settings import Settings, load_settings
from app.store.address import open_store
from app.store.keepsake import Keepsake


class Service(FastAPI):
    """The application; its commonest call is answered before the framework sees it.

    So no middleware does either: what has to hold for all calls goes into the hot route as well.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hot_route = HotRoute(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        await self.hot_route(scope, receive, send)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; nothing is opened before its lifespan begins.

    Args:
        settings: how it is set up; by default as the environment says.

    Raises:
        InvalidSettings: the environment says something that cannot be.
    """
    app = Service(
        title="Encore",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # the page is our own
        redoc_url=None,
        redirect_slashes=False,  # a slash at the end is another path
    )
    app.state.settings = settings or load_settings()
    for module in (recommend, events, users, artists, popular, model, health, metrics, admin):
        app.include_router(module.router)
    install_documentation(app)
    install_problem_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=app.state.settings.max_body_bytes)
    app.add_middleware(RawTarget)
    return app


@asynccontextmanager
async def _lifespan(app: Service) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    url = settings.database_url.get_secret_value()
    keepsake = Keepsake(url, settings.state)
    deadlines = settings.deadlines
    opening = partial(open_store, url, deadlines=deadlines)
    async with AsyncExitStack() as ending:  # in reverse, each one whatever becomes of the others
        watcher = ModelWatcher(
            settings.models,
            poll_seconds=settings.poll_seconds,
            verify_bytes=settings.verify_bytes,
            rules=settings.event_rules,
        )
        ending.push_async_callback(to_thread.run_sync, watcher.close)
        journal = Journal(opening, settings.event_rules, keepsake, deadlines)
        restocker = Restocker(watcher, journal, settings.event_rules, settings.newcomer_rules)
        ending.push_async_callback(to_thread.run_sync, restocker.close)
        # The store before the restocker, whose questions that ends as well.
        ending.push_async_callback(journal.close)
        batcher = Batcher(size=settings.live_queue, wait_seconds=settings.live_wait_seconds)
        ending.push_async_callback(batcher.close)
        app.state.watcher, app.state.journal, app.state.batcher = watcher, journal, batcher
        await to_thread.run_sync(watcher.start)
        await to_thread.run_sync(journal.start)
        restocker.start()
        app.hot_route.open(watcher, journal, batcher)
        yield
