from __future__ import annotations

import pytest

from training.datasets.synthetic.artist_names import artist_names
from training.datasets.synthetic.name_words import GRAMMARS
from training.datasets.synthetic.world import (
    GENRES,
)


def test_every_genre_has_a_grammar() -> None:
    assert {genre.name for genre in GENRES} == set(GRAMMARS)


@pytest.mark.parametrize("genre", list(GRAMMARS))
def test_names_of_a_genre_are_unique_lower_case_and_of_one_line(genre: str) -> None:
    names = artist_names([genre] * 1500, seed=3)

    assert len(set(names)) == len(names)
    for name in names:
        assert name == name.strip()
        assert 0 < len(name) <= 100
        assert name.isprintable() or "\u3000" in name


def test_some_names_are_hard_on_parsers() -> None:
    names = artist_names(list(GRAMMARS) * 150, seed=0)

    for sign in "\"'&/;,éöß\\=#♥夜\u3000":
        assert any(sign in name for name in names), sign
    assert any(name.startswith('"') for name in names)
