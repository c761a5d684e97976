"""``python -m app``: the service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from logging.config import dictConfig
from pathlib import Path
from socket import socket
from typing import Any, Final, TextIO

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from app import __version__
from app.artifacts.pointer import read_pointer
from app.errors import EncoreError, InvalidSettings
from app.observe.logs import log_config
from app.observe.start_failures import sentence_for
from app.server.allocator import share_one_arena
from app.server.listening import listen
from app.server.run_note import noted_run
from app.server.running import check_machine, serve
from app.settings import Settings, check_variables, flag, load_settings, variable
from app.text import visible

# One BLAS thread for each worker: more of them would compete for the processors.
BLAS_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# A command line is readable by everyone on the machine.
_VARIABLE_ONLY: Final = frozenset({"api_key", "database_url"})
# The exit status of a start that failed, as uvicorn has it.
_FAILED: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the service until it is told to end, and returns the exit status."""
    _open_streams()
    given = vars(_parser().parse_args(arguments))
    # Into the environment, which worker processes inherit.
    os.environ.update({variable(name): value for name, value in given.items() if value is not None})
    for name in BLAS_VARIABLES:
        os.environ.setdefault(name, "1")
    share_one_arena()
    try:
        unknown = check_variables()
        settings = load_settings()
        check_machine()
        listener = listen(settings.host, settings.port)
    except InvalidSettings as error:
        for line in str(error).split("\n"):
            _say(f"error: {line}", stream=sys.stderr)
        return 2
    if unknown:
        _say(f"warning: nothing reads {', '.join(unknown)}", stream=sys.stderr)
    with listener:
        _say(_start_line(settings, listener.getsockname()[1]))
        return _serve(settings, listener)


def _serve(settings: Settings, listener: socket) -> int:
    dictConfig(log_config(settings.log_level))
    try:
        with noted_run(settings):
            serve(settings, listener)
    except Exception as error:
        sentence = sentence_for(error)
        if sentence is None:
            raise
        _say(f"error: {sentence}", stream=sys.stderr)
        return _FAILED
    return 0


def _open_streams() -> None:
    """Opens the standard streams that are closed.

    Otherwise the next file that is opened would be taken for one of them, and what libraries print
    would be written into it: into the event store, for instance.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one; for workers as well.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        allow_abbrev=False,
        description=f"Encore {__version__}, the service. Each setting is a variable or a flag; "
        "the flag wins, and an empty variable counts as unset.",
    )
    parser.add_argument("--version", action="version", version=__version__)
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
    if default is None or default == ():
        return "none"
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, ByteSize):
        return default.human_readable(separator="").replace(".0", "")
    return str(default).lower() if isinstance(default, bool) else str(default)


def _start_line(settings: Settings, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"Encore {__version__} on {url} (calls: {url}/docs), {_model_note(settings.models)}"


def _model_note(models: Path) -> str:
    try:
        version = read_pointer(models)
    except (EncoreError, OSError) as error:
        return f"current model unknown: {error}"
    if version:
        return f"model {version}"
    return (
        f"no model in {models} yet: run `python -m training train --dataset NAME --data PATH "
        f"--models {models}`"
    )


def _say(line: str, stream: TextIO | None = None) -> None:
    stream = stream or sys.stdout
    try:
        print(visible(line), file=stream, flush=True)
    except OSError:  # nobody reads it, or its disk is full; that is no reason not to serve
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
