"""The Last.fm 360K format with all that is wrong in the real file."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.lastfm_360k import PLAYS_FILE, load
from training.errors import DatasetError

ANNA = "a" * 40
BERT = "b" * 40
DOORS = "9efff43b-3b29-4082-824e-bc82f646f93d"
WAITS = "c3aeb863-7b26-4388-94e8-5a240f2be21b"

Row = tuple[str, str, float]


def write(folder: Path, *lines: str | bytes, end: bytes = b"\n") -> Path:
    file = folder / PLAYS_FILE
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    file.write_bytes(b"".join(line + end for line in encoded))
    return file


def line(user: str, mbid: str, name: str, plays: object) -> str:
    return f"{user}\t{mbid}\t{name}\t{plays}"


def rows_of(records: Records) -> list[Row]:
    return [
        (
            records.user_ids[int(user)],
            records.item_ids[int(item)] if item >= 0 else "",
            float(plays),
        )
        for user, item, plays in zip(
            records.user_codes, records.item_codes, records.plays, strict=True
        )
    ]


def test_reads_rows_as_codes_of_sorted_ids(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        line(BERT, WAITS, "tom waits", 7),
        line(ANNA, WAITS, "tom waits", 419157),
        line(ANNA, DOORS, "the doors", 1),
    )

    records = load(tmp_path, LoadOptions())

    assert records.user_ids.to_list() == [ANNA, BERT]
    assert records.item_ids.to_list() == [DOORS, WAITS]
    assert records.items.names.to_list() == ["the doors", "tom waits"]
    assert records.user_codes.tolist() == [1, 0, 0]
    assert records.item_codes.tolist() == [1, 1, 0]
    assert records.plays.tolist() == [7.0, 419157.0, 1.0]
    assert records.user_codes.dtype == records.item_codes.dtype == np.int32
    assert records.plays.dtype == np.float32
    assert records.dataset == "lastfm-360k"
    assert (records.rows.read, records.rows.taken) == (3, 3)
    assert records.rows.dropped == {}
    assert records.rows.noted == {}
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert records.sources == {PLAYS_FILE: {"sha256": digest, "bytes": len(content)}}


@pytest.mark.parametrize("place", ["file", "folder", "above"])
def test_takes_the_file_its_folder_or_the_folder_above(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "lastfm-dataset-360K"
    folder.mkdir()
    file = write(folder, line(ANNA, DOORS, "the doors", 1))

    records = load({"file": file, "folder": folder, "above": tmp_path}[place], LoadOptions())

    assert rows_of(records) == [(ANNA, DOORS, 1.0)]


def test_a_file_may_have_another_name_and_odd_characters_in_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "[1] *?"
    folder.mkdir()
    file = write(folder, line(ANNA, DOORS, "the doors", 1)).rename(folder / "mine [2]*.txt")

    assert rows_of(load(file, LoadOptions())) == [(ANNA, DOORS, 1.0)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (line("sep 20, 2008", DOORS, "the doors", 5), "user is no SHA-1"),
        (line("A" * 39, DOORS, "the doors", 5), "user is no SHA-1"),
        (line(ANNA + "0", DOORS, "the doors", 5), "user is no SHA-1"),
        (line("", DOORS, "the doors", 5), "user is no SHA-1"),
        (line(ANNA, DOORS, "the doors", 0), "plays are zero"),
        (line(ANNA, DOORS, "the doors", "1e-60"), "plays are zero"),
        (line(ANNA, DOORS, "the doors", -3), "plays are negative"),
        (line(ANNA, DOORS, "the doors", "many"), "plays missing or no number"),
        (line(ANNA, DOORS, "the doors", ""), "plays missing or no number"),
        (line(ANNA, DOORS, "the doors", "inf"), "plays missing or no number"),
        (line(ANNA, DOORS, "the doors", "nan"), "plays missing or no number"),
        (line(ANNA, DOORS, "the doors", "1e99"), "plays missing or no number"),
        (line(ANNA, "", "", 5), "neither artist MBID nor name"),
        (line(ANNA, "", "x" * 252, 5), "id longer than 256 bytes"),
        (line(ANNA, "x" * 257, "the doors", 5), "id longer than 256 bytes"),
        (ANNA.encode() + b"\tm\xff\tthe doors\t5", "artist MBID with invalid UTF-8"),
        (f"{ANNA}\t{DOORS}\t5", "wrong number of columns"),
        (ANNA, "wrong number of columns"),
        ("\t", "wrong number of columns"),
        (" ", "wrong number of columns"),
        (line(ANNA, DOORS, "the\tdoors", 5), "wrong number of columns"),
        (line(ANNA, DOORS, "the doors", "5\t6"), "wrong number of columns"),
        (line(ANNA, DOORS, "the doors", "5\t6\t7\t8"), "wrong number of columns"),
    ],
)
def test_a_broken_row_is_dropped_for_its_reason(
    tmp_path: Path, broken: str | bytes, reason: str
) -> None:
    write(tmp_path, broken, line(BERT, WAITS, "tom waits", 7))

    records = load(tmp_path, LoadOptions())

    assert records.rows.dropped == {reason: 1}
    assert (records.rows.read, records.rows.taken) == (2, 1)
    assert rows_of(records) == [(BERT, WAITS, 7.0)]
    assert records.user_ids.to_list() == [BERT]
    assert records.item_ids.to_list() == [WAITS]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    write(tmp_path, "", line(ANNA, DOORS, "the doors", 1), "", "", end=b"\r\n")

    records = load(tmp_path, LoadOptions())

    assert (records.rows.read, records.rows.dropped) == (1, {})


def test_a_byte_order_mark_and_a_missing_last_line_end_do_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path, line(ANNA, DOORS, "the doors", 1))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().rstrip(b"\n"))

    assert rows_of(load(tmp_path, LoadOptions())) == [(ANNA, DOORS, 1.0)]


def test_quotes_are_no_quoting(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, DOORS, '"weird al', 1),
        line(ANNA, WAITS, 'lee "scratch" perry"', 2),
        line(ANNA, "", '"', 3),
    )

    records = load(tmp_path, LoadOptions())

    assert records.item_ids.to_list() == [DOORS, WAITS, 'name:"']
    assert records.items.names.to_list() == ['"weird al', 'lee "scratch" perry"', '"']


def test_odd_characters_stay_and_invalid_utf8_is_noted(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, "", "Ж\0\x07 ￿\u2028", 1),
        ANNA.encode() + b"\t" + DOORS.encode() + b"\tdoors\xff\t2",
    )

    records = load(tmp_path, LoadOptions())

    assert records.items.names.to_list() == ["doors\ufffd", "Ж\0\x07 ￿\u2028"]
    assert records.rows.noted == {
        "artist without MBID, known by name": 1,
        "name with invalid UTF-8, shown with U+FFFD": 1,
    }


def test_a_mbid_that_is_no_uuid_stays_and_is_noted(tmp_path: Path) -> None:
    write(tmp_path, line(ANNA, "0042", "the doors", 1))

    records = load(tmp_path, LoadOptions())

    assert records.item_ids.to_list() == ["0042"]
    assert records.rows.noted == {"artist MBID is no UUID, kept as it is": 1}


def test_an_artist_without_mbid_is_known_by_name_or_by_the_names_only_mbid(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, DOORS, "the doors", 1),
        line(ANNA, "", "the doors", 2),  # one MBID has this name
        line(BERT, "", "The Doors", 3),  # another name, though alike
        line(ANNA, DOORS, "x", 4),
        line(ANNA, WAITS, "x", 5),
        line(BERT, "", "x", 6),  # two MBIDs have this name
    )

    records = load(tmp_path, LoadOptions())

    assert rows_of(records) == [
        (ANNA, DOORS, 1.0),
        (ANNA, DOORS, 2.0),
        (BERT, "name:The Doors", 3.0),
        (ANNA, DOORS, 4.0),
        (ANNA, WAITS, 5.0),
        (BERT, "name:x", 6.0),
    ]
    assert records.items.names.to_list() == ["the doors", "x", "The Doors", "x"]
    assert records.rows.noted == {
        "artist without MBID, known by name": 2,
        "name without MBID matched to its only MBID": 1,
    }


def test_a_garbled_row_does_not_say_which_mbid_a_name_has(tmp_path: Path) -> None:
    write(tmp_path, line("garbage", DOORS, "x", 1), line(ANNA, "", "x", 2))

    assert rows_of(load(tmp_path, LoadOptions())) == [(ANNA, "name:x", 2.0)]


def test_without_ids_an_artist_is_no_item_but_its_row_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, DOORS, "the doors", 1),
        line(ANNA, "", "the doors", 2),
        line(BERT, "", "y" * 300, 3),
        line(BERT, "", "", 4),
        line(BERT, "", "", 0),
    )

    records = load(tmp_path, LoadOptions(drop_items_without_id=True))

    assert rows_of(records) == [
        (ANNA, DOORS, 1.0),
        (ANNA, "", 2.0),
        (BERT, "", 3.0),
        (BERT, "", 4.0),
    ]
    assert records.item_codes.tolist() == [0, -1, -1, -1]
    assert records.item_ids.to_list() == [DOORS]
    assert records.rows.dropped == {"plays are zero": 1}
    assert records.rows.noted == {"artist without MBID, kept as a row without artist": 3}


def test_the_name_of_an_mbid_is_its_most_frequent_ties_by_bytes(tmp_path: Path) -> None:
    write(
        tmp_path,
        *[line(ANNA, DOORS, name, 1) for name in ("doors", "the doors", "", "", "", "the doors")],
        *[line(ANNA, WAITS, name, 1) for name in ("waits", "Waits", "ähm")],
        line(BERT, "m", "", 1),
        line(ANNA, WAITS, "tom", 0),
        line(ANNA, WAITS, "tom", 0),
    )

    records = load(tmp_path, LoadOptions())

    names = dict(zip(records.item_ids, records.items.names, strict=True))
    assert names == {DOORS: "the doors", WAITS: "Waits", "m": "m"}


def test_repeated_pairs_stay_separate_records(tmp_path: Path) -> None:
    write(tmp_path, line(ANNA, DOORS, "a", 1), line(ANNA, DOORS, "a", 2))

    assert rows_of(load(tmp_path, LoadOptions())) == [(ANNA, DOORS, 1.0), (ANNA, DOORS, 2.0)]


def test_ids_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    lines = [
        line(f"{n * 7919 % 1000:040x}", DOORS if n % 3 else "", f"artist {n % 77}", n + 1)
        for n in range(1000)
    ]
    write(tmp_path, *lines)
    forward, again = load(tmp_path, LoadOptions()), load(tmp_path, LoadOptions())
    write(tmp_path, *reversed(lines))
    backward = load(tmp_path, LoadOptions())

    for other, step in ((again, 1), (backward, -1)):
        assert other.user_ids.equals(forward.user_ids)
        assert other.item_ids.equals(forward.item_ids)
        assert other.items.names.equals(forward.items.names)
        np.testing.assert_array_equal(other.user_codes[::step], forward.user_codes)
        np.testing.assert_array_equal(other.item_codes[::step], forward.item_codes)
        np.testing.assert_array_equal(other.plays[::step], forward.plays)


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"holds no {PLAYS_FILE}.*zenodo\.org/records/6090214"):
        load(tmp_path, LoadOptions())
    with pytest.raises(DatasetError, match=rf"does not exist. Put {PLAYS_FILE} there"):
        load(tmp_path / "nowhere", LoadOptions())


def test_an_unfinished_download_is_named(tmp_path: Path) -> None:
    (tmp_path / "lastfm-dataset-360K.tar.gz.part").write_bytes(b"x")

    with pytest.raises(DatasetError, match=r"begun but not finished: lastfm-dataset-360K\.tar\.gz"):
        load(tmp_path, LoadOptions())


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DatasetError, match="is empty"):
        load(tmp_path, LoadOptions())
    write(tmp_path, "", "")
    with pytest.raises(DatasetError, match=r"holds no rows\. Expected on each line: SHA-1"):
        load(tmp_path, LoadOptions())


def test_only_broken_rows_show_the_reasons_and_a_line(tmp_path: Path) -> None:
    write(tmp_path, "", line(ANNA, DOORS, "\x1b[31mthe doors" * 20, 0), line("u", "m", "n", 1))

    with pytest.raises(DatasetError) as caught:
        load(tmp_path, LoadOptions())

    message = str(caught.value)
    assert "none of its 2 rows can be used (user is no SHA-1: 1; plays are zero: 1)" in message
    assert "For example line 2, plays are zero: 'aaaa" in message
    assert "\x1b" not in message
    assert len(message) < 500 + len(str(tmp_path))


def test_a_comma_separated_file_is_refused_as_another_format(tmp_path: Path) -> None:
    write(tmp_path, "user_id,item_id,plays", "1,2,3")

    with pytest.raises(
        DatasetError,
        match=r"\(wrong number of columns: 2\).*line 1.*'user_id,item_id,plays'.*separated by tabs",
    ):
        load(tmp_path, LoadOptions())


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_compressed_file_is_read_with_its_own_checksum(tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path, line(ANNA, DOORS, "the doors", 1), line("u", DOORS, "the doors", 1))
    packed = gzip.compress(plain.read_bytes())
    plain.unlink()
    file = tmp_path / f"{plain.name}{ending}"
    file.write_bytes(packed)

    records = load(tmp_path, LoadOptions())

    assert records.rows.read == 2
    assert records.sources[file.name] == {
        "sha256": hashlib.sha256(packed).hexdigest(),
        "bytes": len(packed),
    }


@pytest.mark.parametrize("kind", ["tar", "parquet", "utf-16"])
def test_archives_and_other_binaries_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    plain = write(tmp_path, line(ANNA, DOORS, "the doors", 1))
    given_file = tmp_path / "given"
    if kind == "tar":
        with tarfile.open(given_file, "w") as archive:
            archive.add(plain, "x")
    elif kind == "parquet":
        given_file.write_bytes(b"PAR1xxxx")
    else:
        given_file.write_text(plain.read_text(), encoding="utf-16")

    names = {"parquet": "Parquet", "utf-16": "UTF-16"}
    with pytest.raises(DatasetError, match=f"is an? {names.get(kind, kind)}|is {names.get(kind)}"):
        load(given_file, LoadOptions())


FIELDS = st.one_of(
    st.sampled_from([b"", ANNA.encode(), DOORS.encode(), b"12", b"0", b"-1", b"x", b'"', b" "]),
    st.binary(max_size=6),
)
JUNK = st.lists(FIELDS, max_size=7).map(b"\t".join)
GOOD = st.tuples(
    st.sampled_from([ANNA, BERT]),
    st.sampled_from(["", DOORS, WAITS]),
    st.sampled_from(["a", "b", "ü"]),
    st.integers(1, 99),
).map(lambda fields: line(*fields).encode())


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(JUNK, GOOD), max_size=30), st.booleans(), st.booleans())
def test_rows_are_conserved(lines: list[bytes], windows: bool, drop_items: bool) -> None:
    end = b"\r\n" if windows else b"\n"
    content = end.join([*lines, line(ANNA, DOORS, "the doors", 1).encode()])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PLAYS_FILE
        file.write_bytes(b"\n" + content)  # so that no line looks like the head of an archive
        records = load(file, LoadOptions(drop_items_without_id=drop_items))

    physical = [text.removesuffix(b"\r") for text in content.split(b"\n")]
    assert records.rows.read == sum(bool(text) for text in physical)
    assert len(records) == records.rows.taken
    assert records.rows.read == records.rows.taken + sum(records.rows.dropped.values())
    assert np.isfinite(records.plays).all()
    assert (records.plays > 0).all()
    assert records.user_ids.is_sorted()
    assert records.item_ids.to_list() == sorted(set(records.item_ids), key=str.encode)
    assert set(records.user_codes.tolist()) == set(range(len(records.user_ids)))
    assert set(records.item_codes.tolist()) - {-1} == set(range(len(records.item_ids)))
