"""What the drivers of databases have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """What a driver returns for a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Returns the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Returns all rows that are left."""
        ...


class Connection(Protocol):
    """What the drivers have in common."""

    def execute(self, statement: str, parameters: Sequence[Any] = ...) -> Cursor:
        """Runs a statement, whose parameters are marked as the database wants it."""
        ...
