"""Progress of steps, and the observers that show it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """Shows the progress of steps."""

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Starts a step; the returned function takes the amount done since its last call."""
        ...


class NoProgress:
    """Shows nothing."""

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Ignores the step."""
        del name, total
        return lambda _done: None


@dataclass(frozen=True, slots=True)
class PartOf:
    """Shows steps as parts of a larger one.

    Attributes:
        name: of the larger step.
        progress: where they are shown.
    """

    name: str
    progress: Progress | None

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Starts a step under both names."""
        return (self.progress or NoProgress()).step(f"{self.name}: {name}", total)


class Observer(Protocol):
    """Shows progress and notes to the user."""

    def note(self, message: str) -> None:
        """Shows a note."""
        ...

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Shows a message while the block runs."""
        ...

    def bars(self) -> AbstractContextManager[Progress]:
        """Shows the progress of steps while the block runs."""
        ...


class Unobserved:
    """Shows nothing; an ``Observer``."""

    def note(self, message: str) -> None:
        """Ignores the message."""
        del message

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Ignores the message."""
        del what
        return nullcontext()

    def bars(self) -> AbstractContextManager[Progress]:
        """Ignores all steps."""
        return nullcontext(NoProgress())
