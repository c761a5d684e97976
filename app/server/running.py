"""Runs the application until it is told to end, in worker processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from app.settings import Settings

if TYPE_CHECKING:
    import socket
    from multiprocessing.process import BaseProcess

    from fastapi import FastAPI

_GRACE_SECONDS: Final = 10
# Of every answer, also of those that the server gives itself.
_HEADERS: Final = [
    ("X-Content-Type-Options", "nosniff"),
    # Lists follow events, and caches do not know that X-API-Key is a secret.
    ("Cache-Control", "no-store"),
    # Pages of other origins may read answers where CORS lets them, but not embed them.
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
]
# A request with 10,000 events makes as many objects as Python by default lets live before it scans
# all of them for cycles, while nobody is answered. Requests leave few cycles behind.
_NEW_OBJECTS_PER_COLLECTION: Final = 50_000


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serves on an open port until SIGTERM or SIGINT."""
    import uvicorn  # noqa: PLC0415 - slow to import, and not needed for refused settings
    from uvicorn.config import STARTUP_FAILURE  # noqa: PLC0415

    from app.observe.logs import log_config  # noqa: PLC0415
    from app.server.supervisor import Supervisor  # noqa: PLC0415

    config = uvicorn.Config(
        "app.server.running:create_worker_app",
        factory=True,
        workers=settings.workers,
        ws="none",
        log_config=log_config(settings.log_level),
        access_log=settings.log_level == "debug",
        proxy_headers=False,
        server_header=False,
        headers=_HEADERS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    supervisor = Supervisor(config, sockets=[listener])
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(STARTUP_FAILURE)


def create_worker_app() -> FastAPI:
    """Builds the app in the process that serves it, a worker's or this one."""
    from app.main import create_app  # noqa: PLC0415 - numpy reads the BLAS variables when loaded

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    app = create_app()
    # Imported objects live as long as the process; frozen, they are not scanned at each collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION, *gc.get_threshold()[1:])
    return app


def _end_with(parent: BaseProcess) -> None:
    """Ends this worker when its parent has ended.

    A parent that is killed cannot end its workers, and they would keep the port in use.
    """
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
