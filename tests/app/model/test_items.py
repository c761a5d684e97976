from __future__ import annotations

import pytest

from app.model.id_map import IdMap, StringTable
from app.model.items import Items


def test_items_are_looked_up_by_id_and_shown_by_name() -> None:
    items = Items.of(IdMap.build(["a/b", "é"]), StringTable.build(["A/B", ""]))
    assert (len(items), items.index("é"), items.index("A/B"), items.id(0)) == (2, 1, None, "a/b")
    assert items.indices(["é", "nothing", "a/b"]).tolist() == [1, 0]
    assert list(items.names) == ["A/B", ""]


def test_as_many_names_as_ids_or_none_of_it() -> None:
    with pytest.raises(ValueError, match="2 items have 1 names"):
        Items.of(IdMap.build(["a", "b"]), StringTable.build(["A"]))
