"""Files of ListenBrainz: dumps and exports, in folders and archives, as blocks of listens.

Archives are read as streams, and nothing is unpacked but one Parquet file at a time.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import polars as pl

from training.datasets.accounts import AccountOptions, account_of, listed, name_users
from training.datasets.listenbrainz_columns import (
    JSON_SCHEMA,
    PARQUET_COLUMNS,
    of_json,
    of_parquet,
)
from training.datasets.reading.compression import compression_of, spool
from training.datasets.reading.json_lines import BROKEN, json_frames
from training.datasets.reading.parts import Part, find_parts
from training.datasets.reading.sources import reading, refuse_head, shorten
from training.errors import DatasetError

FILES: Final = (
    "listenbrainz-listens-dump-*",
    "listenbrainz-spark-dump-*.tar",
    "*.listens",
    "*.jsonl",
    "*.zip",
)
_OF_DUMPS: Final = (".listens", ".parquet")
_OF_EXPORTS: Final = (".jsonl", ".json")
# What lies beside listens in dumps and exports.
_OTHERS: Final = frozenset({"index.json", "user.json", "feedback.jsonl", "pinned_recording.jsonl"})
# The folders of an export; above them is the folder of the account.
_INNER: Final = re.compile(r"listens|\d{4}")
_EXPORT: Final = re.compile(r"listenbrainz_(.+)_\d{9,}")
_HEAD_BYTES: Final = 512
_USTAR_AT: Final = 257
_BLOCK_BYTES: Final = 512
# More than tarfile reads ahead.
_REMEMBERED: Final = 2**16
_ROWS_OF_PARQUET: Final = 250_000


@dataclass(frozen=True, slots=True)
class ListenFile:
    """A file of listens, or an archive of such files.

    Attributes:
        part: the file.
        owner: the user of listens that name none; None where each names its user.
    """

    part: Part
    owner: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """Some listens of a file.

    Attributes:
        shown: the file, for messages.
        listens: from ``of_json`` or ``of_parquet``.
        broken: the first line that is no JSON object, and its number; None for none.
    """

    shown: str
    listens: pl.DataFrame
    broken: str | None = None


def find_files(path: Path, options: AccountOptions) -> list[ListenFile]:
    """Finds the files of listens.

    Args:
        path: a file, an archive or a folder.
        options: the id of the only user.

    Raises:
        DatasetError: there is none, or it is unclear whose an export is.
    """
    parts = find_parts(path)
    found = [part for part in parts if _is_listens(part.name) or _is_tar(part.name)]
    if path.is_file() and len(parts) == 1 and parts[0].member is None:
        found = parts  # a file that is named is read, whatever its name
    if not found:
        also = f"; it holds {listed({part.name for part in parts})}" if parts else ""
        raise DatasetError(
            f"{path} holds no {' or '.join(f'*{one}' for one in (*_OF_DUMPS, *_OF_EXPORTS))}, and "
            f"no archive (*.tar, *.tar.zst) of such files{also}"
        )
    exports = [part for part in found if part.name.endswith(_OF_EXPORTS)]
    if options.user_id is not None and not exports:
        raise DatasetError(
            f"{path} holds no export of an account (*.jsonl), and --user-id names the user of one; "
            "leave it out"
        )
    users = name_users([_owner(part, parts) for part in exports], path, options)
    owners = dict(zip((part.place for part in exports), users, strict=True))
    return [ListenFile(part, owners.get(part.place)) for part in found]


def _is_listens(name: str) -> bool:
    return name.endswith((*_OF_DUMPS, *_OF_EXPORTS)) and name not in _OTHERS


def _is_tar(name: str) -> bool:
    return name.endswith((".tar", ".tgz", ".txz", ".tzst"))


def _owner(part: Part, parts: Sequence[Part]) -> str | None:
    """Returns the user that the place of an export, or the user.json beside it, names."""
    account = account_of(part, _INNER)
    root = PurePosixPath(account or "")
    card = next((one for one in parts if one.place == root / "user.json"), None)
    if card is not None:
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(card.read())["username"])
    if account is None:
        return _named(part.path.stem) if part.member is not None else None
    return _named(account) or account


def _named(name: str) -> str | None:
    match = _EXPORT.fullmatch(name)
    return None if match is None else match[1]


def blocks_of(file: ListenFile) -> Iterator[Block]:
    """Reads a file block by block.

    Raises:
        DatasetError: it is damaged, ends in the middle, or lacks columns.
    """
    with file.part.open() as opened:
        stream = _Begun(opened)
        if stream.head[_USTAR_AT:].startswith(b"ustar"):
            yield from _of_tar(stream, file.part.shown)
        else:
            yield from _of_stream(stream, file.part.shown, file.owner)


class _Begun:
    """A stream whose first bytes are known; ``peek`` would return what one read brings.

    Args:
        stream: from its beginning.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.head: bytes = stream.read(_HEAD_BYTES)
        self._ahead: bytes = self.head

    def read(self, size: int) -> bytes:
        """Reads some of the next bytes; none at the end."""
        if not self._ahead:
            data: bytes = self._stream.read(size)
            return data
        some, self._ahead = self._ahead[:size], self._ahead[size:]
        return some

    def readinto(self, buffer: Any) -> int:
        """Reads some of the next bytes; returns their number."""
        if not self._ahead:
            return int(self._stream.readinto(buffer))
        some = self.read(len(buffer))
        buffer[: len(some)] = some
        return len(some)

    def close(self) -> None:
        """Leaves the stream to who opened it."""


