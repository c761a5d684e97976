"""The words of the code: names that have lost their meaning do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("app",) for path in (ROOT / folder).rglob("*.py"))
# It meant five things: stored, cached, left over, chosen and held out.
AVOIDED = "kept"
# The fields of the nodes of a syntax tree that hold an identifier.
NAME_FIELDS = ("arg", "asname", "attr", "id", "name", "names", "rest")


def identifiers(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        for field in NAME_FIELDS:
            value = getattr(node, field, None)
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str):
                    yield name


def words_of(identifier: str) -> list[str]:
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", identifier)
    return [part.lower() for part in parts]


@pytest.mark.parametrize(
    "source",
    [
        "kept = 1",
        "def n_kept(): pass",
        "class KeptItems: pass",
        "_KEPT = 1",
        "x.kept_ids",
        "lambda kept: 1",
        "f(kept=1)",
        "import a as kept",
        "def f():\n    global kept",
        "match x:\n    case {**kept}: pass",
    ],
)
def test_an_avoided_word_is_found_wherever_a_name_may_stand(source: str) -> None:
    assert any(AVOIDED in words_of(name) for name in identifiers(source))


def test_text_and_longer_words_are_no_names() -> None:
    names = identifiers('"""Is kept."""\nx = "kept"  # kept\nskeptical = keptic = 1')
    assert not any(AVOIDED in words_of(name) for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_name_holds_an_avoided_word(path: Path) -> None:
    found = {name for name in identifiers(path.read_text()) if AVOIDED in words_of(name)}
    assert not found
