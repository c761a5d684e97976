"""From what ``--data`` names to parts: plain files that a parser reads.

It may name a file, a folder or a pattern (``data/*.csv``) of parts, or standard input. Compressed
parts are expanded into a temporary folder, which goes with the context.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast
from urllib.parse import unquote

from training.datasets.reading.compression import (
    Stream,
    compression_of,
    expand,
    spool,
    without_ending,
)
from training.datasets.reading.sources import (
    SHOWN_INPUT,
    STANDARD_INPUT,
    base_of,
    is_taken,
    places_of,
    reading,
    refuse_binary,
)
from training.errors import DatasetError

_MOST_PARTS: Final = 10_000
_HEAD_BYTES: Final = 512
# Words in the names of files and folders that say which part of a split they are.
_WORD: Final = re.compile(r"[a-z]+")
_ROLES: Final = {
    "training": frozenset({"train", "training"}),
    "test": frozenset({"test", "testing", "holdout", "heldout"}),
    "validation": frozenset({"valid", "validation", "val", "dev", "eval"}),
}
# What Hive and Spark write for a missing value.
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a source; as text, it is its name in messages.

    Attributes:
        shown: its path, or ``standard input``.
        name: in the manifest: its path below the folder that was named.
        original: the file as it came.
        plain: the same, uncompressed.
        columns: columns and their values that the names of its folders give (``user=u1/``).
    """

    shown: str
    name: str
    original: Path
    plain: Path
    columns: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.shown

    @classmethod
    def of(cls, path: Path) -> Part:
        """Returns the part of an uncompressed file."""
        return cls(str(path), path.name, path, path)


@contextmanager
def opening(path: Path, *, decodes: bool = False) -> Iterator[list[Part]]:
    """Opens the files that a path names; yields them in the order of their names.

    Args:
        path: a file, a folder, a pattern, or ``-`` for standard input.
        decodes: whether the caller reads UTF-16, which is refused otherwise.

    Raises:
        DatasetError: there is no such file, it cannot be expanded, or it is no data.
    """
    with TemporaryDirectory(prefix="encore-reading-") as folder:
        place = Path(folder)
        found = [read_input(place)] if path == STANDARD_INPUT else _parts(path)
        plain = [expanded(part, place / str(n)) for n, part in enumerate(found)]
        # Spark writes empty parts.
        parts = [part for part in plain if part.plain.stat().st_size > 0] or plain[:1]
        for part in parts:
            refuse_binary(part.plain, part, decodes=decodes)
        yield parts


@contextmanager
def opening_file(path: Path) -> Iterator[Part]:
    """Opens one text file, which may be compressed.

    Raises:
        DatasetError: it cannot be expanded, or is no text.
    """
    with opening(path) as parts:
        if is_parquet(parts[0]):
            raise DatasetError(f"{path} is a Parquet file")
        yield parts[0]


def read_input(place: Path) -> Part:
    """Returns standard input, written to a file in a temporary folder.

    Raises:
        DatasetError: there is none, it is a terminal, or the disk has no room for it.
    """
    stream = sys.stdin
    if stream is None or stream.closed:
        raise DatasetError("there is no standard input to read; name a file, or pipe one in")
    if stream.isatty():
        raise DatasetError(
            "standard input is a terminal; pipe the data in (zcat plays.csv.gz | …), or name a file"
        )
    file = place / "input"
    with reading(SHOWN_INPUT):
        spool(cast("Stream", stream.buffer), file, shown=SHOWN_INPUT)
    return Part(SHOWN_INPUT, SHOWN_INPUT, file, file)


def _parts(path: Path) -> list[Part]:
    """Returns the parts that a file, a folder or a pattern names."""
    base = base_of(path)
    parts: list[Part] = []
    for place in places_of(path):
        parts += _parts_of_folder(place, base) if place.is_dir() else [_part(place, base)]
    if not parts:
        raise DatasetError(
            f"{path} holds no data: no file whose name does not begin with '_' or '.'"
        )
    if len(parts) > _MOST_PARTS:
        raise DatasetError(
            f"{path} has {len(parts):,} parts, and at most {_MOST_PARTS:,} are read; join some"
        )
    return parts


