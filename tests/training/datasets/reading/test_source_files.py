"""Files of a source: folders, patterns and archives, also hostile ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import zipfile
from pathlib import Path

import pytest

from training.datasets.reading.source_files import (
    files_beside,
    find_files,
    fingerprints,
    unpacked,
)
from training.errors import DatasetError

TEXT = b"a,b\n1,2\n"


def zipped(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def changed(path: Path, offset: int, value: bytes) -> Path:
    """Changes a field of the first entry in the directory of an archive."""
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + offset
    path.write_bytes(content[:at] + value + content[at + len(value) :])
    return path


def written(folder: Path, *names: str, content: bytes = TEXT) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def places(path: Path) -> list[str]:
    return [str(file.place) for file in find_files(path)]


def contents(path: Path) -> list[bytes]:
    """Returns the files of a path in both ways in which they are read, which have to agree."""
    files = find_files(path)
    with unpacked(files) as parts:
        plain = [part.plain.read_bytes() for part in parts]
    assert plain == [file.read() for file in files]
    return plain


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught, unpacked(find_files(path)):
        pass
    return str(caught.value)


def test_a_folder_has_its_files_and_those_of_its_archives(tmp_path: Path) -> None:
    written(tmp_path, "b/2.csv", "1.csv", ".hidden", "_SUCCESS", ".git/x", "1.csv.crc")
    zipped(tmp_path / "a.zip", ("3.csv", TEXT), ("__MACOSX/3.csv", b""), ("d/4.csv", TEXT))
    assert places(tmp_path) == ["1.csv", "a/3.csv", "a/d/4.csv", "b/2.csv"]
    assert contents(tmp_path) == [TEXT] * 4
    assert places(tmp_path / "a.zip") == ["3.csv", "d/4.csv"]
    digest = {"sha256": hashlib.sha256(TEXT).hexdigest(), "bytes": len(TEXT)}
    sources = fingerprints(find_files(tmp_path))
    assert list(sources) == ["1.csv", "a.zip", "b/2.csv"]
    assert sources["b/2.csv"] == digest
    with unpacked(find_files(tmp_path)) as parts:
        assert fingerprints(parts) == sources


def test_a_pattern_names_files_below_its_folder(tmp_path: Path) -> None:
    written(tmp_path, "anna/1.csv", "bert/1.csv", "bert/1.txt", "_x/1.csv")
    zipped(tmp_path / "carl.zip", ("1.csv", TEXT))
    assert places(tmp_path / "*" / "*.csv") == ["anna/1.csv", "bert/1.csv"]
    assert places(tmp_path / "**" / "*.csv") == ["anna/1.csv", "bert/1.csv"]
    assert places(tmp_path / "[bc]*") == ["bert/1.csv", "bert/1.txt", "carl/1.csv"]
    assert f"no file matches '{tmp_path}/*.tsv'; {tmp_path} holds _x, anna, bert" in refusal(
        tmp_path / "*.tsv"
    )


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "x does not exist; it should be a file, a folder or a pattern" in refusal(tmp_path / "x")
    assert "neither a file nor a folder; a pipe is read as" in refusal(tmp_path / "pipe")
    assert "https://x.org/a.zip is an address" in refusal(Path("https://x.org/a.zip"))
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    assert "gone.csv is a link to nothing; correct or remove it" in refusal(tmp_path)


def test_folders_too_deep_to_be_searched_are_refused(tmp_path: Path) -> None:
    # Was wrong: what lay deeper was left out, and nothing was said.
    written(tmp_path, "1/2/3/4/a.csv", "1/2/3/4/.git/a.csv")
    assert places(tmp_path) == ["1/2/3/4/a.csv"]
    written(tmp_path, "1/2/3/4/5/a.csv")
    assert f"{tmp_path}/1/2/3/4/5 lies more than 4 folders deep; give a folder" in refusal(tmp_path)


def test_a_folder_that_holds_itself_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    (tmp_path / "self").symlink_to(tmp_path)
    assert "lies more than 4 folders deep" in refusal(tmp_path)


def test_archives_write_only_into_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    names = (f"{tmp_path}/absolute.csv", "..\\..\\back.csv", "dir\\3.csv", "x" * 200 + ".csv")
    path = zipped(tmp_path / "in" / "a.zip", *((name, TEXT) for name in names), ("../up.csv", TEXT))
    with unpacked(find_files(path)) as parts:
        assert all(part.plain.is_relative_to(temporary) for part in parts)
        # Names with `..` count as hidden ones.
        assert {part.plain.name for part in parts} == {"3.csv", "absolute.csv", names[3]}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "temporary"]
    assert list(temporary.iterdir()) == []


def test_two_files_of_one_place_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.csv", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.csv", b"y")
    assert contents(path) == [b"x", b"y"]
    written(tmp_path, "a/1.csv")
    assert places(tmp_path) == ["a/1.csv"] * 3
    assert sorted(contents(tmp_path)) == [TEXT, b"x", b"y"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
def test_members_of_each_method_are_read_and_damage_is_refused(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", ("1.csv", TEXT * 100), method=method)
    assert contents(path) == [TEXT * 100]
    content = bytearray(path.read_bytes())
    content[30 + len("1.csv") + 20] ^= 0xFF
    path.write_bytes(bytes(content))
    assert refusal(path).startswith(f"{path}/1.csv ")
    with pytest.raises(DatasetError):
        find_files(path)[0].read()


def test_an_archive_that_ends_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("1.csv", TEXT * 1000))
    content = path.read_bytes()
    for end in (10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        assert f"{path} is a damaged zip archive; download it again" in refusal(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = changed(zipped(tmp_path / "a.zip", ("1.csv", TEXT)), 8, b"\x01")
    assert refusal(path) == f"{path}/1.csv is encrypted; unpack the archive first"


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    path = changed(zipped(tmp_path / "a.zip", ("1.csv", TEXT)), 10, b"\x63")
    assert "unpack the archive first" in refusal(path)


def test_a_member_that_declares_too_much_is_refused_at_once(tmp_path: Path) -> None:
    path = changed(zipped(tmp_path / "a.zip", ("1.csv", TEXT)), 24, (2**31).to_bytes(4, "little"))
    assert f"{path}/1.csv expands to more than 200 times its size (zip), as no" in refusal(path)
    with pytest.raises(DatasetError, match=r"expands to more than 200 times"):
        find_files(path)[0].read()


def test_no_more_is_read_of_a_member_than_it_declares(tmp_path: Path) -> None:
    # A small declared size hides what would fill the disk.
    path = zipped(tmp_path / "a.zip", ("1.csv", b"\0" * 2**22))
    changed(path, 24, (1000).to_bytes(4, "little"))
    assert f"{path}/1.csv is damaged; download it again" in refusal(path)


def test_what_is_compressed_twice_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT, mtime=0)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("1.csv", TEXT)
    for name, content in {"1.csv.gz": packed, "1.csv.xz": lzma.compress(TEXT)}.items():
        path = zipped(tmp_path / f"{name}.zip", (name, content))
        assert f"{path}/{name} is compressed twice" in refusal(path)
    path = zipped(tmp_path / "zip.zip", ("in.zip", inner.getvalue()))
    assert "is compressed twice (zip inside); unpack it once" in refusal(path)
    written(tmp_path / "plain", "1.csv.gz", content=packed)
    assert contents(tmp_path / "plain") == [TEXT]


def test_files_beside_another_one(tmp_path: Path) -> None:
    written(tmp_path, "plays.txt", "names.txt.old", "names-2.txt", "sub/names.txt")
    written(tmp_path, "names.txt.gz", content=gzip.compress(TEXT))
    zipped(tmp_path / "names.zip", ("names.txt", TEXT), ("other.txt", TEXT))
    [plays] = find_files(tmp_path / "plays.txt")
    assert [one.shown for one in files_beside(plays, "names.txt")] == [
        f"{tmp_path}/names.txt.gz",
        f"{tmp_path}/names.zip/names.txt",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", "closed/b.csv")
    (tmp_path / "closed").chmod(0)
    assert "cannot be read: Permission denied" in refusal(tmp_path)
