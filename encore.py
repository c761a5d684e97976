"""Encore from Python: reads plays, fits and measures models, recommends and publishes.

The calls are made of ``training.python``, which is loaded when the first of them is used, so that
the service runs without what only training needs. ``docs/python.md`` shows them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import __version__
from app.errors import EncoreError

if TYPE_CHECKING:
    from training.python import Data, Model, Plays, Results, fit, load, measure, prepare, read

__all__ = [
    "Data",
    "EncoreError",
    "Model",
    "Plays",
    "Results",
    "__version__",
    "fit",
    "load",
    "measure",
    "prepare",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from training import python  # noqa: PLC0415 - see the top of this module
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{__name__}.{name} needs the extra `training`, of which {error.name} is not "
            "installed: in the folder of Encore, run pip install '.[training]'",
            name=error.name,
        ) from error
    return getattr(python, name)


def __dir__() -> list[str]:
    return __all__
