"""What ``--data`` names: finds it, refuses what is no data, shows parts of it.

It may name a file, a folder, a pattern (``data/*.csv``) or ``-``, standard input.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import polars as pl

from training.errors import DatasetError

STANDARD_INPUT: Final = Path("-")
SHOWN_INPUT: Final = "standard input"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")
_PATTERN: Final = re.compile(r"[*?[]")
_SHOWN_CHARACTERS: Final = 80
_TAR_MAGIC: Final = (257, b"ustar")
_PACKED: Final = ("", ".gz", ".zst", ".bz2", ".xz", ".zip")
_WIDE: Final = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
)
_OTHERS: Final = (
    (b"SQLite format 3\x00", "an SQLite database; export its table as CSV (sqlite3 -header -csv)"),
    (b"ARROW1", "a Feather (Arrow) file; save it as Parquet"),
    (b"FEA1", "a Feather file; save it as Parquet"),
    (b"ORC", "an ORC file; save it as Parquet"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file; save it as CSV (UTF-8)"),
    (b"\x89HDF", "an HDF5 file; save it as Parquet or CSV"),
    (b"\x04\x22\x4d\x18", "an lz4 archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Obj\x01", "an Avro file; save it as Parquet"),
)


def shown_path(path: Path) -> str:
    """Returns what a path is called in messages."""
    return SHOWN_INPUT if path == STANDARD_INPUT else str(path)


def places_of(path: Path) -> list[Path]:
    """Returns the files and folders that a path names: itself, or what a pattern matches.

    Raises:
        DatasetError: it is an address, nothing is there, or it is neither a file nor a folder.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DatasetError(
            f"{path} is neither a file nor a folder; a pipe is read as standard input, --data -"
        )
    found = matches(path)
    # A path has one slash where a URL has two.
    if not found and (url := _URL.fullmatch(str(path))):
        raise DatasetError(
            f"{url[1]}://{url[2]} is an address, and only files of this machine are read, so that "
            "a training can be repeated; fetch it first, and name the file"
        )
    if not found and not _PATTERN.search(str(path)):
        raise DatasetError(f"{path} does not exist; it should be a file, a folder or a pattern")
    if not found:
        base = base_of(path)
        near = sorted(one.name for one in base.iterdir()) if base.is_dir() else []
        holds = f"; {base} holds {', '.join(near[:5])}{', …' if len(near) > 5 else ''}"
        raise DatasetError(
            f"no file matches '{path}'{holds if near else ''}; correct the pattern, and keep it in "
            "quotation marks"
        )
    return found


