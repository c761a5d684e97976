"""``python -m app``: the service."""

from __future__ import annotations

import argparse
import errno
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from app import __version__
from app.errors import EncoreError, InvalidSettings
from app.settings import Settings, flag, load_settings, variable

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from fastapi import FastAPI

# One BLAS thread for each worker: more of them would compete for the processors.
BLAS_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_BACKLOG: Final = 2048
_GRACE_SECONDS: Final = 10
# A command line is readable by everyone on the machine.
_VARIABLE_ONLY: Final = frozenset({"api_key", "database_url"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the service until it is told to end, and returns the exit status."""
    given = vars(_parser().parse_args(arguments))
    # Into the environment, which worker processes inherit.
    os.environ.update({variable(name): value for name, value in given.items() if value is not None})
    for name in BLAS_VARIABLES:
        os.environ.setdefault(name, "1")
    try:
        settings = load_settings()
        listener = _listen(settings.host, settings.port)
    except InvalidSettings as error:
        for line in str(error).splitlines():
            _say(f"error: {line}", stream=sys.stderr)
        return 2
    with listener:
        _say(_start_line(settings, listener.getsockname()[1]))
        _serve(settings, listener)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        allow_abbrev=False,
        description=f"Encore {__version__}, the service. Each setting is a variable or a flag; "
        "the flag wins, and an empty variable counts as unset.",
    )
    for name, info in Settings.model_fields.items():
        if name not in _VARIABLE_ONLY:
            parser.add_argument(flag(name), **_flag_options(name, info))
    only = "; ".join(
        f"{variable(name)}: {Settings.model_fields[name].description}" for name in _VARIABLE_ONLY
    )
    parser.epilog = f"Only as a variable, since others can read a command line: {only}"
    return parser


def _flag_options(name: str, info: FieldInfo) -> dict[str, Any]:
    text = f"{info.description} [{variable(name)}, default {shown_default(info)}]"
    options: dict[str, Any] = {"dest": name, "help": text.replace("%", "%%"), "metavar": "VALUE"}
    if info.annotation is bool:
        options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
    return options


def shown_default(info: FieldInfo) -> str:
    """Returns a setting's default as it is written in a variable."""
    default = info.default
    if default is None:
        return "none"
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, ByteSize):
        return default.human_readable(separator="").replace(".0", "")
    return str(default).lower() if isinstance(default, bool) else str(default)


def _listen(host: str, port: int) -> socket.socket:
    """Opens the port before any worker starts, so that a failure is one sentence.

    Raises:
        InvalidSettings: the address cannot be listened on.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # encoding fails for text that is no host name
        reason = getattr(error, "strerror", None) or "no host name"
        raise InvalidSettings(
            f"ENCORE_HOST is {host!r}: no address to listen on ({reason})"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidSettings(_bind_failure(error, host, port)) from error
    return listener


def _bind_failure(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: end what listens there, or take another with "
            "ENCORE_PORT or --port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not permitted: take one from 1024 on with ENCORE_PORT or --port"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def _start_line(settings: Settings, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"Encore {__version__} on {url} (calls: {url}/docs), {_model_note(settings.models)}"


def _model_note(models: Path) -> str:
    # imported late: numpy reads the BLAS variables when it is loaded
    from app.artifacts.models_folder import ModelsFolder  # noqa: PLC0415

    try:
        version = ModelsFolder(models).current()
    except (EncoreError, OSError) as error:
        return f"current model unknown: {error}"
    if version:
        return f"model {version}"
    return (
        f"no model in {models} yet: run `python -m training train --dataset NAME --data PATH "
        f"--models {models}`"
    )


def _serve(settings: Settings, listener: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - slow to import, and not needed for refused settings
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    from app.observe.logs import log_config  # noqa: PLC0415

    config = uvicorn.Config(
        "app.__main__:create_worker_app",
        factory=True,
        workers=settings.workers,
        ws="none",
        log_config=log_config(settings.log_level),
        access_log=settings.log_level == "debug",
        proxy_headers=False,
        server_header=False,
        headers=[("X-Content-Type-Options", "nosniff")],
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    # Uvicorn finishes its requests and then raises the signal again, which then ends with status 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    server = uvicorn.Server(config)
    if settings.workers == 1:
        server.run(sockets=[listener])
    else:
        Multiprocess(config, sockets=[listener]).run()


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
    return app


def _end_with(parent: BaseProcess) -> None:
    """Ends this worker when its parent has ended.

    A parent that is killed cannot end its workers, and they would keep the port in use.
    """
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _say(line: str, stream: TextIO | None = None) -> None:
    print(line, file=stream or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
