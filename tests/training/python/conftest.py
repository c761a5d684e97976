"""Plays whose answers are certain."""

from __future__ import annotations

import polars as pl
import pytest

import encore

SIZE = 20


@pytest.fixture(scope="session")
def board() -> pl.DataFrame:
    """Even users play even artists, odd users odd ones, except that user u lacks artist u."""
    pairs = [
        (f"u{user}", f"i{item}", f"name of i{item}", 1 + (user + item) % 3)
        for user in range(SIZE)
        for item in range(SIZE)
        if (user + item) % 2 == 0 and user != item
    ]
    return pl.DataFrame(pairs, schema=["user_id", "item_id", "name", "plays"], orient="row")


@pytest.fixture(scope="session")
def data(board: pl.DataFrame) -> encore.Data:
    """The board, with a recipe that learns it in no time."""
    return encore.prepare(encore.read(board), factors=2, iterations=15)
