"""Bounds of a request's body, checked on its bytes, before anything is made of them.

A body of four megabytes may hold two million values or 400,000 unknown fields. Parsing and checking
them takes seconds, and hundreds of megabytes. No call takes that many: its schema says how many
values a valid body has at most, and a body with more is refused while its commas and brackets are
counted, at about two milliseconds for each megabyte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from pydantic.fields import FieldInfo

# Unknown fields and surplus values that are let through, so that the schema names them.
_SURPLUS_FIELDS: Final = 20
_SURPLUS_VALUES: Final = 1_000
# A shorter body cannot hold enough to take long.
_SHORT: Final = 2**16
# How many bytes are looked at together: few enough for a processor's cache.
_PART: Final = 2**17
# No call takes more than three levels. Where a part ends deeper, nobody tries to parse it.
_DEEPEST: Final = 100
_QUOTE, _COMMA, _OPEN, _CLOSE = b'",{}'


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How much a body may hold.

    Attributes:
        values: how many values, those of arrays and objects included.
        fields: how many fields one object may have.
    """

    values: int
    fields: int

    @classmethod
    def of(cls, body: Any) -> Self:
        """Returns the bounds of a body of some type.

        Raises:
            TypeError: the type has an array without a greatest length.
        """
        return cls(
            values=_most_values(body) + _SURPLUS_VALUES,
            fields=max(len(one.model_fields) for one in _models(body)) + _SURPLUS_FIELDS,
        )

    def are_needed(self, length: int) -> bool:
        """Says whether a body of so many bytes is long enough to hold too much."""
        return length > _SHORT

    def check(self, body: bytes) -> None:
        """Refuses a body with too many values, or with a text that is too long for any field.

        Args:
            body: JSON, or anything else.

        Raises:
            ValueError: it has.
        """
        count, depth, is_inside, length = 1, 0, np.uint8(0), 0
        for part in _parts_of(body):
            quotes = part == _QUOTE
            length = length + len(part) if is_inside and not quotes.any() else 0
            if length >= _PART:
                raise ValueError(
                    f"has a text of more than {_PART:,} bytes, and no field is as long"
                )
            # 1 from the opening quote of a text to the byte before the closing one.
            inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)) ^ is_inside
            is_inside = inside[-1]
            is_outside = inside == 0
            opened, closed, commas = (
                int(np.count_nonzero(found & is_outside)) for found in _structure(part)
            )
            depth += opened - closed
            if depth > _DEEPEST:
                raise ValueError("is nested too deeply")
            count += opened + commas
            if count > self.values:
                raise ValueError(
                    f"holds more than {self.values:,} values, and no request of this call needs "
                    "as many; send it in several requests, or leave out what is no field of it"
                )

    def check_object(self, length: int) -> None:
        """Refuses an object with too many fields.

        Raises:
            ValueError: there are too many.
        """
        if length > self.fields:
            raise ValueError(
                f"has an object with {length:,} fields, and no object of this call has more than "
                f"{self.fields - _SURPLUS_FIELDS}; GET /docs shows its fields"
            )


def _parts_of(body: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yields the bytes of a body, with escaped quotes and backslashes replaced."""
    start = 0
    while start < len(body):
        part = body[start : start + _PART]
        if b"\\" in part:
            # No part ends within an escape: one that is all backslashes has an even number of them.
            part = part.rstrip(b"\\") or part
            part = part.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        start += len(part)
        yield np.frombuffer(part, np.uint8)


def _structure(part: NDArray[np.uint8]) -> Iterator[NDArray[np.bool_]]:
    """Yields where brackets open, where they close, and where commas are."""
    # Both kinds of brackets differ in one bit.
    folded = part | 0x20
    yield folded == _OPEN
    yield folded == _CLOSE
    yield part == _COMMA


def _most_values(kind: Any, metadata: Sequence[Any] = ()) -> int:
    """Returns how many values a valid value of a type has at most, with itself."""
    if _is_model(kind):
        fields = kind.model_fields.values()
        return 1 + sum(_most_values(field.annotation, field.metadata) for field in fields)
    if get_origin(kind) is Annotated:
        kind, *given = get_args(kind)
        return _most_values(kind, [*metadata, *(part for one in given for part in _parts(one))])
    if get_origin(kind) is list:
        lengths = (getattr(one, "max_length", None) for one in metadata)
        longest: int | None = next(filter(None, lengths), None)
        if longest is None:
            raise TypeError(f"{kind} in a body needs a max_length, which bounds what is parsed")
        return 1 + longest * _most_values(get_args(kind)[0])
    return max((_most_values(one, metadata) for one in get_args(kind)), default=1)


def _parts(annotation: Any) -> Sequence[Any]:
    return annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """Yields the models that a type consists of."""
    if _is_model(kind):
        yield kind
        for field in kind.model_fields.values():
            yield from _models(field.annotation)
    for one in get_args(kind):
        yield from _models(one)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
