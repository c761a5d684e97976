"""A survey of source files: one pass over their bytes while a parser reads them.

It computes their checksums and counts their records independently of the parser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

from training.datasets.reading.opening import Part, opening_file
from training.datasets.reading.record_count import RecordCounter
from training.datasets.reading.sources import find_file, reading
from training.errors import DatasetError

# Fits a processor's cache.
_BLOCK_BYTES: Final = 2**18


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a pass over source files.

    Attributes:
        sources: file name to its ``sha256`` and ``bytes``, for the manifest.
        records: records of each text file that were counted.
    """

    sources: Mapping[str, Any]
    records: Mapping[Part, int]

    def check(self, parts: Sequence[Part], read: int) -> None:
        """Compares the number of records that a parser has read with the number in the files.

        Args:
            parts: files whose records were counted.
            read: number of records that the parser has read.

        Raises:
            DatasetError: the numbers differ.
        """
        if (counted := sum(self.records[part] for part in parts)) != read:
            raise DatasetError(
                f"{parts[0]}: {read:,} of its {counted:,} records were read. Did the file change "
                "while it was read? Otherwise look for quotation marks that are not doubled, "
                "or give --no-quoting"
            )


@contextmanager
def surveying(*parts: Part, count: Mapping[Part, RecordCounter]) -> Iterator[Future[Survey]]:
    """Surveys files in a thread of its own; yields the future survey.

    Args:
        parts: the files.
        count: counters for the text files among them. The ``DatasetError`` of a counter comes from
            the future.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor.submit(_survey, parts, count)


@contextmanager
def opened(
    path: Path, name: str, *, subfolder: str, source: str
) -> Iterator[tuple[Part, Future[Survey]]]:
    """Finds the text file of a dataset, compressed or not; yields it and its future survey.

    Args:
        path: the file itself, or a folder; see ``find_file``.
        name: the name of the file, where ``path`` is a folder.
        subfolder: the folder that the published archive unpacks into.
        source: the page to get the file from, for the message.

    Raises:
        DatasetError: it is missing, empty, or of another kind.
    """
    found = find_file(path, name, subfolder=subfolder, source=source)
    with opening_file(found) as file, surveying(file, count={file: RecordCounter(file)}) as survey:
        yield file, survey


def _survey(parts: tuple[Part, ...], count: Mapping[Part, RecordCounter]) -> Survey:
    sources = {part.name: _fingerprint(part, count.get(part)) for part in parts}
    return Survey(sources, {part: counter.finish() for part, counter in count.items()})


def _fingerprint(part: Part, counter: RecordCounter | None) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    is_packed = part.plain != part.original
    with reading(part), part.original.open("rb", buffering=0) as file:
        for block in _blocks(file):
            digest.update(block)
            size += len(block)
            if counter is not None and not is_packed:
                counter.feed(block)
    if counter is not None and is_packed:
        with reading(part), part.plain.open("rb", buffering=0) as text:
            for block in _blocks(text):
                counter.feed(block)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _blocks(file: FileIO) -> Iterator[memoryview]:
    """Yields a file in blocks, each of which is overwritten by the next one."""
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    while size := file.readinto(buffer):
        yield buffer[:size]
