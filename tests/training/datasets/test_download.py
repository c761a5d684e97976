"""Downloads from a real server on the loopback that can be told to misbehave."""

from __future__ import annotations

import fcntl
import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import training.datasets.download as module
from training.datasets import DATASETS, Dataset
from training.datasets.dataset import Download
from training.datasets.download import download
from training.errors import DownloadError

PLAYS = b"plays\n" * 9 + np.random.default_rng(1).bytes(300_000)
PAGE = "https://example.org/plays"


@dataclass
class Site:
    """What the server holds, how it behaves, and what it was asked for."""

    content: bytes = b""
    status: int = 200
    resumable: bool = True
    breaks_after: int | None = None
    announces_length: bool = True
    redirects: bool = False
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if site.redirects and self.path == "/plays.zip":
                self.send_response(302)
                self.send_header("Location", "/elsewhere.zip")
                self.end_headers()
                return
            wanted = self.headers.get("Range")
            site.ranges.append(wanted)
            start, status = 0, site.status
            if wanted and site.resumable and status == 200:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                status = 206 if start < len(site.content) else 416
            body = site.content[start:] if status in {200, 206} else b""
            self.send_response(status)
            if status == 206:
                last = len(site.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
            if site.announces_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/plays.zip"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes], link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def dataset(site: Site, **changes: object) -> Dataset:
    fetched = Download(
        url=site.url,
        archive="plays.zip",
        size=300_000,
        largest=1_000_000,
        files={"plays": md5(PLAYS), "profiles": None},
        optional=frozenset({"profiles"}),
    )
    known = DATASETS["lastfm-360k"]
    fetched = replace(fetched, **changes)  # type: ignore[arg-type]
    return replace(known, name="plays", source=PAGE, download=fetched)


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != ".lock"}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_fetches_states_the_licence_and_unpacks(site: Site, tmp_path: Path) -> None:
    site.content = zipped(folder__plays=PLAYS, folder__profiles=b"p", folder__other=b"o")
    console = quiet()
    folder = tmp_path / "data" / "plays"

    download(dataset(site), folder, console=console)

    assert files_of(folder) == {"plays": PLAYS, "profiles": b"p"}
    assert site.ranges == [None]
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    licence = shown.index("licence: non-commercial use")
    assert licence < shown.index(f"from {site.url} to {folder}")


def test_what_is_there_is_not_fetched(site: Site, tmp_path: Path) -> None:
    (tmp_path / "plays").write_bytes(b"mine")

    download(dataset(site), tmp_path, console=quiet())

    assert site.ranges == []
    assert files_of(tmp_path) == {"plays": b"mine"}


def test_follows_redirects_and_lives_without_a_length(site: Site, tmp_path: Path) -> None:
    site.content, site.redirects, site.announces_length = zipped(plays=PLAYS), True, False

    download(dataset(site), tmp_path, console=quiet())

    assert files_of(tmp_path) == {"plays": PLAYS}


def test_reads_a_gzipped_tar(site: Site, tmp_path: Path) -> None:
    site.content = tarred(("lastfm/plays", PLAYS), ("lastfm/README", b"r"))

    download(dataset(site, archive="plays.tar.gz"), tmp_path, console=quiet())

    assert files_of(tmp_path) == {"plays": PLAYS}


def test_a_download_that_breaks_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.content, site.breaks_after = zipped(plays=PLAYS), 120_000

    download(dataset(site), tmp_path, console=quiet())

    assert site.ranges == [None, "bytes=120000-", "bytes=240000-"]
    assert files_of(tmp_path) == {"plays": PLAYS}


def test_a_broken_download_stays_and_the_next_run_goes_on(site: Site, tmp_path: Path) -> None:
    site.content, site.breaks_after = zipped(plays=PLAYS), 1000

    with pytest.raises(
        DownloadError, match=r"broke off.*4,000 bytes of it are in .*plays\.zip\.part"
    ):
        download(dataset(site), tmp_path, console=quiet())
    assert files_of(tmp_path) == {"plays.zip.part": site.content[:4000]}

    site.breaks_after, site.ranges = None, []
    download(dataset(site), tmp_path, console=quiet())

    assert site.ranges == ["bytes=4000-"]
    assert files_of(tmp_path) == {"plays": PLAYS}


def test_begins_anew_where_the_server_cannot_resume(site: Site, tmp_path: Path) -> None:
    site.content, site.resumable = zipped(plays=PLAYS), False
    (tmp_path / "plays.zip.part").write_bytes(b"x" * 999_999)

    download(dataset(site), tmp_path, console=quiet())

    assert files_of(tmp_path) == {"plays": PLAYS}


@pytest.mark.parametrize("extra", [b"", b"x"])
def test_a_part_that_is_complete_is_taken_and_a_longer_one_is_not(
    site: Site, tmp_path: Path, extra: bytes
) -> None:
    site.content = zipped(plays=PLAYS)
    (tmp_path / "plays.zip.part").write_bytes(site.content + extra)

    download(dataset(site), tmp_path, console=quiet())

    assert len(site.ranges) == 1 + len(extra)
    assert files_of(tmp_path) == {"plays": PLAYS}


