from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.format import ARRAYS, ArraySpec, arrays_of
from app.model.model import Model
from tests.builders import random_model, with_linear

PAGE = Path(__file__).parents[3] / "docs" / "artifact.md"
ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<dtype>\w+) \| (?P<shape>[^|]+) \| (?P<holds>[^|]+) \|")


@pytest.fixture(scope="module")
def model() -> Model:
    """A model with both blocks."""
    return with_linear(random_model(np.random.default_rng(2), n_users=6, n_items=5), list_length=2)


def shape_of(spec: ArraySpec) -> str:
    """The shape as Python writes a tuple."""
    inside = ", ".join(spec.shape) + ("," if len(spec.shape) == 1 else "")
    return f"({inside})" + (" or (0,)" if spec.may_be_empty else "")


def test_the_page_lists_each_array_as_the_table_declares_it() -> None:
    told = [match.groupdict() for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    assert [(row["name"], row["dtype"], row["shape"]) for row in told] == [
        (name, np.dtype(spec.dtype).name, shape_of(spec)) for name, spec in ARRAYS.items()
    ]
    optional = [row["name"] for row in told if row["holds"].startswith("optional")]
    assert optional == [name for name, spec in ARRAYS.items() if spec.optional]


def test_references_between_arrays_are_consistent() -> None:
    for name, spec in ARRAYS.items():
        if spec.offsets_into:
            assert len(ARRAYS[spec.offsets_into].shape) == 1, name
            assert not spec.optional, name
        if spec.pair:
            assert ARRAYS[spec.pair].pair == name
            assert ARRAYS[spec.pair].optional
            assert spec.optional, name
        assert spec.optional or not spec.essential, name


def test_only_optional_arrays_may_be_missing_from_a_model(model: Model) -> None:
    without = replace(model, top_lists=None, user_items=replace(model.user_items, recency=None))
    always = [name for name, spec in ARRAYS.items() if not spec.optional]
    for block, array in zip(model.blocks, ("item_gramian", "history_factors"), strict=True):
        found = list(arrays_of(replace(without, blocks=(block,))))
        assert sorted(found) == sorted([*always, array])
    assert list(arrays_of(model)) == [name for name in ARRAYS if name != "user_items_recency"]


def test_only_arrays_that_an_older_reader_may_ignore_are_optional() -> None:
    assert [name for name, spec in ARRAYS.items() if spec.may_be_ignored] == [
        "top_items",
        "top_scores",
    ]
