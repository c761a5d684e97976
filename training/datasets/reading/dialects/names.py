"""Ids and names that show that a table was read in a wrong dialect."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.encoding import REPLACEMENT, Encoded

NOTE_QUOTED: Final = "id or name in quotation marks, taken as they are (--quoting removes them)"
NOTE_BROKEN: Final = "name with a character that cannot be read, shown as U+FFFD"
NOTE_GARBLED: Final = "name that looks like UTF-8 read as another encoding"

_IN_QUOTES: Final = r'(?s)^"(?:[^"]|"")*"$'
# Two or three bytes of UTF-8 as Latin-1 or cp1252 shows them: Ã© for é, â€™ for an apostrophe.
_GARBLED: Final = "[\u00c2-\u00c5][\u0080-\u00bf\u2018-\u203a\u20ac\u2122]|\u00e2\u20ac"


def odd_names(
    encoded: Encoded, usable: NDArray[np.bool_], column: str, *, takes_quotes: bool
) -> dict[str, NDArray[np.bool_]]:
    """Marks the rows whose ids or names look odd.

    Args:
        encoded: a table.
        usable: marks of the rows that are used, shape (n_rows,).
        column: of names, which the items may lack.
        takes_quotes: whether quotation marks around fields are taken as characters.

    Returns:
        For each note the marks of its rows, shape (n_rows,).
    """
    items = encoded.items
    marks = {}
    if column in items.columns:
        for note, pattern in ((NOTE_BROKEN, REPLACEMENT), (NOTE_GARBLED, _GARBLED)):
            marks[note] = _matching(items[column], pattern)[encoded.item_codes] & usable
    if takes_quotes:
        quoted = _matching(encoded.users, _IN_QUOTES)[encoded.user_codes]
        for texts in items:
            quoted |= _matching(texts, _IN_QUOTES)[encoded.item_codes]
        marks[NOTE_QUOTED] = quoted & usable
    return marks


def _matching(texts: pl.Series, pattern: str) -> NDArray[np.bool_]:
    return texts.str.contains(pattern).to_numpy()
