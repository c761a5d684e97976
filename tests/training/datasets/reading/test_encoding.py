"""Codes of texts, also where hashes collide."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from training.datasets.reading import encoding
from training.datasets.reading.encoding import encode, encode_blocks, most_frequent_names
from training.errors import DatasetError

SOURCE = pl.DataFrame(
    {
        "user": ["b", "a", "b", ""],
        "item": ["x", "y", "", "x"],
        "name": ["y", "x", "x", "y"],
        "plays": [1, 2, 3, 4],
    }
)


def test_codes_are_positions_in_sorted_texts() -> None:
    encoded = encode(SOURCE.lazy(), ["item", "name"], [pl.col("plays") * 2])

    assert encoded.users.to_list() == ["", "a", "b"]
    assert encoded.items.rows() == [("", "x"), ("x", "y"), ("y", "x")]
    assert encoded.user_codes.tolist() == [2, 1, 2, 0]
    assert encoded.item_codes.tolist() == [1, 2, 0, 1]
    assert encoded.rest.to_dict(as_series=False) == {"plays": [2, 4, 6, 8]}


def test_a_hash_shared_by_two_texts_is_noticed_and_another_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_hash, seeds = encoding._hash, []

    def poor_hash(columns: Sequence[str], seed: int) -> pl.Expr:
        seeds.append(seed)
        return true_hash(columns, seed) % (2 if seed < 2 else 2**63)

    monkeypatch.setattr(encoding, "_hash", poor_hash)
    encoded = encode(SOURCE.lazy(), ["item", "name"], [])

    assert seeds == [0, 1, 2]
    assert encoded.item_codes.tolist() == [1, 2, 0, 1]


@pytest.mark.parametrize("between", [0, 500_000])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_blocks_have_the_codes_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, between: int, size: int
) -> None:
    monkeypatch.setattr(encoding, "_ROWS_BETWEEN_JOINS", between)
    read = [SOURCE.clear(), *SOURCE.iter_slices(size)]
    encoded = encode_blocks(lambda: read, ["item", "name"])

    whole = encode(SOURCE.lazy(), ["item", "name"], [pl.col("plays")])
    assert encoded.users.equals(whole.users)
    assert encoded.items.equals(whole.items)
    assert encoded.user_codes.tolist() == whole.user_codes.tolist()
    assert encoded.item_codes.tolist() == whole.item_codes.tolist()
    assert encoded.rest.equals(whole.rest)


def test_blocks_are_read_again_where_two_texts_share_a_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_hash = encoding._hash
    monkeypatch.setattr(
        encoding, "_hash", lambda items, seed: true_hash(items, seed) % (2 if seed == 0 else 2**63)
    )
    encoded = encode_blocks(lambda: SOURCE.iter_slices(2), ["item", "name"])
    assert encoded.item_codes.tolist() == [1, 2, 0, 1]


def test_a_text_that_came_only_later_is_an_error() -> None:
    with pytest.raises(DatasetError, match="changed while it was read"):
        encoding._codes(pl.Series([7, 8]), pl.Series([7]))


def test_the_most_frequent_name_wins_ties_by_bytes() -> None:
    names = pl.DataFrame(
        {
            "item": ["i", "i", "i", "j", "j", "k", "l"],
            "name": ["a", "b", "a", "ä", "z", "", "never"],
            "rows": [2, 3, 2, 1, 1, 9, 0],
        }
    )

    assert most_frequent_names(names).rows() == [("i", "a"), ("j", "z")]
