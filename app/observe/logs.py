"""The configuration of the logs."""

from __future__ import annotations

from typing import Any


def log_config(level: str) -> dict[str, Any]:
    """Returns the configuration of ``logging`` for a level.

    Uvicorn's own notices of starting and stopping are logged at ``debug`` only, and so is the
    access log: writing it costs more than answering, and a proxy in front writes a better one.
    """
    debug = level == "debug"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "app": {"level": level.upper()},
            "uvicorn": {"level": level.upper() if debug or level == "error" else "WARNING"},
        },
    }
