"""Compressed files: known by their first bytes, whatever their ending, and expanded within bounds.

A small file can expand to any size. So a file that expands to more than ``LARGEST_RATIO`` times
its size, or to more than the disk has room for, is refused before it does harm.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

from training.datasets.reading.sources import reading
from training.errors import DatasetError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Text of listening records is seldom 30 times as large as its archive. A small file may be more.
LARGEST_RATIO: Final = 200
_ALWAYS_ALLOWED: Final = 2**28
# Left free on the disk of temporary files, for everybody else on it.
_RESERVE: Final = 2**30
_BLOCK_BYTES: Final = 2**20
_BLOCKS_PER_CHECK: Final = 64
_HEAD_BYTES: Final = 512
_SKIPPABLE: Final = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
# The flag of an encrypted member of a zip archive.
ENCRYPTED: Final = 1


class Stream(Protocol):
    """A stream of bytes."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Reads the next bytes; returns their number, 0 at the end."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...


@dataclass(frozen=True, slots=True)
class Compression:
    """A way of compressing one file.

    Attributes:
        name: in messages.
        magic: the first bytes of a file, one of them.
        endings: usual endings, to be taken off a name.
        open: opens an uncompressed stream of a compressed one.
        declared: returns the expanded size that the file declares, 0 where it does not.
    """

    name: str
    magic: tuple[bytes, ...]
    endings: tuple[str, ...]
    open: Callable[[IO[bytes]], Stream]
    declared: Callable[[IO[bytes]], int] = lambda file: 0


def _open_gzip(file: IO[bytes]) -> Stream:
    return gzip.GzipFile(fileobj=file)


def _open_zip(file: IO[bytes]) -> Stream:
    archive = _opened_zip(file)
    return cast("Stream", archive.open(_only_member(archive)))


