from __future__ import annotations

import numpy as np
import pytest

from app.model.id_map import IdMap
from app.recommend.listens import Row, read_listens, stack

ITEMS = IdMap.build(["a", "b", "c", "d"])


def plain(row: Row | None) -> list[tuple[int, float]] | None:
    if row is None:
        return None
    items, plays = row
    assert items.dtype == np.int32
    assert plays.dtype == np.float32
    return list(zip(items.tolist(), plays.tolist(), strict=True))


def row(*pairs: tuple[int, float]) -> Row:
    return (
        np.array([item for item, _ in pairs], dtype=np.int32),
        np.array([plays for _, plays in pairs], dtype=np.float32),
    )


def test_listens_become_a_sorted_row_of_summed_plays_without_unknown_items() -> None:
    listens = [("d", 2), ("nobody", 7), ("b", 1.5), ("d", 3), ("", 1)]
    assert plain(read_listens(listens, ITEMS)) == [(1, 1.5), (3, 5)]


@pytest.mark.parametrize("listens", [[], [("nobody", 1.0)], [("\udc00", 1.0), ("x" * 5000, 2.0)]])
def test_without_a_known_item_there_is_no_row(listens: list[tuple[str, float]]) -> None:
    assert read_listens(listens, ITEMS) is None


@pytest.mark.parametrize("plays", [0, -1, -0.0, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("item_id", ["b", "nobody"])
def test_plays_that_are_no_number_above_zero_are_refused(item_id: str, plays: float) -> None:
    with pytest.raises(ValueError, match=f"plays of '{item_id}' are {plays}; expected"):
        read_listens([("a", 1), (item_id, plays)], ITEMS)


def test_plays_beyond_float32_are_refused() -> None:
    assert plain(read_listens([("a", 3e38)], ITEMS)) is not None
    for listens in ([("a", 1e39)], [("a", 3e38), ("b", 1), ("a", 3e38)]):
        with pytest.raises(ValueError, match="are they plays"):
            read_listens(listens, ITEMS)


def test_stacked_rows_are_the_rows_of_a_matrix() -> None:
    rows = [row((0, 1), (2, 5)), row(), row((3, 2))]
    matrix = stack(rows, 4)
    assert (matrix.n_users, matrix.n_items, matrix.nnz) == (3, 4, 3)
    assert [plain(matrix.row(index)) for index in range(3)] == [plain(one) for one in rows]
