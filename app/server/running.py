"""Runs the application until it is told to end, in worker processes."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from app.errors import InvalidSettings
from app.files import shared_folder
from app.observe.start_failures import too_few_files
from app.server.caching import NEVER
from app.settings import Settings

if TYPE_CHECKING:
    import socket
    from multiprocessing.process import BaseProcess

    import uvicorn
    from fastapi import FastAPI

# By the name that this package was imported by.
_APP: Final = f"{__name__}:create_worker_app"
_PROTOCOL: Final = f"{__package__}.protocol:Connection"
_H11_HEAD_BYTES: Final = 64 * 1024
# Of models, event stores, logs and threads.
_OTHER_FILES: Final = 256
# Of every answer, also of those that the server gives itself.
_HEADERS: Final = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", NEVER),
    # Pages of other origins may read answers where CORS lets them, but not embed them.
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
]
# A request with 10,000 events makes as many objects as Python by default lets live before it scans
# all of them for cycles, while nobody is answered. Requests leave few cycles behind.
_NEW_OBJECTS_PER_COLLECTION: Final = 50_000
# A thread that computes holds the interpreter for so long while another one waits for it, at each
# of the other's steps. With Python's 5 ms a list that is ranked beside 10,000 events took 70 to
# 130 ms at worst (`benchmarks/heavy_requests.py`).
_SWITCH_SECONDS: Final = 0.001

_log = logging.getLogger(__name__)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serves on an open port until SIGTERM or SIGINT."""
    options = _options(settings)
    try:
        import httptools  # noqa: F401, PLC0415
    except ImportError:
        _serve_with_h11(settings, listener, options)
        return
    from app.server.draining import ServiceConfig  # noqa: PLC0415 - slow to import
    from app.server.limits import Limits  # noqa: PLC0415

    allow_files(settings.max_connections + _OTHER_FILES)
    config = ServiceConfig(_APP, http=_PROTOCOL, limits=Limits.of(settings), **options)
    _supervise(config, listener)


def _supervise(config: uvicorn.Config, listener: socket.socket) -> None:
    from app.server.supervisor import FAILED, Supervisor  # noqa: PLC0415 - slow to import

    supervisor = Supervisor(config, sockets=[listener])
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(FAILED)


def _options(settings: Settings) -> dict[str, Any]:
    """Returns the options of uvicorn's configuration."""
    from app.observe.logs import log_config  # noqa: PLC0415

    return {
        "factory": True,
        "workers": settings.workers,
        "ws": "none",
        "log_config": log_config(settings.log_level),
        "access_log": settings.log_level == "debug",
        "proxy_headers": False,
        "server_header": False,
        "headers": _HEADERS,
        "timeout_graceful_shutdown": settings.shutdown_seconds,
    }


def _serve_with_h11(settings: Settings, listener: socket.socket, options: dict[str, Any]) -> None:
    """Serves on systems that have no httptools, with what uvicorn itself knows of limits."""
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(
        _APP,
        http="h11",
        h11_max_incomplete_event_size=_H11_HEAD_BYTES,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=math.ceil(settings.keep_alive_seconds),
        **options,
    )
    _log.warning(
        "httptools is not installed: slow clients are not cut off, and ending may reset "
        "connections. Install httptools, or put a proxy in front that does both"
    )
    _supervise(config, listener)


def check_machine() -> None:
    """Checks the limit of open files, and that there is a folder for the shared table.

    Raises:
        InvalidSettings: something is missing; the message says what to set.
    """
    if too_few := too_few_files():
        raise InvalidSettings(too_few)
    shared_folder()


def allow_files(number: int) -> None:
    """Lets this process and its workers open so many files, if the system permits it."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return
    if hard != resource.RLIM_INFINITY and hard < number:
        _log.warning(
            "only %d open files are permitted: connections of clients may fail below "
            "ENCORE_MAX_CONNECTIONS; permit %d (ulimit -n, LimitNOFILE=)",
            hard,
            number,
        )
    number = number if hard == resource.RLIM_INFINITY else min(hard, number)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def create_worker_app() -> FastAPI:
    """Builds the app in the process that serves it, a worker's or this one."""
    from app.main import create_app  # noqa: PLC0415 - numpy reads the BLAS variables when loaded

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    sys.setswitchinterval(_SWITCH_SECONDS)
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
