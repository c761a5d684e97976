from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text import visible, visible_lines

BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Björk, 日本語 🎸", "Björk, 日本語 🎸"),
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x9b31m", r"\u009b31m"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("nul\0", r"nul\u0000"),
        ("\u2028", r"\u2028"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\udb40\udc41"),
        ("👨\u200d👩", "👨\u200d👩"),  # a joiner is part of the sign
        ("1\u202f000", "1\u202f000"),
    ],
)
def test_what_a_reader_would_not_see_becomes_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("character", BIDIRECTIONAL)
def test_no_mark_of_direction_is_left(character: str) -> None:
    assert visible(character) == f"\\u{ord(character):04x}"


def test_lines_end_where_they_ended() -> None:
    assert visible_lines("a\nb\rc\n") == "a\nb\\rc\n"


@given(st.text(st.characters(codec=None)))
def test_no_control_is_left_and_the_rest_can_be_written(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode()
    assert visible(shown) == shown


@given(st.dictionaries(st.text(), st.text()))
def test_json_has_the_same_value_afterwards(value: dict[str, str]) -> None:
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value