def _parts_of_folder(folder: Path, base: Path) -> list[Part]:
    parts: list[Part] = []
    for one in sorted(folder.iterdir()):
        if not is_taken(one):
            continue
        if one.is_dir():
            if "=" not in one.name:
                raise DatasetError(
                    f"{folder} holds the folder {one.name}, which is no partition (as user=u1 is); "
                    f"name its files by a pattern, such as '{folder}/**/*.csv'"
                )
            parts += _parts_of_folder(one, base)
        elif one.is_file():
            parts.append(_part(one, base))
    return parts


def _part(path: Path, base: Path) -> Part:
    inner = path.relative_to(base) if path.is_relative_to(base) else path
    pairs = [one.partition("=") for one in inner.parts[:-1] if "=" in one]
    columns = tuple((key, "" if text == _NO_VALUE else unquote(text)) for key, _, text in pairs)
    return Part(str(path), str(inner), path, path, columns)


def several_roles(parts: Sequence[Part]) -> str:
    """Returns a remark if the names of parts say that they are parts of a split; or nothing.

    Args:
        parts: what is read as one table.
    """
    by_role: dict[str, list[Part]] = {}
    for part in parts:
        words = set(_WORD.findall(part.name.lower()))
        role = next((role for role, names in _ROLES.items() if names & words), "")
        by_role.setdefault(role, []).append(part)
    if len(by_role) < 2:
        return ""
    train, test = (
        str(by_role[role][0]) if len(by_role.get(role, ())) == 1 else "FILE"
        for role in ("training", "test")
    )
    shown = " and ".join(some[0].name for some in by_role.values())
    return (
        f"{shown} are read as one table, although their names say that one is held out; a "
        f"ready-made split is measured by evaluate --train {train} --test {test}"
    )


def expanded(part: Part, place: Path) -> Part:
    """Returns a part with its plain file.

    Args:
        part: as it came.
        place: a folder that does not exist yet, for a plain file of its own.

    Raises:
        DatasetError: it cannot be expanded, or not by one step.
    """
    with reading(part), part.original.open("rb") as file:
        compression = compression_of(file.read(_HEAD_BYTES))
    if compression is None:
        return part
    place.mkdir()
    plain = place / without_ending(part.original.name)
    expand(part.original, plain, shown=part)
    return once(Part(part.shown, part.name, part.original, plain, part.columns))


def once(part: Part) -> Part:
    """Returns an expanded part.

    Raises:
        DatasetError: its plain file is compressed again.
    """
    inner = compression_of(head_of(part))
    if inner is not None:
        raise DatasetError(f"{part} is compressed twice ({inner.name} inside); unpack it once")
    return part


def head_of(part: Part) -> bytes:
    """Returns the first bytes of a part, uncompressed."""
    with reading(part), part.plain.open("rb") as file:
        return file.read(_HEAD_BYTES)


def is_parquet(part: Part) -> bool:
    """Returns whether a part begins as a Parquet file does."""
    return head_of(part).startswith(b"PAR1")


def same_columns(parts: Sequence[Part], names: Sequence[Sequence[str]]) -> None:
    """Refuses parts with different columns.

    Args:
        parts: the parts of a source.
        names: the columns of each.

    Raises:
        DatasetError: two parts have different ones.
    """
    first = names[0]
    for part, columns in zip(parts[1:], names[1:], strict=True):
        more = [repr(one) for one in columns if one not in first]
        less = [repr(one) for one in first if one not in columns]
        if more or less:
            difference = [f"{', '.join(more[:5])} only in the latter"] if more else []
            difference += [f"{', '.join(less[:5])} only in the former"] if less else []
            raise DatasetError(
                f"{parts[0]} and {part} have different columns: {'; '.join(difference)}. Every "
                "part needs the same columns, and a text file its own header; name those that "
                "belong together by a pattern, such as 'data/part-*.csv'"
            )