def test_a_wrong_file_inside_is_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.content = zipped(plays=PLAYS + b"!")

    with pytest.raises(
        DownloadError,
        match=f"plays is not the published file: its md5 is {md5(PLAYS + b'!')[4:]}, expected "
        f"{md5(PLAYS)[4:]}; it was removed",
    ):
        download(dataset(site), tmp_path, console=quiet())

    assert files_of(tmp_path) == {}


def test_a_wrong_archive_is_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.content = zipped(plays=PLAYS)

    with pytest.raises(DownloadError, match=r"plays\.zip is not the published file: its sha256"):
        download(dataset(site, checksum="sha256:00"), tmp_path, console=quiet())

    assert files_of(tmp_path) == {}


@pytest.mark.parametrize("archive", ["plays.zip", "plays.tar.gz"])
@pytest.mark.parametrize("damage", ["a page", "truncated", "bits"])
def test_a_damaged_archive_is_refused_and_removed(
    site: Site, tmp_path: Path, archive: str, damage: str
) -> None:
    whole = zipped(plays=PLAYS) if archive == "plays.zip" else tarred(("plays", PLAYS))
    middle = len(whole) // 2
    site.content = {
        "a page": b"<html>please log in</html>" * 9,
        "truncated": whole[:middle],
        "bits": whole[:middle] + b"\xff" * 999 + whole[middle + 999 :],
    }[damage]

    with pytest.raises(DownloadError, match=r"is damaged|not the published file"):
        download(dataset(site, archive=archive), tmp_path, console=quiet())

    assert files_of(tmp_path) == {}


def test_an_archive_without_the_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.content = zipped(profiles=b"p")

    with pytest.raises(DownloadError, match=r"plays\.zip holds no plays"):
        download(dataset(site), tmp_path, console=quiet())

    assert files_of(tmp_path) == {}


def test_an_archive_cannot_write_elsewhere(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    site.content = tarred(("../../plays", PLAYS), ("/tmp/profiles", b"p"), link="profiles")  # noqa: S108

    download(dataset(site, archive="plays.tar.gz"), folder, console=quiet())

    assert files_of(folder) == {"plays": PLAYS, "profiles": b"p"}
    assert not (folder / "profiles").is_symlink()
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_sizes_are_bounded(site: Site, tmp_path: Path) -> None:
    site.content = zipped(plays=PLAYS)
    with pytest.raises(DownloadError, match="larger than 1,000 bytes"):
        download(dataset(site, largest=1000), tmp_path, console=quiet())

    site.content = tarred(("plays", b"0" * 2_000_000))
    with pytest.raises(DownloadError, match="plays unpacks to more than 1,000,000 bytes"):
        download(dataset(site, archive="plays.tar.gz"), tmp_path, console=quiet())

    assert set(files_of(tmp_path).values()) <= {b""}


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_refusing_server_is_named(site: Site, tmp_path: Path, status: int) -> None:
    site.status = status

    with pytest.raises(DownloadError, match=f"the server answered {status} for {site.url}"):
        download(dataset(site), tmp_path, console=quiet())

    assert len(site.ranges) == (4 if status == 503 else 1)
    assert files_of(tmp_path) == {}


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        site = Site(url=f"http://127.0.0.1:{bound.getsockname()[1]}/plays.zip")
        with pytest.raises(DownloadError) as caught:
            download(dataset(site), tmp_path, console=quiet())

    message = str(caught.value)
    assert "plays: no connection to 127.0.0.1" in message
    assert f"fetch {site.url} (see {PAGE}) elsewhere and put it, or plays from it," in message
    assert f"into {tmp_path}, or name their folder with --data" in message


def test_an_archive_put_there_by_hand_is_used_and_stays(site: Site, tmp_path: Path) -> None:
    archive = zipped(plays=PLAYS)
    (tmp_path / "plays.zip").write_bytes(archive)

    download(dataset(site), tmp_path, console=quiet())

    assert site.ranges == []
    assert files_of(tmp_path) == {"plays": PLAYS, "plays.zip": archive}


def test_a_wrong_archive_put_there_by_hand_is_refused_but_stays(site: Site, tmp_path: Path) -> None:
    (tmp_path / "plays.zip").write_bytes(b"other")

    with pytest.raises(DownloadError, match=r"plays\.zip is damaged"):
        download(dataset(site), tmp_path, console=quiet())

    assert files_of(tmp_path) == {"plays.zip": b"other"}


def test_two_processes_do_not_download_at_once(site: Site, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is downloading it"):
            download(dataset(site), tmp_path, console=quiet())

    assert site.ranges == []


def test_a_folder_that_cannot_be_made_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DownloadError, match=r"plays: .*file/plays.*Not a directory"):
        download(dataset(site), tmp_path / "file" / "plays", console=quiet())


def test_what_cannot_be_downloaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="table cannot be downloaded"):
        download(DATASETS["table"], tmp_path, console=quiet())
