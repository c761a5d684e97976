"""``python -m app``: the service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from app import __version__
from app.artifacts.pointer import read_pointer
from app.errors import EncoreError, InvalidSettings
from app.server.listening import listen
from app.server.running import serve
from app.settings import Settings, flag, load_settings, variable

# One BLAS thread for each worker: more of them would compete for the processors.
BLAS_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
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
        listener = listen(settings.host, settings.port)
    except InvalidSettings as error:
        for line in str(error).splitlines():
            _say(f"error: {line}", stream=sys.stderr)
        return 2
    with listener:
        _say(_start_line(settings, listener.getsockname()[1]))
        serve(settings, listener)
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
    print(line, file=stream or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
