"""The command line of the offline side."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from app.errors import EncoreError, InvalidSettings
from app.settings import check_variables
from training.cli import (
    data,
    evaluate,
    events,
    export,
    models,
    report,
    train,
    tune,
)  # registers their commands
from training.cli.app import cli
from training.cli.console import Output
from training.datasets import with_times
from training.errors import TimesMissing

__all__ = [
    "cli",
    "data",
    "evaluate",
    "events",
    "export",
    "main",
    "models",
    "report",
    "train",
    "tune",
]


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        tokens: the arguments; by default those of the process.

    Returns:
        The exit code: 1 for an error, which is shown in one paragraph; 3 for a training whose
        model was not made current; 130 after Ctrl-C. Wrong options exit with 2 directly.
    """
    for name in ("ENCORE_DATABASE_URL", "ENCORE_MODELS"):
        if not os.environ.get(name):  # empty counts as unset, as in the service
            os.environ.pop(name, None)
    try:
        unknown = check_variables()
    except InvalidSettings as error:
        for line in str(error).split("\n"):
            Output().error(line)
        return 2
    if unknown:
        Output().warn(f"nothing reads {', '.join(unknown)}")
    try:
        code = cli(
            _with_values(sys.argv[1:] if tokens is None else tokens), result_action="return_value"
        )
    except TimesMissing as error:
        Output().error(error.naming(with_times()))
        return 1
    except EncoreError as error:
        Output().error(str(error))
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        Output().error(f"{where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        Output().error("interrupted")
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def _with_values(tokens: Sequence[str]) -> list[str]:
    """Adds the value ``-`` to a ``--json`` without a value, before ``--``, which ends options."""
    result = list(tokens)
    end = result.index("--") if "--" in result else len(result)
    for number in reversed(range(end)):
        following = result[number + 1 : number + 2]
        has_value = following[:1] == ["-"] or (following and not following[0].startswith("-"))
        if result[number] == "--json" and not has_value:
            result.insert(number + 1, "-")
    return result
