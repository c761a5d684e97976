"""The items table: ids and attributes of all items, by item index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from app.model.id_map import IdMap, StringTable


@dataclass(frozen=True, slots=True)
class Items(IdMap):
    """The ids of items, and further columns.

    It is an id map itself, so that a look-up costs no more than in an id map. A new column is a
    field here, a column of ``training.data.items.ItemTable``, and arrays in the artifact format;
    the code in between passes the table as a whole.

    Attributes:
        names: the display name by item index; the id where no name is known.
    """

    names: StringTable

    @classmethod
    def of(cls, ids: IdMap, names: StringTable) -> Self:
        """Builds the table from its columns.

        Args:
            ids: by item index.
            names: by item index.

        Raises:
            ValueError: the columns differ in length.
        """
        if len(ids) != len(names):
            raise ValueError(f"{len(ids)} items have {len(names)} names")
        return cls(ids.strings, ids.buckets, ids.order, names)
