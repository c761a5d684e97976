from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import InvalidId
from app.model import id_map
from app.model.id_map import MAX_ID_BYTES, IdMap, ItemCache, StringTable, encode_id

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, max_examples=60)
@given(st.lists(texts, unique=True, max_size=30), st.lists(texts, max_size=10))
def test_ids_come_back_byte_exact_and_missing_ones_are_none(
    ids: list[str], others: list[str]
) -> None:
    id_map = IdMap.build(ids)
    assert len(id_map) == len(ids)
    assert [id_map.id(index) for index in range(len(ids))] == ids
    assert [id_map.index(text) for text in ids] == list(range(len(ids)))
    for other in set(others) - set(ids):
        assert id_map.index(other) is None


def test_ids_that_only_look_alike_are_different() -> None:
    ids = ["Björk", "Bjo\u0308rk", "bjork", "Björk ", "", ".", "..", "AC/DC", "AC%2FDC", "a\0b"]
    id_map = IdMap.build(ids)
    assert [id_map.index(text) for text in ids] == list(range(len(ids)))
    assert id_map.index("BJÖRK") is None
    assert id_map.index("a") is None


def test_an_id_may_have_256_bytes_but_not_257() -> None:
    longest = "é" * (MAX_ID_BYTES // 2)
    assert IdMap.build([longest]).index(longest) == 0
    with pytest.raises(InvalidId, match="at most 256 bytes; this one has 257"):
        encode_id(longest + "x")
    with pytest.raises(InvalidId, match="has 257"):
        IdMap.build([longest + "x"])


def test_looking_up_an_invalid_id_finds_nothing_and_does_not_raise() -> None:
    id_map = IdMap.build(["a", "b"])
    assert id_map.index("x" * 10_000) is None
    assert id_map.index("\udc80") is None
    assert id_map.index("") is None


def test_a_lone_surrogate_is_not_an_id() -> None:
    with pytest.raises(InvalidId, match="character 1"):
        encode_id("a\ud800")


def test_building_with_a_lone_surrogate_raises_invalid_id() -> None:
    # Was wrong: the table of texts was built before the ids were checked and raised a
    # UnicodeEncodeError instead.
    with pytest.raises(InvalidId, match="valid UTF-8"):
        IdMap.build(["fine", "\udcff"])


def test_a_duplicate_id_is_refused_by_name() -> None:
    with pytest.raises(InvalidId, match="'b' is given twice"):
        IdMap.build(["a", "b", "c", "b"])


def test_an_empty_map_has_no_ids() -> None:
    id_map = IdMap.build([])
    assert len(id_map) == 0
    assert id_map.index("a") is None
    assert id_map.indices(["a", "b"]).tolist() == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 255, 256, 257])
def test_maps_around_a_power_of_two_find_everyone(size: int) -> None:
    ids = [f"id {number}" for number in range(size)]
    id_map = IdMap.build(ids)
    assert id_map.indices(ids).tolist() == list(range(size))
    assert id_map.buckets[-1] == size
    assert (len(id_map.buckets) - 1).bit_count() == 1


def test_indices_have_the_order_asked_and_leaves_out_missing_ids() -> None:
    id_map = IdMap.build(["a", "b", "c"])
    found = id_map.indices(["c", "nobody", "a", "c"])
    assert found.dtype == np.int64
    assert found.tolist() == [2, 0, 2]


def test_equal_ids_give_equal_arrays() -> None:
    ids = [f"u{number}" for number in range(100)]
    one, other = IdMap.build(ids), IdMap.build(list(ids))
    assert one.buckets.tobytes() == other.buckets.tobytes()
    assert one.order.tobytes() == other.order.tobytes()


@settings(deadline=None, max_examples=40)
@given(st.lists(texts, max_size=20))
def test_a_table_gives_its_texts_in_order_repeated_and_empty_ones_too(names: list[str]) -> None:
    table = StringTable.build(names)
    assert len(table) == len(names)
    assert list(table) == names


def test_an_index_outside_a_table_raises() -> None:
    # Was wrong: -1, the filler of short lists, gave an empty name.
    table = StringTable.build(["a", "b"])
    for index in (-1, 2):
        with pytest.raises(IndexError, match=f"index {index} of 2 texts"):
            table[index]


@pytest.mark.slow
def test_opening_a_mapped_map_builds_no_object_for_each_id(tmp_path: Path) -> None:
    ids = [f"user {number}" for number in range(200_000)]
    built = IdMap.build(ids)
    arrays: dict[str, NDArray[Any]] = {
        "data": built.strings.data,
        "offsets": built.strings.offsets,
        "buckets": built.buckets,
        "order": built.order,
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    tracemalloc.start()
    try:
        data, offsets, buckets, order = (
            np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays
        )
        mapped = IdMap(StringTable(data, offsets), buckets, order)
        found = [mapped.index(ids[number]) for number in (0, 1, 77_777, 199_999)]
        missing = mapped.index("user 200000")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [0, 1, 77_777, 199_999]
    assert missing is None
    assert mapped.id(123_456) == "user 123456"
    assert peak < 200_000  # less than a byte an id


def test_values_of_items_of_low_index_are_made_once_and_those_of_others_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(id_map, "_CACHED_ITEMS", 3)
    made: list[int] = []

    def make(item: int) -> str:
        made.append(item)
        return f"item {item}"

    cache = ItemCache(make, 5)
    assert cache.of([2, 4, 0]) == ["item 2", "item 4", "item 0"]
    assert cache.of([0, 2, 4, 2]) == ["item 0", "item 2", "item 4", "item 2"]
    assert cache.of([]) == []
    assert made == [2, 4, 0, 4]
    assert ItemCache(make, 0).of([]) == []
