"""Ids and names as mapped arrays: strings outside, integers inside.

A table of ten million ids has to open without building ten million Python objects. So the text is
one byte array with offsets, and look-ups use a bucket index over a hash of the id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidId

MAX_ID_BYTES: Final = 256
# Some ten megabytes at most.
_CACHED_ITEMS: Final = 2**16

T = TypeVar("T")


def encode_id(text: str) -> bytes:
    """Returns the bytes of an id.

    Args:
        text: the id as it came from outside.

    Returns:
        Its UTF-8 bytes, at most 256.

    Raises:
        InvalidId: the text is not valid UTF-8 (a lone surrogate) or longer than 256 bytes.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidId(
            f"an id has to be valid UTF-8; character {error.start} of this one is not"
        ) from error
    if len(encoded) > MAX_ID_BYTES:
        raise InvalidId(f"an id has at most {MAX_ID_BYTES} bytes; this one has {len(encoded)}")
    return encoded


def _hash(encoded: bytes) -> int:
    # A cryptographic hash, so that nobody can choose ids that all fall into one bucket.
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class StringTable:
    """Texts by index.

    Attributes:
        data: uint8, all texts as UTF-8, one after the other.
        offsets: int64, shape (n + 1,); text ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    # A view of the same memory: reading one number through numpy takes several times as long.
    _data: memoryview = field(init=False, repr=False, compare=False)
    _offsets: memoryview = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_data", self.data.data)
        object.__setattr__(self, "_offsets", self.offsets.data)

    @classmethod
    def build(cls, texts: Iterable[str]) -> StringTable:
        """Builds a table from texts, in their order."""
        return cls.of_encoded([text.encode() for text in texts])

    @classmethod
    def of_encoded(cls, encoded: Sequence[bytes]) -> StringTable:
        """Builds a table from texts that are already encoded as UTF-8."""
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def encoded(self, index: int) -> bytes:
        """Returns the UTF-8 bytes of the text at ``index``.

        Raises:
            IndexError: there is no such index; -1, which marks the end of a list, is refused too.
        """
        if index < 0 or index + 1 >= len(self._offsets):
            raise IndexError(f"index {index} of {len(self)} texts")
        return self._data[self._offsets[index] : self._offsets[index + 1]].tobytes()

    def __getitem__(self, index: int) -> str:
        return self.encoded(index).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


class ItemCache(Generic[T]):
    """One value for each item, made when it is first asked for; items of low index are cached.

    Published models number items by the length of their vectors, so most lists consist of items of
    low index, and a plain list takes fewer memory accesses than any other cache.

    Attributes:
        cached: the values by item index, None where none is made yet; read directly by loops that
            cannot afford a call for each item.

    Args:
        make: makes the value of an item index; it may not be None.
        n_items: how many items there are.
    """

    def __init__(self, make: Callable[[int], T], n_items: int) -> None:
        self._make = make
        self.cached: list[T | None] = [None] * min(n_items, _CACHED_ITEMS)

    def of(self, items: Sequence[int]) -> list[T]:
        """Returns the values of items, whose indices have to be in range."""
        cached, n_cached = self.cached, len(self.cached)
        return [(item < n_cached and cached[item]) or self.add(item) for item in items]

    def add(self, item: int) -> T:
        """Makes and returns the value of an item that may not be cached yet."""
        made = self._make(item)
        if item < len(self.cached):
            self.cached[item] = made
        return made


@dataclass(frozen=True, slots=True)
class IdMap:
    """Maps ids to indices and back.

    Attributes:
        strings: the ids by index.
        buckets: int64, shape (2**bits + 1,); the ids whose hash ends in ``b`` are
            ``order[buckets[b]:buckets[b + 1]]``.
        order: int32, shape (n,), indices grouped by bucket.
    """

    strings: StringTable
    buckets: NDArray[np.int64]
    order: NDArray[np.int32]
    _buckets: memoryview = field(init=False, repr=False, compare=False)
    _order: memoryview = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_buckets", self.buckets.data)
        object.__setattr__(self, "_order", self.order.data)

    @classmethod
    def build(cls, ids: Sequence[str]) -> IdMap:
        """Builds the map; the id at position ``i`` gets index ``i``.

        Raises:
            InvalidId: an id is too long, not valid UTF-8, or given twice.
        """
        encoded = [encode_id(text) for text in ids]
        strings = StringTable.of_encoded(encoded)
        bits = max(1, len(ids) - 1).bit_length()
        mask = (1 << bits) - 1
        bucket = np.fromiter(
            (_hash(text) & mask for text in encoded), dtype=np.int64, count=len(encoded)
        )
        order = np.argsort(bucket, kind="stable").astype(np.int32)
        buckets = np.zeros(mask + 2, dtype=np.int64)
        np.cumsum(np.bincount(bucket, minlength=mask + 1), out=buckets[1:])
        result = cls(strings, buckets, order)
        if len(set(ids)) != len(ids):
            twice = next(text for i, text in enumerate(ids) if result.index(text) != i)
            raise InvalidId(f"the id {twice!r} is given twice; each id needs one index")
        return result

    def __len__(self) -> int:
        return len(self.strings)

    def index(self, text: str) -> int | None:
        """Returns the index of an id, None for one that is not in the map."""
        encoded = text.encode(errors="surrogatepass")
        bucket = _hash(encoded) & (len(self._buckets) - 2)
        for position in range(self._buckets[bucket], self._buckets[bucket + 1]):
            candidate: int = self._order[position]
            if self.strings.encoded(candidate) == encoded:
                return candidate
        return None

    def indices(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Returns the indices of those ids that are in the map; the others are left out."""
        found = (self.index(text) for text in texts)
        return np.fromiter((index for index in found if index is not None), dtype=np.int64)

    def id(self, index: int) -> str:
        """Returns the id at ``index``."""
        return self.strings[index]
