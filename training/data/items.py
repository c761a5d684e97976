"""The items table while data are prepared: one row for each item, with any columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.model.id_map import IdMap, StringTable
from app.model.items import Items


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """The columns of items, by item index.

    Steps that choose, renumber or join items move whole rows, so that a new column needs no change
    in them.

    Attributes:
        frame: one row for each item; columns ``id`` (String, unique) and ``name`` (String; the id
            where no name is known).
    """

    frame: pl.DataFrame

    @classmethod
    def of(cls, ids: pl.Series, names: pl.Series | None = None) -> ItemTable:
        """Makes a table from its columns.

        Args:
            ids: String, unique.
            names: String, of the same length; by default the ids.
        """
        return cls(pl.DataFrame([ids.alias("id"), (ids if names is None else names).alias("name")]))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def ids(self) -> pl.Series:
        """The ids, String."""
        return self.frame["id"]

    @property
    def names(self) -> pl.Series:
        """The names to show, String."""
        return self.frame["name"]

    def take(self, indices: NDArray[np.integer[Any]]) -> ItemTable:
        """Returns some items, in the given order."""
        return ItemTable(self.frame[indices])

    def union(self, other: ItemTable) -> ItemTable:
        """Returns the items of both tables, sorted by the bytes of their ids.

        An item that is in both tables has the row of this one.
        """
        both = pl.concat([self.frame, other.frame])
        return ItemTable(both.unique("id", keep="first", maintain_order=True).sort("id"))

    def with_ids(self, ids: pl.Series, names: pl.DataFrame) -> ItemTable:
        """Returns the table for other ids; ids of this table have their rows.

        Args:
            ids: String, unique.
            names: columns ``id`` and ``name``, for items without a name here.
        """
        # The name of an item without one is its id.
        known = self.frame.with_columns(
            pl.when(pl.col("name") != pl.col("id")).then(pl.col("name")).alias("name")
        )
        found = (
            pl.DataFrame({"id": ids})
            .join(known, on="id", how="left", maintain_order="left")
            .join(names.rename({"name": "told"}), on="id", how="left", maintain_order="left")
        )
        named = found.with_columns(pl.coalesce("name", "told", "id").alias("name"))
        return ItemTable(named.drop("told"))

    def mapped(self) -> Items:
        """Returns the table in the form of a model.

        Raises:
            InvalidId: an id is longer than the service allows.
        """
        return Items.of(IdMap.build(self.ids.to_list()), StringTable.build(self.names.to_list()))
