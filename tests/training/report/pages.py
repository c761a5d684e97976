"""Looks at HTML the way a browser would, as far as tests need it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from xml.etree import ElementTree

VOID: Final = frozenset(["meta", "link", "br", "img", "input", "hr", "path", "use", "rect"])
_SVG: Final = re.compile(r"<svg\b.*?</svg>", re.DOTALL)


@dataclass
class Page(HTMLParser):
    """A parsed page; parsing fails where a tag is not closed or closed wrongly.

    Attributes:
        html: the text.
        tags: all elements with their attributes, in order.
        words: the text that is shown, without line breaks.
    """

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.html)
        self.close()
        assert self._open == []
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title", "desc", "text"):
            self.words += data

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]

    @property
    def headings(self) -> list[str]:
        """Texts of the sections' headings."""
        return [
            re.sub(r"<.*?>", "", text) for text in re.findall(r"<h2[^>]*>(.*?)</h2>", self.html)
        ]

    @property
    def charts(self) -> list[ElementTree.Element]:
        """The charts, parsed as XML; a legend's marks are none."""
        roots = [ElementTree.fromstring(text) for text in _SVG.findall(self.html)]  # noqa: S314
        return [root for root in roots if root.get("role") == "img"]
