"""Made-up artist names that read like bands of their genre.

Each genre has a small grammar: patterns, most typical first, whose slots are filled from word
lists.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Final

from training.datasets.synthetic.name_words import COMMON, GRAMMARS, ODD, TELL_APART

# Every 83rd artist has a name that is hard to parse, as some have in the real file.
ODD_EVERY: Final = 83

_SLOT: Final = re.compile(r"\{(\w+)\}")
_PLURAL_OF_Y: Final = re.compile(r"(?<=[^aeiou])ys\b")
_TRIES: Final = 12


@dataclass(frozen=True, slots=True)
class _Grammar:
    patterns: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]


def artist_names(genres: Iterable[str], *, seed: int) -> list[str]:
    """Makes up a name for each artist.

    Early artists get the shortest forms. A later one whose name is taken gets a longer form.

    Args:
        genres: the genre of each artist, a key of the grammars.
        seed: of the choice of words.

    Returns:
        Lower-case names without tabs and line ends, all different, at most 100 characters.
    """
    # Only random() is promised to give the same numbers in every version of Python.
    draw = random.Random(seed)
    taken: set[str] = set()
    names = []
    for index, genre in enumerate(genres):
        grammar = _grammar(genre)
        patterns = grammar.patterns
        if index % ODD_EVERY == ODD_EVERY - 1:
            patterns = (ODD[index // ODD_EVERY % len(ODD)],)
        name = _unused_name(draw, grammar, patterns, taken)
        taken.add(name)
        names.append(name)
    return names


def _unused_name(
    draw: random.Random, grammar: _Grammar, patterns: tuple[str, ...], taken: set[str]
) -> str:
    name = ""
    for _ in range(_TRIES):
        # The square prefers the first, most typical patterns.
        pattern = patterns[int(draw.random() ** 2 * len(patterns))]
        name = _expand(draw, grammar, pattern)
        if name not in taken:
            return name
    for attempt in count(1):
        longer = _expand(draw, grammar, _pick(draw, TELL_APART), name=name)
        if longer not in taken:
            break
        if attempt % _TRIES == 0:
            name = longer
    return longer


def _expand(draw: random.Random, grammar: _Grammar, pattern: str, name: str = "") -> str:
    used: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        slot = match[1]
        if slot == "name":
            return name
        word = _pick(draw, grammar.words[slot])
        while word in used:
            word = _pick(draw, grammar.words[slot])
        used.add(word)
        return word

    return _PLURAL_OF_Y.sub("ies", _SLOT.sub(fill, pattern))


def _pick(draw: random.Random, choices: tuple[str, ...]) -> str:
    return choices[int(draw.random() * len(choices))]


@cache
def _grammar(genre: str) -> _Grammar:
    patterns, own = GRAMMARS[genre]
    words = {slot: tuple(text.split()) for slot, text in {**COMMON, **own}.items()}
    return _Grammar(tuple(patterns.split("|")), words)
