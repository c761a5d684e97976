"""Overlap: plays that a dataset and the events of a store both hold, known by their second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

_KEY: Final = ("user", "item", "second")
# What is less than this share of an event is the rounding of sums.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Timed:
    """Plays with their times, as codes that a dataset and events share.

    Attributes:
        users, items: int32, shape (n,); an item of -1 is none.
        plays: float32, shape (n,), above 0.
        seconds: int64, shape (n,), since 1970 (UTC).
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    plays: NDArray[np.float32]
    seconds: NDArray[np.int64]

    def take(self, which: NDArray[np.bool_]) -> Timed:
        """Returns the plays that a mask chooses."""
        return Timed(self.users[which], self.items[which], self.plays[which], self.seconds[which])

    def frame(self) -> pl.DataFrame:
        """Returns the plays as columns: user, item, second and plays (Float64)."""
        columns = (self.users, self.items, self.seconds, self.plays.astype(np.float64))
        return pl.DataFrame(dict(zip((*_KEY, "plays"), columns, strict=True)))


def not_held(events: Timed, data: Timed) -> NDArray[np.float32]:
    """Returns the plays of each event that the data do not hold.

    Of the same user, artist and second count as many plays as the data or the events have,
    whichever have more; so what is repeated within one of them stays.

    Args:
        events: those that are to be added.
        data: the records of the dataset.

    Returns:
        float32, shape (n_events,); 0 for an event that the data hold.
    """
    if not len(events.users):
        return events.plays
    known = data.take(_among(data.users, events.users) & _among(data.items, events.items))
    held = known.frame().group_by(_KEY).agg(pl.col("plays").sum().alias("held"))
    left = (
        events.frame()
        .join(held, on=_KEY, how="left", maintain_order="left")
        .with_columns(
            (pl.col("plays").cum_sum().over(_KEY) - pl.col("held").fill_null(0.0)).alias("beyond")
        )
        .select(
            pl.when(pl.col("beyond") > _ROUNDING * pl.col("plays"))
            .then(pl.min_horizontal("beyond", "plays"))
            .otherwise(0.0)
            .cast(pl.Float32)
        )
    )
    plays: NDArray[np.float32] = left.to_series().to_numpy()
    return plays


def _among(codes: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Marks the codes that occur among others; -1 does not."""
    occurs = np.zeros(max(int(codes.max(initial=-1)), int(others.max(initial=-1))) + 2, dtype=bool)
    occurs[others] = True
    occurs[-1] = False
    marks: NDArray[np.bool_] = occurs[codes]
    return marks
