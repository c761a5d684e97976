"""Source files: what a folder, a pattern or zip archives hold of a dataset."""

from __future__ import annotations

import hashlib
import lzma
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn

from training.datasets.reading.compression import (
    ENCRYPTED,
    open_bytes,
    refuse_if_beyond,
    spool,
    without_ending,
)
from training.datasets.reading.opening import Part, expanded, once, read_input
from training.datasets.reading.sources import (
    SHOWN_INPUT,
    STANDARD_INPUT,
    base_of,
    is_taken,
    places_of,
    reading,
    shorten,
)
from training.errors import DatasetError

_ZIP: Final = b"PK\x03\x04"
# An export lies at most this many folders deep.
_DEEPEST: Final = 4
_MOST_FILES: Final = 100_000
# A file of an export has some 12 MB; a larger one than this is none.
_LARGEST_IN_MEMORY: Final = 2**30
_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source as it came: by itself, in a zip archive, or standard input.

    Attributes:
        path: the file, or the archive.
        place: its path below the folder or archive that was given, or its own name.
        listed: in the manifest: the path of the file, or archive, below what was given.
        member: of the archive, None for a file.
    """

    path: Path
    place: PurePosixPath
    listed: str
    member: zipfile.ZipInfo | None = None

    @property
    def name(self) -> str:
        """Its file name, without the ending of a compression."""
        return without_ending(self.place.name)

    @property
    def is_input(self) -> bool:
        """Whether it is standard input."""
        return self.path == STANDARD_INPUT

    @property
    def shown(self) -> str:
        """Its place for a message."""
        if self.is_input:
            return SHOWN_INPUT
        return str(self.path) if self.member is None else f"{self.path}/{self.member.filename}"

    def read(self) -> bytes:
        """Returns its bytes; not for standard input.

        Raises:
            DatasetError: it cannot be read, or is too large.
        """
        with self.open() as file:
            data: bytes = file.read(_LARGEST_IN_MEMORY + 1)
        if len(data) > _LARGEST_IN_MEMORY:
            raise DatasetError(f"{self.shown} has more than {_LARGEST_IN_MEMORY >> 30} GiB")
        return data

    def to_part(self, place: Path) -> Part:
        """Returns it as a plain file.

        Args:
            place: a folder that does not exist yet, for what has to be expanded.

        Raises:
            DatasetError: it cannot be read, expands too far, or does not fit on the disk.
        """
        if self.is_input:
            place.mkdir()
            return expanded(read_input(place), place / "plain")
        if self.member is None:
            return expanded(Part(self.shown, self.listed, self.path, self.path), place)
        place.mkdir()
        plain = place / self.name
        with self.open() as stream:
            spool(stream, plain, shown=self.shown, needed=self.member.file_size)
        return once(Part(self.shown, self.listed, self.path, plain))

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Opens it as a stream of its uncompressed bytes, with ``read``, ``readinto``, ``peek``.

        Raises:
            DatasetError: it cannot be read, or is damaged; also in the block of the context.
        """
        if self.member is None:
            with open_bytes(self.path) as file:
                yield file
            return
        if self.member.flag_bits & ENCRYPTED:
            raise DatasetError(f"{self.shown} is encrypted; unpack the archive first")
        # No more is read of a member than it declares.
        refuse_if_beyond(self.member.file_size, self.member.compress_size, self.shown, "zip")
        with reading(self.shown):
            try:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                    yield member
            except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
                raise DatasetError(f"{self.shown} is damaged; download it again") from error
            except (RuntimeError, NotImplementedError) as error:
                raise DatasetError(
                    f"{self.shown} cannot be read ({shorten(str(error))}); unpack the archive first"
                ) from error


def find_files(path: Path) -> list[SourceFile]:
    """Finds the files of a source.

    Args:
        path: a file, a folder, a zip archive, a pattern of these, or ``-`` for standard input. In
            a folder and its subfolders, the members of zip archives count as files of a folder
            with the name of the archive. Names that begin with ``.`` or ``_`` are left out.

    Returns:
        The files, in the order of their places.

    Raises:
        DatasetError: nothing is there, it cannot be read, or it lies too deep to be found.
    """
    if path == STANDARD_INPUT:
        return [SourceFile(path, PurePosixPath(SHOWN_INPUT), SHOWN_INPUT)]
    found: list[SourceFile] = []
    base = base_of(path)
    for place in places_of(path):
        for file in [place] if place.is_file() else _walk(place):
            # The archive that was named is the folder itself.
            found += _files_of(file, base, is_named=file == path)
            if len(found) > _MOST_FILES:
                raise DatasetError(
                    f"{path} holds more than {_MOST_FILES:,} files; name a folder of fewer"
                )
    return sorted(found, key=lambda file: str(file.place).encode())


