"""The items table: what is known of every item, by its index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from app.model.id_map import IdMap, StringTable


@dataclass(frozen=True, slots=True)
class Items(IdMap):
    """The ids of items, and what else is known of each.

    It is a map of ids, so that looking one up costs no more than it does in such a map. A further
    column is a field here, a column of ``training.data.items.ItemTable`` and its arrays in the
    format; what lies between hands the table on as a whole.

    Attributes:
        names: the name to show, by item index; the id where no name is known.
    """

    names: StringTable

    @classmethod
    def of(cls, ids: IdMap, names: StringTable) -> Self:
        """Puts the columns together.

        Args:
            ids: by item index.
            names: as many, in the same order.

        Raises:
            ValueError: there are more of one than of the other.
        """
        if len(ids) != len(names):
            raise ValueError(f"{len(ids)} items have {len(names)} names")
        return cls(ids.strings, ids.buckets, ids.order, names)
