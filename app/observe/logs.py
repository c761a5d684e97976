"""The configuration of the logs."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Final

from app.text import visible

_FORMAT: Final = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
_INDENT: Final = "    "
# The package of the service, by the name that it was imported by.
_OURS: Final = __name__.removesuffix(".observe.logs")


class LineFormatter(logging.Formatter):
    """Writes a message as one line, in which nothing is hidden.

    Messages hold ids, names and paths that others chose. A line feed in them could pass for another
    message, and a terminal obeys other controls. The lines of a traceback are indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of the base
        """Returns the line of a message."""
        # Uvicorn ends some messages with a line feed.
        return visible(super().formatMessage(record).rstrip("\n"))

    def formatException(  # noqa: N802 - of the base
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Returns the lines of a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - of the base
        """Returns the lines of a stack."""
        return _indented(super().formatStack(stack_info))


def _indented(lines: str) -> str:
    return "\n".join(f"{_INDENT}{visible(line)}" for line in lines.split("\n"))


def log_config(level: str) -> dict[str, Any]:
    """Returns the configuration of ``logging`` for a level.

    Uvicorn's own notices of starting and stopping are logged at ``debug`` only, and so is the
    access log: writing it costs more than answering, and a proxy in front writes a better one.
    """
    debug = level == "debug"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter, "format": _FORMAT}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            _OURS: {"level": level.upper()},
            "uvicorn": {"level": level.upper() if debug or level == "error" else "WARNING"},
        },
    }