def _opened_zip(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:  # its directory stands at the end
        raise EOFError from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Returns the one file of an archive, but for those that systems add."""
    members = [
        one
        for one in archive.infolist()
        if not one.is_dir()
        and not one.filename.startswith("__MACOSX/")
        and not one.filename.rpartition("/")[2].startswith(".")
    ]
    if any(one.filename == "[Content_Types].xml" for one in members):
        raise _Unusable("is an Excel file (or another one of Office); save it as CSV (UTF-8)")
    if len(members) != 1:
        names = ", ".join(one.filename for one in members[:5])
        held = f"{len(members)} files ({names}{', …' if len(members) > 5 else ''})"
        raise _Unusable(f"is a zip archive that holds {held if members else 'no file'}; unpack it")
    if members[0].flag_bits & ENCRYPTED:
        raise _Unusable("is an encrypted zip archive; unpack it")
    return members[0]


def _declared_by_zip(file: IO[bytes]) -> int:
    with _opened_zip(file) as archive:
        return _only_member(archive).file_size


def _declared_by_zstd(file: IO[bytes]) -> int:
    return zstd.get_frame_info(file.read(_HEAD_BYTES)).decompressed_size or 0


COMPRESSIONS: Final = (
    Compression("gzip", (b"\x1f\x8b",), (".gz", ".gzip"), _open_gzip),
    Compression(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
        (".zst", ".zstd"),
        zstd.ZstdFile,
        _declared_by_zstd,
    ),
    Compression("bzip2", (b"BZh",), (".bz2",), bz2.BZ2File),
    Compression("xz", (b"\xfd7zXZ\x00",), (".xz",), lzma.LZMAFile),
    Compression("zip", (b"PK\x03\x04", b"PK\x05\x06"), (".zip",), _open_zip, _declared_by_zip),
)


class _Unusable(Exception):
    """A file that cannot be expanded, with the reason and the remedy."""


def compression_of(head: bytes) -> Compression | None:
    """Returns how a file is compressed, by its first bytes; None where it is not."""
    return next((one for one in COMPRESSIONS if head.startswith(one.magic)), None)


def without_ending(name: str) -> str:
    """Returns the name of a file without the ending of a compression."""
    for one in COMPRESSIONS:
        for ending in one.endings:
            if name.lower().endswith(ending):
                return name[: -len(ending)]
    return name


@contextmanager
def open_bytes(path: Path, *, shown: object = None) -> Iterator[io.BufferedReader[Any]]:
    """Opens a file, which may be compressed, as a stream of its uncompressed bytes.

    Args:
        path: the file.
        shown: its name in messages; by default the path.

    Raises:
        DatasetError: it is missing or damaged, ends in the middle or expands too far; also in the
            block of the context, where it is read.
    """
    name = path if shown is None else shown
    with reading(name), path.open("rb") as file:
        compression = compression_of(file.read(_HEAD_BYTES))
        file.seek(0)
        if compression is None:
            yield file
            return
        stream = _Bounded(file, compression, name)
        with io.BufferedReader(stream, _BLOCK_BYTES) as buffered:
            yield buffered


def expand(path: Path, target: Path, *, shown: object = None) -> None:
    """Writes the uncompressed bytes of a file to another one.

    Args:
        path: the compressed file.
        target: the new file.
        shown: the name of the compressed file in messages; by default its path.

    Raises:
        DatasetError: it is damaged, ends in the middle, expands too far, or to more than the disk
            has room for.
    """
    name = path if shown is None else shown
    with open_bytes(path, shown=name) as stream:
        needed = stream.raw.declared if isinstance(stream.raw, _Bounded) else 0
        spool(stream, target, shown=name, needed=needed)


def spool(stream: Stream, target: Path, *, shown: object, needed: int = 0) -> None:
    """Writes a stream to a file as long as the disk has room.

    Args:
        stream: what to write.
        target: the new file.
        shown: the name of the stream in messages.
        needed: its bytes, as far as they are known before.

    Raises:
        DatasetError: the disk has no room for it.
    """
    with target.open("xb") as file:
        _refuse_full(target, shown, needed)
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        blocks = 0
        while size := stream.readinto(buffer):
            try:
                file.write(buffer[:size])
            except OSError as error:
                raise DatasetError(_no_room(target, shown)) from error
            blocks += 1
            if blocks % _BLOCKS_PER_CHECK == 0:
                _refuse_full(target, shown, 0)


def _refuse_full(target: Path, shown: object, needed: int) -> None:
    if shutil.disk_usage(target.parent).free - needed < _RESERVE:
        raise DatasetError(_no_room(target, shown))


def _no_room(target: Path, shown: object) -> str:
    return (
        f"{shown} needs more room than {tempfile.gettempdir()} has for temporary files (of which "
        f"{_RESERVE // 2**30} GiB stays free); make room, or set TMPDIR to a folder with more"
    )


def refuse_if_beyond(size: int, packed: int, shown: object, kind: str) -> None:
    """Refuses what expands as no usual data do.

    Args:
        size: bytes, expanded.
        packed: bytes, compressed.
        shown: the name of the file in the message.
        kind: the name of its compression.

    Raises:
        DatasetError: the size is out of proportion.
    """
    if size > _ALWAYS_ALLOWED + LARGEST_RATIO * packed:
        raise DatasetError(
            f"{shown} expands to more than {LARGEST_RATIO} times its size ({kind}), as no usual "
            "data do; unpack it yourself if that is right"
        )


class _Bounded(io.RawIOBase):
    """The uncompressed bytes of a file, as long as they are in proportion.

    Args:
        file: the compressed file.
        compression: how it is compressed.
        shown: its name in messages.
    """

    def __init__(self, file: IO[bytes], compression: Compression, shown: object) -> None:
        self._file = file
        self._compression = compression
        self._shown = shown
        self._expanded = 0
        with self._translating():
            self.declared = compression.declared(file)
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._check(self.declared, size)
            self._stream = compression.open(file)

    def readable(self) -> bool:
        """Tells that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes.

        Raises:
            DatasetError: the file is damaged, ends in the middle, or expands too far.
        """
        with self._translating():
            size = self._stream.readinto(buffer) or 0
        self._expanded += size
        self._check(self._expanded, self._file.tell())
        return size

    def close(self) -> None:
        """Closes the stream, but not the file."""
        if not self.closed:
            with self._translating():
                if hasattr(self, "_stream"):
                    self._stream.close()
        super().close()

    def _check(self, size: int, packed: int) -> None:
        refuse_if_beyond(size, packed, self._shown, self._compression.name)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        kind = self._compression.name
        try:
            yield
        except _Unusable as error:
            raise DatasetError(f"{self._shown} {error}") from error
        except EOFError as error:
            raise DatasetError(
                f"{self._shown} ends in the middle ({kind}); fetch or write it again"
            ) from error
        except NotImplementedError as error:
            raise DatasetError(
                f"{self._shown} is packed by a method that is not known here ({kind}); unpack it"
            ) from error
        except (
            zlib.error,
            lzma.LZMAError,
            zstd.ZstdError,
            zipfile.BadZipFile,
            struct.error,
            ValueError,
            OSError,
        ) as error:
            remedy = "fetch or write it again"
            if "too much memory" in str(error) or "window" in str(error).lower():
                remedy = "it needs much memory to unpack: unpack it yourself (zstd -d --long=31)"
            raise DatasetError(f"{self._shown} is damaged ({kind}: {error}); {remedy}") from error
