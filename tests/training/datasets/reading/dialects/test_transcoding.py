"""Other encodings are read exactly, or refused with the line that does not fit."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.training.datasets.tables import pairs, write
from training.datasets import LoadOptions
from training.datasets.reading.dialects import transcoding
from training.datasets.table import load
from training.errors import DatasetError

TEXT = "user_id,item_id,weight,name\nü,x,1.5,Café €\nv,y,2,Björk\n"


def read(folder: Path, content: bytes, name: str = "a.csv", **options: Any) -> list[str]:
    """Returns the users and the names of a table."""
    records = load(write(folder / name, content), LoadOptions(**options))
    return [*records.user_ids, *records.items.names]


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "_BLOCK_BYTES", 3)


@pytest.mark.slow
@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-16", None),
        ("utf-16", "utf-16"),
        ("utf-32", None),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
        ("cp1252", "windows-1252"),
        ("iso-8859-15", "latin9"),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8"),
        ("utf-8", "UTF-8"),
        ("gb18030", "gb18030"),
    ],
)
def test_encodings_are_read(tmp_path: Path, codec: str, encoding: str | None) -> None:
    content = TEXT.encode(codec)
    expected = ["v", "ü", "Café €", "Björk"]
    assert read(tmp_path, content, encoding=encoding) == expected
    packed = gzip.compress(content, mtime=0)
    assert read(tmp_path, packed, "a.csv.gz", encoding=encoding) == expected
    lines = b"".join(
        f'{{"user_id": "{user}", "item_id": "{item}"}}\n'.encode()
        for user, item in (("ü", "Ä"), ("v", "y"))
    )
    assert read(tmp_path, lines.decode().encode(codec), "a.jsonl", encoding=encoding) == [
        *("v", "ü"),
        *("y", "Ä"),
    ]


def test_checksums_are_those_of_the_file_as_it_came(tmp_path: Path) -> None:
    content = TEXT.encode("utf-16")
    records = load(write(tmp_path / "a.csv", content), LoadOptions())
    expected = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert records.sources == {"a.csv": expected}


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (TEXT.encode("cp1252"), "utf-8", r"is not utf-8: line 2 has the bytes fc: '�,x,1.5,Caf"),
        (
            TEXT.encode("utf-16-le"),
            "utf-16",
            r"has no byte order mark, which --encoding utf-16 needs; .* \(utf-16-le or utf-16-be\)",
        ),
        (b"user_id,item_id,weight\nu,+2AA-,1\n", "utf-7", "holds half of a pair of surrogates"),
        (TEXT.encode("cp1252"), "ascii", "is not ascii: line 2 has the bytes fc"),
        (TEXT.encode(), "latin-1", "is UTF-8, and --encoding latin-1 would garble its letters"),
        (TEXT.encode("utf-8-sig"), "cp1252", "begins with the mark of UTF-8, so it is not cp1252"),
        (TEXT.encode("utf-16"), "cp1252", "begins with the mark of UTF-16, so it is not cp1252"),
        (
            b"user_id,item_id\nu,x\x81\n",
            "cp1252",
            r"not cp1252: line 2 .*81: 'u,x�'. --encoding na",
        ),
        (b"user_id,item_id\ru,x\rv,\x81\r", "cp1252", "not cp1252: line 3 has the bytes 81"),
        (TEXT.encode("utf-16")[:-1], None, "ends in the middle of a character, if it is utf-16"),
        (
            TEXT.encode("utf-16-le"),
            None,
            "looks like UTF-16 without its mark; --encoding utf-16-le",
        ),
        (
            TEXT.encode("utf-16-be"),
            None,
            "looks like UTF-16 without its mark; --encoding utf-16-be",
        ),
        (TEXT.encode(), "cp1552", "--encoding is 'cp1552', .* did you mean cp1252"),
        (TEXT.encode(), "base64", "--encoding is 'base64', which is no encoding"),
        (TEXT.encode(), "", "--encoding is '', which is no encoding, such as cp1252"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes, encoding: str | None, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, content, encoding=encoding)


def test_parquet_has_no_encoding(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": "u", "item_id": "x"}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="is Parquet, in which text is always UTF-8; leave --en"):
        load(tmp_path / "a.parquet", LoadOptions(encoding="cp1252"))


def test_names_in_a_wrong_encoding_are_noted(tmp_path: Path) -> None:
    records = load(
        write(tmp_path / "a.csv", TEXT.replace("ü", "u").encode("cp1252")), LoadOptions()
    )
    note = "name with a character that cannot be read, shown as U+FFFD"
    assert records.rows.noted == {note: 2}
    assert records.rows.examples[note] == (
        "'Caf\ufffd \ufffd' in row 1 after the header; --encoding cp1252 may read it"
    )
    garbled = TEXT.encode().decode("cp1252").encode()
    records = load(write(tmp_path / "a.csv", garbled), LoadOptions())
    assert records.rows.noted == {"name that looks like UTF-8 read as another encoding": 2}


@pytest.mark.usefixtures("_small_blocks")
def test_a_single_colon_between_double_ones_is_a_character(tmp_path: Path) -> None:
    text = b"u::x::Mission: Impossible::1.5\nv::y::::2\nv:w::::::2\n"
    records = load(
        write(tmp_path / "a.dat", text), LoadOptions(columns="user_id,item_id,name,weight")
    )
    assert pairs(records) == [("u", "x", 1.5), ("v", "y", 2.0)]
    assert records.items.names.to_list() == ["Mission: Impossible", "y"]


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u::x::1\nv::y:::2\n", "line 2 has 3 colons in a row, so it is unclear where a field end"),
        ("u::x::1\nv::y\x1f::2\n", r"line 2 holds the control character U\+001F"),
        ("u::x::1\n" + ":" * 2000 + "\n", "line 2 has more than 1,000 colons in a row"),
    ],
)
def test_fields_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        load(write(tmp_path / "a.dat", text), LoadOptions(columns="user_id,item_id,weight"))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "place"))
    read(tmp_path, TEXT.encode("utf-16"))
    with pytest.raises(DatasetError):
        read(tmp_path, TEXT.encode("utf-16")[:-1])
    assert not list((tmp_path / "place").iterdir())


def test_binary_files_are_not_called_utf_16(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no column 'user_id'"):
        read(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(50))
