"""The watermark of a model: the last event of a store that it was trained on."""

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
