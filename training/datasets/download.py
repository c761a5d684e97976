"""Download of a dataset: shows the licence first, resumes, and checks before anything is used."""

from __future__ import annotations

import fcntl
import hashlib
import re
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import httpx2
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from training.datasets.dataset import Dataset, Download
from training.errors import DownloadError

_TIMEOUT: Final = httpx2.Timeout(30, connect=10)
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 1.0
_CHUNK: Final = 1 << 20


def download(dataset: Dataset[Any], folder: Path, *, console: Console | None = None) -> None:
    """Fetches and unpacks a dataset, unless its files are there.

    The archive grows in ``<archive>.part``, from which an interrupted download resumes. An archive
    that was put into the folder by hand is used instead, and is not removed. A file of the dataset
    gets its name only when its checksum is right.

    Args:
        dataset: a dataset that can be downloaded.
        folder: the folder for its files; made if it is missing.
        console: for the licence and the progress bar; stderr by default.

    Raises:
        DownloadError: there is no network or no space, a file is broken or wrong, or another
            process is downloading it.
    """
    if dataset.download is None:
        raise DownloadError(f"{dataset.name} cannot be downloaded; it comes from {dataset.source}")
    if _is_complete(dataset.download, folder):
        return
    with _explained(dataset, dataset.download, folder), _locked(folder):
        # Another process may have finished it in between.
        if not _is_complete(dataset.download, folder):
            _obtain(dataset, dataset.download, folder, console or Console(stderr=True))


def _is_complete(download: Download, folder: Path) -> bool:
    return all((folder / name).is_file() for name in _required(download))


def _required(download: Download) -> list[str]:
    return sorted(set(download.files) - download.optional)


def _obtain(dataset: Dataset[Any], download: Download, folder: Path, console: Console) -> None:
    archive = folder / download.archive
    if archive.exists():
        _unpack(download, archive, folder)
        return
    part = archive.with_name(f"{archive.name}.part")
    _announce(dataset, download, folder, console)
    _fetch(download, part, console)
    try:
        _unpack(download, part, folder)
    except DownloadError as error:
        part.unlink()
        raise DownloadError(f"{error}; it was removed") from error
    part.unlink()


