from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import encore

PAGE = (Path(__file__).parents[3] / "docs/python.md").read_text(encoding="utf-8")
CALLS = [name for name in encore.__all__ if inspect.isfunction(getattr(encore, name))]


def test_the_page_shows_every_call() -> None:
    assert len(CALLS) == 5
    assert [name for name in CALLS if f"encore.{name}(" not in PAGE] == []
    methods = {"recommend", "publish", "plot", "report"}
    shown = {*vars(encore.Model), *vars(encore.Results)}
    assert methods <= shown
    assert [name for name in methods if f".{name}(" not in PAGE] == []


def test_the_module_lists_its_names() -> None:
    assert dir(encore) == sorted(encore.__all__)
    with pytest.raises(AttributeError, match="module 'encore' has no attribute 'train'"):
        _ = encore.train