def files_beside(file: SourceFile, name: str) -> list[SourceFile]:
    """Returns the files of a name that lie in the same folder as another one.

    Args:
        file: the other one.
        name: a name, to which the ending of a compression or of an archive may be added, also in
            the place of its own ending.
    """
    if file.is_input:
        return []
    stem = PurePosixPath(name).stem
    near = sorted(one for one in file.path.parent.iterdir() if one.name.startswith(f"{stem}."))
    found = [other for one in near if one.is_file() for other in find_files(one)]
    return [other for other in found if other.name == name]


def _walk(path: Path) -> Iterator[Path]:
    """Yields the files of a folder and of its subfolders."""
    with reading(path):
        for name, subfolders, files in os.walk(path, followlinks=True, onerror=_raise):
            folder = Path(name)
            subfolders[:] = [one for one in subfolders if is_taken(folder / one)]
            if subfolders and len(folder.relative_to(path).parts) == _DEEPEST:
                raise DatasetError(
                    f"{folder / subfolders[0]} lies more than {_DEEPEST} folders deep; give a "
                    "folder that is nearer to the files in --data"
                )
            for file in (folder / one for one in files):
                if is_taken(file) and file.is_file():
                    yield file


def _raise(error: OSError) -> NoReturn:
    raise error


def _files_of(path: Path, base: Path, *, is_named: bool) -> list[SourceFile]:
    """Returns the members of a zip archive, or the file itself."""
    place = PurePosixPath(path.relative_to(base) if path.is_relative_to(base) else path)
    with reading(path):
        with path.open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                return [SourceFile(path, place, str(place))]
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if not one.is_dir()]
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise DatasetError(f"{path} is a damaged zip archive; download it again") from error
    below = PurePosixPath() if is_named else place.with_suffix("")
    # Nothing is written under a path that an archive names.
    inner = [PurePosixPath(one.filename.replace("\\", "/").lstrip("/")) for one in members]
    return [
        SourceFile(path, below / one, str(place), member)
        for one, member in zip(inner, members, strict=True)
        if not any(part.startswith((".", "_")) for part in one.parts)
    ]


@contextmanager
def unpacked(files: Sequence[SourceFile]) -> Iterator[list[Part]]:
    """Yields the parts of a source; what is compressed is expanded into a temporary folder.

    Raises:
        DatasetError: a file cannot be read, expands too far, or does not fit on the disk.
    """
    with TemporaryDirectory(prefix="encore-reading-") as folder:
        yield [file.to_part(Path(folder) / str(number)) for number, file in enumerate(files)]


def fingerprints(
    files: Iterable[SourceFile | Part], stop: Callable[[], bool] = lambda: False
) -> dict[str, dict[str, Any]]:
    """Returns the checksums of the files and archives that are read, for the manifest.

    Args:
        files: what is read.
        stop: tells whether the result is not wanted any more; then it is not whole.
    """
    originals = {
        (one.name, one.original) if isinstance(one, Part) else (one.listed, one.path)
        for one in files
    }
    found: dict[str, dict[str, Any]] = {}
    for name, path in sorted(originals):
        digest = hashlib.sha256()
        with reading(path), path.open("rb") as file:
            while (block := file.read(_BLOCK_BYTES)) and not stop():
                digest.update(block)
            found[name] = {"sha256": digest.hexdigest(), "bytes": file.tell()}
    return found


@contextmanager
def fingerprinting(files: Sequence[SourceFile | Part]) -> Iterator[Future[dict[str, Any]]]:
    """Computes the checksums in a thread of its own, which ends with the context.

    Args:
        files: what is read.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as executor:
        try:
            yield executor.submit(fingerprints, files, ended.is_set)
        finally:
            ended.set()  # an interrupted reading does not wait for the checksum of a large file
