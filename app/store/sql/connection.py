"""The common interface of database drivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Returns the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Returns all remaining rows."""
        ...


class Connection(Protocol):
    """A connection of any driver."""

    def execute(self, statement: str, parameters: Sequence[Any] = ...) -> Cursor:
        """Runs a statement; parameters have the database's mark."""
        ...
