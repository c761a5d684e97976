"""The application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.artifacts.models_folder import ModelsFolder
from app.hosts import HostRule
from app.http.access.calls import check_calls
from app.http.access.cors import Cors
from app.http.access.host_guard import HostGuard
from app.http.access.key_guard import KeyGuard
from app.http.body_limit import BodyLimit
from app.http.compression import Compressing
from app.http.documentation import install_documentation
from app.http.head import HeadAsGet
from app.http.hot_route import HotRoute
from app.http.problems import answer_error, install_problem_handlers
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
from app.http.start import StartFailures
from app.serving.batcher import Batcher
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.serving.newcomer_worker import NewcomerWorker
from app.settings import Settings, load_settings
from app.store.address import open_store
from app.store.keepsake import Keepsake


class _AnsweringFaults:
    """Answers exceptions that a middleware raises; the application behind answers its own.

    Args:
        door: the middleware, and the application behind it.
        app: has the exception handlers.
    """

    def __init__(self, door: ASGIApp, app: FastAPI) -> None:
        self._door = door
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        # A plain function: a coroutine of its own would take longer than the work.
        def watched_send(message: Message) -> Awaitable[None]:
            nonlocal has_begun
            has_begun = True
            return send(message)

        try:
            await self._door(scope, receive, watched_send)
        except Exception as error:
            if scope["type"] != "http" or has_begun:
                raise
            await answer_error(error, self._app, scope, receive, send)


class Service(FastAPI):
    """The application: added middleware sees every request, whether the hot route answers or not.

    The hot route answers the commonest call, FastAPI with its own layers everything else::

        added middleware -> guards -> hot route -> reading -> FastAPI's handlers -> routes

    A middleware sees a request as the server hands it over; ``encoded_path`` is its path as sent.

    Args:
        guards: what refuses requests, outermost first; unlike added middleware it raises nothing.
        reading: how FastAPI gets a request that the hot route hands over, outermost first.
        options: those of FastAPI.
    """

    def __init__(
        self, *, guards: Sequence[Middleware], reading: Sequence[Middleware], **options: Any
    ) -> None:
        super().__init__(**options)
        self._guards = [*guards]
        self._reading = [*reading]
        self.hot_route = HotRoute(self, super().__call__)
        self._door: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        door = self._door or self._build_door()
        scope["app"] = self
        await door(scope, receive, send)

    def _build_door(self) -> ASGIApp:
        door: ASGIApp = self.hot_route
        for middleware, args, kwargs in reversed([*self.user_middleware, *self._guards]):
            door = middleware(door, *args, **kwargs)
        if self.user_middleware:
            door = _AnsweringFaults(door, self)
        # From now on FastAPI refuses to take more middleware.
        self.middleware_stack = self.middleware_stack or self.build_middleware_stack()
        self._door = door
        return door

    def build_middleware_stack(self) -> ASGIApp:
        """Builds the layers behind the hot route."""
        added, self.user_middleware = self.user_middleware, self._reading
        try:
            return super().build_middleware_stack()
        finally:
            self.user_middleware = added


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; nothing is opened before its lifespan begins.

    Args:
        settings: the settings; read from the environment by default.

    Raises:
        InvalidSettings: a variable in the environment is invalid.
    """
    settings = settings or load_settings()
    app = Service(
        guards=_guards(settings),
        reading=[
            Middleware(StartFailures),
            Middleware(HeadAsGet),
            Middleware(Compressing),
            Middleware(RawTarget),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        ],
        title="Encore",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # install_documentation adds a page of its own
        redoc_url=None,
        redirect_slashes=False,  # a slash at the end is another path
    )
    app.state.settings = settings
    for module in (recommend, events, users, artists, popular, model, health, metrics, admin):
        app.include_router(module.router)
    install_documentation(app)
    install_problem_handlers(app)
    check_calls(app)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    return app


def _guards(settings: Settings) -> list[Middleware]:
    """Returns what a request has to pass, by settings, which do not change."""
    guards = []
    key, hosts = settings.api_key, HostRule(settings.allowed_hosts)
    if not hosts.allows_any and (key is None or settings.allowed_hosts):
        # With a key, a page of another origin can do no more than any other client without it.
        origins = settings.cors_origins if key is None else None
        guards.append(Middleware(HostGuard, hosts=hosts, origins=origins))
    if key is not None:
        guards.append(Middleware(KeyGuard, key=key.get_secret_value(), protect=settings.protect))
    return guards


@asynccontextmanager
async def _lifespan(app: Service) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    url = settings.database_url.get_secret_value()
    keepsake = Keepsake(url, settings.state)
    deadlines = settings.deadlines
    opening = partial(open_store, url, deadlines=deadlines)
    async with AsyncExitStack() as ending:  # in reverse order, each even if another one fails
        follower = ModelFollower(
            ModelsFolder(settings.models),
            poll_seconds=settings.poll_seconds,
            verify_bytes=settings.verify_bytes,
            rules=settings.event_rules,
        )
        ending.push_async_callback(to_thread.run_sync, follower.close)
        journal = Journal(opening, settings.event_rules, keepsake, deadlines)
        newcomer_worker = NewcomerWorker(
            follower, journal, settings.event_rules, settings.newcomer_rules
        )
        ending.push_async_callback(to_thread.run_sync, newcomer_worker.close)
        # Closed before the newcomer worker: closing the store ends the questions of that worker.
        ending.push_async_callback(journal.close)
        batcher = Batcher(size=settings.live_queue, wait_seconds=settings.live_wait_seconds)
        ending.push_async_callback(batcher.close)
        app.state.follower, app.state.journal, app.state.batcher = follower, journal, batcher
        await to_thread.run_sync(follower.start)
        await to_thread.run_sync(journal.start)
        newcomer_worker.start()
        app.hot_route.open(follower, journal, batcher)
        yield
