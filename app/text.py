"""Text from outside, made harmless for those who read it on a terminal or in a log."""

from __future__ import annotations

from typing import Final

# Characters that have no look of their own, but change what a reader sees: controls (a terminal
# obeys them), marks of writing direction (they reorder what stands around them), breaks of lines,
# characters that are invisible, and lone surrogates, which cannot be written as UTF-8.
_HIDDEN: Final = (
    range(0x20),
    range(0x7F, 0xA0),
    range(0x61C, 0x61D),
    range(0x180E, 0x180F),
    range(0x200B, 0x200C),  # the next two, joiners, are part of many words
    range(0x200E, 0x2010),
    range(0x2028, 0x202F),
    range(0x2060, 0x2070),
    range(0xD800, 0xE000),
    range(0xFEFF, 0xFF00),
    range(0xFFF9, 0xFFFC),
    range(0xE0000, 0xE0080),
)


def _escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    return "".join(f"\\u{half:04x}" for half in _halves(code))


def _halves(code: int) -> tuple[int, int]:
    """Returns the two surrogates of a character beyond 16 bits, as UTF-16 and JSON have them."""
    return 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)


_ESCAPES: Final = {code: _escape(code) for codes in _HIDDEN for code in codes} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}
_ESCAPES_IN_LINES: Final = {code: text for code, text in _ESCAPES.items() if code != ord("\n")}


def visible(text: str) -> str:
    r"""Returns a text as one line in which nothing is hidden.

    Characters that a terminal would obey, or that a reader would not see, become escapes as in
    JSON. So a text that is JSON has the same value afterwards.

    >>> print(visible("a\x1b[31mb\nc"))
    a\u001b[31mb\nc
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


def visible_lines(text: str) -> str:
    """Returns a text of several lines in which nothing but their ends is hidden."""
    return text if text.isprintable() else text.translate(_ESCAPES_IN_LINES)
