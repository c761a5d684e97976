"""Parts of a source: the files in a folder and the members of zip archives."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from training.datasets.reading.compression import (
    compression_of,
    expand,
    open_bytes,
    without_ending,
)
from training.datasets.reading.opening import Part as Plain
from training.datasets.reading.sources import reading, shorten
from training.errors import DatasetError

_ZIP: Final = b"PK\x03\x04"
# An export lies at most this many folders deep.
_DEEPEST: Final = 4
_MOST_PARTS: Final = 100_000
# A file of an export has some 12 MB; a larger one than this is none.
_LARGEST_IN_MEMORY: Final = 2**30
_BLOCK_BYTES: Final = 2**20
# Text shrinks to a tenth; what grows more than this is made to fill a disk.
_LARGEST_RATIO: Final = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a member of a zip archive.

    Attributes:
        path: the file, or the archive.
        place: its path below the folder or archive that was given, or its own name.
        member: of the archive, None for a file.
    """

    path: Path
    place: PurePosixPath
    member: zipfile.ZipInfo | None = None

    @property
    def name(self) -> str:
        """Its file name, without the ending of a compression."""
        return self.place.name if self.member else without_ending(self.place.name)

    @property
    def shown(self) -> str:
        """Its place for a message."""
        return str(self.path) if self.member is None else f"{self.path}/{self.member.filename}"

    def read(self) -> bytes:
        """Returns its bytes.

        Raises:
            DatasetError: it cannot be read, or is too large.
        """
        with self.open() as file:
            data: bytes = file.read(_LARGEST_IN_MEMORY + 1)
        if len(data) > _LARGEST_IN_MEMORY:
            raise DatasetError(f"{self.shown} has more than {_LARGEST_IN_MEMORY >> 30} GiB")
        return data

    def copy_to(self, file: BinaryIO) -> None:
        """Writes its bytes to a file.

        Raises:
            DatasetError: it cannot be read.
        """
        with self.open() as source:
            shutil.copyfileobj(source, file, _BLOCK_BYTES)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Opens it as a stream of its uncompressed bytes, with ``read``, ``readinto``, ``peek``.

        Raises:
            DatasetError: it cannot be read, or is damaged; also in the block of the context.
        """
        with reading(Path(self.shown)):
            if self.member is None:
                with open_bytes(self.path) as file:
                    yield file
                return
            try:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    yield file
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise DatasetError(f"{self.shown} is damaged; download it again") from error
            except (RuntimeError, NotImplementedError) as error:
                raise DatasetError(
                    f"{self.shown} cannot be read ({shorten(str(error))}); unpack the archive first"
                ) from error


def find_parts(path: Path) -> list[Part]:
    """Finds the files of a source.

    Args:
        path: a file, a folder, or a zip archive. In a folder and its subfolders, the members of
            zip archives count as files of a folder with the name of the archive. Names that begin
            with ``.`` or ``_`` are left out.

    Returns:
        The parts, in the order of their places.

    Raises:
        DatasetError: nothing is there, or it cannot be read.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    found: list[Part] = []
    for part in _walk(path):
        found.append(part)
        if len(found) > _MOST_PARTS:
            raise DatasetError(f"{path} holds more than {_MOST_PARTS:,} files; name its folder")
    return sorted(found, key=lambda part: str(part.place).encode())


def _walk(path: Path) -> Iterator[Part]:
    if path.is_file():
        yield from _members(path, PurePosixPath()) or [Part(path, PurePosixPath(path.name))]
        return
    if not path.is_dir():
        raise DatasetError(f"{path} is neither a file nor a folder")
    with reading(path):
        for folder, subfolders, files in os.walk(path, followlinks=True):
            below = Path(folder).relative_to(path)
            subfolders[:] = [
                name for name in subfolders if not _hidden(name) and len(below.parts) < _DEEPEST
            ]
            for name in files:
                file, place = Path(folder, name), PurePosixPath(*below.parts, name)
                if not _hidden(name) and file.is_file():
                    yield from _members(file, place.with_suffix("")) or [Part(file, place)]


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _members(path: Path, below: PurePosixPath) -> list[Part]:
    """Returns the members of a zip archive, none for another file."""
    with reading(path):
        with path.open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                return []
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise DatasetError(f"{path} is a damaged zip archive; download it again") from error
    return [
        Part(path, below / member.filename.lstrip("/"), member)
        for member in members
        if not member.is_dir() and not any(map(_hidden, PurePosixPath(member.filename).parts))
    ]


@contextmanager
def unpacked(parts: Sequence[Part]) -> Iterator[list[Plain]]:
    """Yields the parts as plain files; what is compressed is expanded into a temporary folder.

    Nothing is written under a path that an archive names.

    Args:
        parts: with distinct names.

    Raises:
        DatasetError: a part cannot be read, or does not fit on the disk.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="encore-")))
        files: list[Plain] = []
        for number, part in enumerate(parts):
            if part.member is None and not _is_compressed(part.path):
                files.append(Plain.of(part.path))
                continue
            file = folder / str(number) / part.name
            file.parent.mkdir()
            if part.member is None:
                expand(part.path, file, shown=part.path)
            else:
                _check_size(part, part.member, folder)
                with file.open("wb") as target:
                    part.copy_to(target)
            files.append(Plain(part.shown, part.name, part.path, file))
        yield files


def _is_compressed(path: Path) -> bool:
    with reading(path), path.open("rb") as file:
        return compression_of(file.read(512)) is not None


def _check_size(part: Part, member: zipfile.ZipInfo, folder: Path) -> None:
    if member.file_size > _LARGEST_RATIO * max(member.compress_size, _BLOCK_BYTES):
        raise DatasetError(
            f"{part.shown} would grow from {member.compress_size:,} to {member.file_size:,} bytes, "
            "which no listening records do; unpack it yourself if you trust it"
        )
    if member.file_size > (free := shutil.disk_usage(folder).free):
        raise DatasetError(
            f"{part.shown} unpacks to {member.file_size:,} bytes, and {folder.parent} has "
            f"{free:,} bytes free; set TMPDIR to a larger disk, or unpack it yourself"
        )


def fingerprints(
    parts: Iterable[Part], root: Path, stop: Callable[[], bool] = lambda: False
) -> dict[str, dict[str, Any]]:
    """Returns the checksums of the files and archives that hold the parts, for the manifest.

    Args:
        parts: what was read.
        root: the file or folder that was given; files are named below it, others by their names.
        stop: tells whether the result is not wanted any more; then it is not whole.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in dict.fromkeys(part.path for part in parts):
        inside = path != root and path.is_relative_to(root)
        name = str(PurePosixPath(path.relative_to(root))) if inside else path.name
        digest = hashlib.sha256()
        with reading(path), path.open("rb") as file:
            while (block := file.read(_BLOCK_BYTES)) and not stop():
                digest.update(block)
            found[name] = {"sha256": digest.hexdigest(), "bytes": file.tell()}
    return found


@contextmanager
def fingerprinting(parts: Sequence[Part], root: Path) -> Iterator[Future[dict[str, Any]]]:
    """Computes the checksums in a thread of its own, which ends with the context.

    Args:
        parts: what is read.
        root: see ``fingerprints``.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as executor:
        try:
            yield executor.submit(fingerprints, parts, root, ended.is_set)
        finally:
            ended.set()  # an interrupted reading does not wait for the checksum of a large file
