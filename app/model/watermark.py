"""How far a model has learned the events of a store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a training has read an event store.

    Attributes:
        store: the store's id.
        sequence: number of the last event that was read.
    """

    store: str
    sequence: int
