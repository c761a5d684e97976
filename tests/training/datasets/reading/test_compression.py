"""Compressed files, whatever their names, and those that would fill the disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from tests.leftovers import assert_nothing_is_left
from training.datasets.reading.compression import compression_of, expand, open_bytes, without_ending
from training.errors import DatasetError

TEXT = b"user_id,item_id\n" + b"".join(b"u%d,i%d\n" % (n, n * 7 % 1009) for n in range(20_000))
HALF = len(TEXT) // 2
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def zstd_packed(content: bytes) -> bytes:
    # As the command zstd does it: without the checksum some damage is invisible.
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


def in_parts(pack: Callable[[bytes], bytes], between: bytes = b"") -> bytes:
    return pack(TEXT[:HALF]) + between + pack(TEXT[HALF:])


FORMS = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "gzip of two members": in_parts(gzip.compress),
    "zstd": zstd_packed(TEXT),
    "zstd of two frames": in_parts(zstd_packed, SKIPPED),
    "zstd that begins with a skippable frame": SKIPPED + zstd_packed(TEXT),
    "bzip2": bz2.compress(TEXT),
    "bzip2 of two streams": in_parts(bz2.compress),
    "xz": lzma.compress(TEXT),
    "xz of two streams": in_parts(lzma.compress),
    "zip": zipped(("plays.csv", TEXT)),
    "zip of macOS": zipped(("plays.csv", TEXT), ("__MACOSX/._plays.csv", b"x"), (".DS_Store", b"")),
}
forms = pytest.mark.parametrize("form", FORMS)


def write(folder: Path, content: bytes) -> Path:
    file = folder / "plays.data"
    file.write_bytes(content)
    return file


@forms
def test_expands(tmp_path: Path, form: str) -> None:
    file = write(tmp_path, FORMS[form])
    with open_bytes(file) as stream:
        assert stream.read() == TEXT
    expand(file, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == TEXT


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    with open_bytes(write(tmp_path, TEXT)) as stream:
        assert stream.read() == TEXT


@forms
def test_a_file_that_ends_in_the_middle_is_refused(tmp_path: Path, form: str) -> None:
    content = FORMS[form]
    for end in (len(content) // 3, len(content) - 1):
        file = write(tmp_path, content[:end])
        with (
            pytest.raises(DatasetError, match=r"plays\.data ends in the middle \(\w+\); fetch or"),
            open_bytes(file) as stream,
        ):
            stream.read()


@forms
def test_a_damaged_file_is_refused(tmp_path: Path, form: str) -> None:
    content = bytearray(FORMS[form])
    content[len(content) // 3] ^= 0xFF
    file = write(tmp_path, bytes(content))
    with (
        pytest.raises(DatasetError, match=r"plays\.data is damaged \(\w+: .*\); fetch or"),
        open_bytes(file) as stream,
    ):
        stream.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            zipped(("a.csv", b"x"), ("b/c.csv", b"x")),
            r"holds 2 files \(a\.csv, b/c\.csv\); unpack it",
        ),
        (zipped(), "holds no file; unpack it"),
        (
            zipped(*((f"{n}.csv", b"x") for n in range(6))),
            r"holds 6 files \(0\.csv, .*4\.csv, …\); unpack it",
        ),
    ],
)
def test_an_archive_of_other_than_one_file_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with (
        pytest.raises(DatasetError, match=f"is a zip archive that {message}"),
        open_bytes(write(tmp_path, content)),
    ):
        pass


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(("a.csv", b"x")))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    with (
        pytest.raises(DatasetError, match="is an encrypted zip archive; unpack it"),
        open_bytes(write(tmp_path, bytes(content))),
    ):
        pass


def bomb(pack: Callable[[bytes], bytes], times: int) -> bytes:
    return pack(b"user,item\n" * 2**18) * times


@pytest.mark.slow
@pytest.mark.parametrize("pack", [zstd.compress, gzip.compress], ids=["zstd", "gzip"])
def test_what_expands_out_of_proportion_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    # 100 GB and 1 GB, of which little is written before it is refused.
    file = write(tmp_path, bomb(pack, 40_000 if pack is zstd.compress else 400))
    with pytest.raises(DatasetError, match=r"expands to more than 200 times its size .*; unpack"):
        expand(file, tmp_path / "plain")
    assert (tmp_path / "plain").stat().st_size < 2**32


def test_a_declared_size_out_of_proportion_is_refused_at_once(tmp_path: Path) -> None:
    header = b"\x28\xb5\x2f\xfd\xe0" + (100 * 10**9).to_bytes(8, "little")
    file = write(tmp_path, header + zstd.compress(TEXT)[6:])
    with pytest.raises(DatasetError, match="expands to more than 200 times its size"):
        expand(file, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_a_full_disk_is_refused_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30 + len(TEXT) - 1))
    with pytest.raises(DatasetError, match=r"needs more room than .* set TMPDIR to a folder"):
        expand(write(tmp_path, FORMS["zip"]), tmp_path / "plain")


def test_leaves_nothing_open(tmp_path: Path) -> None:
    good, bad = write(tmp_path, FORMS["zip"]), tmp_path / "bad.zst"
    bad.write_bytes(FORMS["zstd"][:1000])

    def use() -> None:
        with open_bytes(good) as stream:
            stream.read(10)
        with pytest.raises(DatasetError), open_bytes(bad) as stream:
            stream.read()

    assert_nothing_is_left(use)


def test_endings_are_taken_off_names() -> None:
    assert without_ending("plays.csv.GZ") == "plays.csv"
    assert without_ending("plays.tsv.zst") == "plays.tsv"
    assert without_ending("plays.csv") == "plays.csv"
    assert compression_of(b"user_id,item_id\n") is None
