"""Settings that are lists, written with commas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from app.hosts import read_host, read_origin

Area = Literal["reads", "metrics", "docs"]
_Entry = TypeVar("_Entry")


def _read_area(text: str) -> str:
    areas = get_args(Area)
    word = text.lower()
    if word not in areas:
        near = get_close_matches(word, areas, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"expected {', '.join(areas)}, found {text[:100]!a}{hint}")
    return word


def _reader(read: Callable[[str], _Entry]) -> BeforeValidator:
    """Returns what reads a list: its entries, each once, in order."""

    def entries(value: object) -> object:
        parts: Iterable[Any] = value.split(",") if isinstance(value, str) else value  # type: ignore[assignment]
        return tuple(dict.fromkeys(read(part.strip()) for part in parts if part.strip()))

    return BeforeValidator(entries)


Areas: TypeAlias = Annotated[tuple[Area, ...], NoDecode, _reader(_read_area)]
Hosts: TypeAlias = Annotated[tuple[str, ...], NoDecode, _reader(read_host)]
Origins: TypeAlias = Annotated[tuple[str, ...], NoDecode, _reader(read_origin)]