@contextmanager
def _explained(dataset: Dataset[Any], download: Download, folder: Path) -> Iterator[None]:
    """Adds the way out to every failure."""
    files = " and ".join(_required(download))
    instead = (
        f"To do without the download, fetch {download.url} (see {dataset.source}) elsewhere and "
        f"put it, or {files} from it, into {folder.absolute()}, or name their folder with --data"
    )
    try:
        yield
    except DownloadError as error:
        raise DownloadError(f"{dataset.name}: {error}. {instead}") from error
    except OSError as error:
        what = error.strerror or str(error)
        raise DownloadError(f"{dataset.name}: {folder}: {what}. {instead}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process download at a time; the kernel releases the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError("another process is downloading it; wait for that one") from error
        yield


def _announce(dataset: Dataset[Any], download: Download, folder: Path, console: Console) -> None:
    for line in (
        f"{dataset.name}: {dataset.description}",
        f"  licence: {dataset.licence}",
        f"  source:  {dataset.source}",
        f"  {download.size / 1e6:,.1f} MB from {download.url} to {folder}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _fetch(download: Download, part: Path, console: Console) -> None:
    """Downloads the archive; after a failure the ``.part`` file has what has come so far."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        httpx2.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
        Progress("{task.description}", *columns, console=console) as progress,
    ):
        task = progress.add_task(download.archive, total=None)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _fetch_rest(client, download, part, progress, task)
                return
            except httpx2.HTTPError as error:
                if attempt == _ATTEMPTS or not _is_passing(error):
                    raise DownloadError(_failure(error, download, part)) from error
                time.sleep(_PAUSE_SECONDS * attempt)


def _is_passing(error: httpx2.HTTPError) -> bool:
    """Returns whether another attempt may succeed."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    # Without a network the command has to fail at once.
    return not isinstance(
        error,
        httpx2.ConnectError
        | httpx2.ConnectTimeout
        | httpx2.ProxyError
        | httpx2.UnsupportedProtocol,
    )


def _failure(error: httpx2.HTTPError, download: Download, part: Path) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        reason = f"the server answered {error.response.status_code} for {download.url}"
    elif isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        reason = f"no connection to {httpx2.URL(download.url).host} ({error})"
    else:
        reason = f"the download broke off ({error or type(error).__name__})"
    if part.exists() and (size := part.stat().st_size):
        reason += f"; {size:,} bytes of it are in {part}, from which the next run resumes"
    return reason


def _fetch_rest(
    client: httpx2.Client, download: Download, part: Path, progress: Progress, task: TaskID
) -> None:
    """Appends the missing bytes to the part, or starts again where the server cannot resume.

    Raises:
        httpx2.HTTPError: the transfer broke off, or the server refuses it.
        DownloadError: the archive is larger than it can be.
    """
    have = part.stat().st_size if part.exists() else 0
    # The stored bytes: a compressed transfer could not be resumed.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", download.url, headers=headers) as response:
        start, total = _offered(response, have)
        if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE and total == have:
            return
        if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE or start > have:
            part.unlink(missing_ok=True)
            raise httpx2.RemoteProtocolError("the server cannot go on from here")
        response.raise_for_status()
        with part.open("r+b" if have else "wb") as file:
            file.truncate(start)
            file.seek(start)
            progress.update(task, completed=start, total=total)
            # Written as it arrives: of chunks of a fixed size the last one would be lost.
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.update(task, completed=file.tell())
                if file.tell() > download.largest:
                    file.truncate(0)
                    raise DownloadError(f"it is larger than {download.largest:,} bytes")


def _offered(response: httpx2.Response, have: int) -> tuple[int, int | None]:
    """Returns the position at which the answer begins, and the total size if it is known."""
    if response.status_code == httpx2.codes.OK:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if found is None:
        return have, None
    start, total = found.groups()
    return int(start or 0), None if total == "*" else int(total)


def _check(file: Path, name: str, checksum: str | None) -> None:
    """Compares a file with its checksum, if that is known.

    Raises:
        DownloadError: they differ.
    """
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected:
        raise DownloadError(
            f"{name} is not the published file: its {algorithm} is {found}, expected {expected}"
        )


def _unpack(download: Download, archive: Path, folder: Path) -> None:
    """Unpacks the wanted files; they get their names when all of them are right.

    Paths in the archive are not used, so that it cannot write outside of the folder.

    Raises:
        DownloadError: the archive is damaged, is another one, or lacks a file.
    """
    _check(archive, download.archive, download.checksum)
    unpacked: dict[str, Path] = {}
    try:
        for name, content in _members(archive, zipped=download.archive.endswith(".zip")):
            if name in download.files and name not in unpacked:
                unpacked[name] = folder / f"{name}.unpacking"
                _write_bounded(content, unpacked[name], download.largest)
                _check(unpacked[name], name, download.files[name])
        if missing := [name for name in _required(download) if name not in unpacked]:
            raise DownloadError(f"{download.archive} holds no {', '.join(missing)}")
        for name, file in unpacked.items():
            file.replace(folder / name)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{download.archive} is damaged ({error})") from error
    finally:
        for file in unpacked.values():
            file.unlink(missing_ok=True)


def _members(archive: Path, *, zipped: bool) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields the name without folder and the content of each regular file of an archive."""
    if zipped:
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    with packed.open(entry) as content:
                        yield PurePosixPath(entry.filename).name, content
        return
    with tarfile.open(archive, "r|gz") as packed_tar:
        for member in packed_tar:
            stream = packed_tar.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield PurePosixPath(member.name).name, stream


def _write_bounded(content: IO[bytes], file: Path, largest: int) -> None:
    written = 0
    with file.open("wb") as out:
        while chunk := content.read(_CHUNK):
            written += len(chunk)
            if written > largest:
                raise DownloadError(f"{file.stem} unpacks to more than {largest:,} bytes")
            out.write(chunk)