def matches(path: Path) -> list[Path]:
    """Returns the path if it exists, otherwise what it matches as a pattern, in order of names."""
    if path.exists():
        return [path]
    if not _PATTERN.search(str(path)):
        return []
    found = [Path(one) for one in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    if "**" in path.parts:  # it matches the files of its folders as well
        found = [one for one in found if not one.is_dir()]
    base = base_of(path)
    # Folders that the pattern matched count as well, such as Spark's `_temporary`.
    return [
        one
        for one in found
        if is_taken(one)
        and all(is_taken(base / folder) for folder in list(one.relative_to(base).parents)[:-1])
    ]


def base_of(path: Path) -> Path:
    """Returns the folder below which the files of a path are named."""
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    return Path(*takewhile(lambda one: not _PATTERN.search(one), path.parts[:-1]))


def is_taken(path: Path) -> bool:
    """Whether a file or folder in a folder counts: what begins with ``_`` or ``.`` does not.

    Raises:
        DatasetError: it is a link to nothing, so that data may be missing.
    """
    if path.name.startswith(("_", ".")) or path.name.endswith(".crc"):
        return False
    if path.is_symlink() and not path.exists():
        raise DatasetError(f"{path} is a link to nothing; correct or remove it")
    return True


def find_file(path: Path, name: str, *, subfolder: str, source: str) -> Path:
    """Finds a file of a dataset.

    Args:
        path: the file itself, also by a pattern; its folder; or the folder that an archive was
            unpacked in.
        name: the name of the file, where ``path`` is a folder.
        subfolder: the folder that the published archive unpacks into.
        source: the page to get the file from, for the message.

    Raises:
        DatasetError: it is missing.
    """
    if not path.exists() and not _PATTERN.search(str(path)) and not _URL.fullmatch(str(path)):
        raise DatasetError(f"{path} does not exist. Put {name} there; it comes from {source}")
    places = places_of(path)
    if len(places) > 1:
        raise DatasetError(
            f"'{path}' matches several files, {places[0]} and {places[1]}; name the one that is "
            f"{name}"
        )
    path = places[0]
    if path.is_file():
        return path
    for folder in (path, path / subfolder):
        for ending in _PACKED:
            if (candidate := folder / f"{name}{ending}").is_file():
                return candidate
    hint = ""
    if unfinished := sorted(file.name for file in path.glob("*.part")):
        hint = f" (a download was begun but not finished: {', '.join(unfinished)})"
    raise DatasetError(f"{path} holds no {name}{hint}. Put it there; it comes from {source}")


def refuse_binary(path: Path, shown: object = None, *, decodes: bool = False) -> None:
    """Refuses a file that is neither text nor Parquet.

    Args:
        path: the file, uncompressed.
        shown: its name in messages; by default the path.
        decodes: whether the caller reads UTF-16.

    Raises:
        DatasetError: the file is empty, or begins as a file of another kind does.
    """
    name = path if shown is None else shown
    with reading(name), path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise DatasetError(f"{name} is empty")
    refuse_head(head, name, decodes=decodes)


def refuse_head(head: bytes, shown: object, *, decodes: bool = False) -> None:
    """Refuses what is neither text nor Parquet.

    Args:
        head: the first bytes, at least 262 of them where there are so many.
        shown: the name of the file in messages.
        decodes: whether the caller reads UTF-16.

    Raises:
        DatasetError: it begins as a file of another kind does.
    """
    for magic, kind in _OTHERS if decodes else (*_OTHERS, *_WIDE):
        if head.startswith(magic):
            raise DatasetError(f"{shown} is {kind}")
    offset, magic = _TAR_MAGIC
    if head[offset:].startswith(magic):
        raise DatasetError(f"{shown} is a tar archive; unpack it first")


@contextmanager
def reading(path: object, hint: str = "") -> Iterator[None]:
    """Translates the errors of polars and of the system about a file.

    Args:
        path: the file.
        hint: advice for a file that polars cannot parse.

    Raises:
        DatasetError: instead of them, with the original error as its cause.
    """
    try:
        yield
    except MemoryError as error:
        raise DatasetError(f"{path}: there is not enough memory to read it") from error
    except pl.exceptions.PolarsError as error:
        raise DatasetError(f"{path} cannot be read: {_first_sentence(error)}{hint}") from error
    except (OSError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read: {_first_sentence(error)}") from error


def _first_sentence(error: Exception) -> str:
    # The rest of a message of polars is about its own arguments.
    lines = (getattr(error, "strerror", None) or str(error)).strip().split("\n\n")[0]
    return shorten(lines, 300)


def shorten(text: str, length: int = _SHOWN_CHARACTERS) -> str:
    """Returns a text cut to ``length``, in one line, with boxes for control characters."""
    cut = text[:length] + ("…" if len(text) > length else "")
    return "".join(character if character.isprintable() else "\N{OPEN BOX}" for character in cut)


def lines_at(path: Path, rows: Sequence[int]) -> Iterator[bytes]:
    """Yields lines of a file unchanged, but without their line ends.

    Args:
        path: a text file.
        rows: numbers of lines from 0, ascending.
    """
    with path.open("rb") as file:
        position = 0
        for row in rows:
            line = next(islice(file, row - position, None), b"")
            position = row + 1
            yield line.removesuffix(b"\n").removesuffix(b"\r")