def _of_stream(stream: _Begun, shown: str, owner: str | None) -> Iterator[Block]:
    head = stream.head
    if head.startswith(b"PAR1"):
        yield from _of_parquet(stream, shown)
        return
    if (inner := compression_of(head)) is not None:
        raise DatasetError(f"{shown} is compressed inside its archive ({inner.name}); unpack it")
    refuse_head(head, shown)
    read = 0
    for frame in json_frames(stream, shown, JSON_SCHEMA):
        broken = frame[BROKEN].is_not_null().arg_true()
        example = None
        if len(broken):
            example = f"'{shorten(frame[BROKEN][broken[0]])}' in row {read + broken[0] + 1:,}"
        read += len(frame)
        yield Block(shown, of_json(frame, owner), example)


def _of_parquet(stream: _Begun, shown: str) -> Iterator[Block]:
    with tempfile.TemporaryDirectory(prefix="encore-reading-") as folder, reading(shown):
        file = Path(folder) / "listens.parquet"
        spool(stream, file, shown=shown)
        scan = pl.scan_parquet(file, glob=False)
        schema = scan.collect_schema()
        missing = [f"'{name}'" for name in PARQUET_COLUMNS if name not in schema]
        if missing:
            raise DatasetError(
                f"{shown} has no column {', '.join(missing)}; is it a file of a Spark dump?"
            )
        listens = scan.select(PARQUET_COLUMNS)
        length = listens.select(pl.len()).collect().item()
        for begin in range(0, length, _ROWS_OF_PARQUET):
            yield Block(shown, of_parquet(listens.slice(begin, _ROWS_OF_PARQUET).collect()))


def _of_tar(stream: _Begun, shown: str) -> Iterator[Block]:
    """Reads the members of an archive as they come."""
    watched = _Watched(stream)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", watched), mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if not (member.isreg() and _is_listens(name)):
                    continue
                opened: Any = archive.extractfile(member)
                with opened:
                    yield from _of_stream(_Begun(opened), f"{shown}/{shorten(member.name)}", None)
            watched.check_end(archive.offset, shown)
    except (tarfile.TarError, ValueError) as error:
        raise DatasetError(
            f"{shown} is damaged, or ends in the middle (tar: {error}); fetch it again"
        ) from error


class _Watched:
    """A stream that remembers its last bytes, since tarfile takes any damage for the end.

    Args:
        stream: the bytes of an archive.
    """

    def __init__(self, stream: _Begun) -> None:
        self._stream = stream
        self._last = b""
        self._read = 0

    def read(self, size: int) -> bytes:
        """Reads the next bytes."""
        data: bytes = self._stream.read(size)
        self._last = (self._last + data)[-_REMEMBERED:]
        self._read += len(data)
        return data

    def check_end(self, end: int, shown: str) -> None:
        """Refuses an archive in which tarfile did not stop at the end.

        Args:
            end: the byte at which tarfile stopped, to look at the header of a member.
            shown: the archive, for messages.

        Raises:
            DatasetError: the archive ends in the middle, or something follows its end.
        """
        rest = self._last[end - self._read + len(self._last) :]
        if len(rest) < _BLOCK_BYTES:
            raise DatasetError(f"{shown} ends in the middle (tar); fetch it again")
        # The end is at least one block of zeros, as no header is.
        while rest:
            if rest.strip(b"\0"):
                raise DatasetError(
                    f"{shown} is damaged at byte {end:,} (tar: neither a member nor the end of the "
                    "archive); fetch it again"
                )
            rest = self._stream.read(2**20)
