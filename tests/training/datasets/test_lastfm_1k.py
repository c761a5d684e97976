"""The Last.fm 1K format: one play a line, with its time."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.lastfm_1k import PLAYS_FILE, load
from training.errors import DatasetError

ANNA, BERT = "user_000001", "user_000992"
DOORS = "9efff43b-3b29-4082-824e-bc82f646f93d"
WAITS = "c3aeb863-7b26-4388-94e8-5a240f2be21b"
NOON = "2009-05-04T12:00:00Z"

Row = tuple[str, str, int]


def write(folder: Path, *lines: str | bytes, end: bytes = b"\n") -> Path:
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    file = folder / PLAYS_FILE
    file.write_bytes(b"".join(line + end for line in encoded))
    return file


def line(user: str, time: str, mbid: str, name: str, track: str = "a track") -> str:
    return f"{user}\t{time}\t{mbid}\t{name}\t\t{track}"


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def rows_of(records: Records) -> list[Row]:
    assert records.timestamps is not None
    codes = zip(records.user_codes, records.item_codes, records.timestamps, strict=True)
    return [
        (records.user_ids[int(user)], records.item_ids[int(item)], int(time))
        for user, item, time in codes
    ]


def test_each_line_is_one_play_with_its_time(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(BERT, "2009-05-04T23:08:57Z", WAITS, "Tom Waits"),
        line(ANNA, "2006-08-13T13:59:20Z", WAITS, "Tom Waits"),
        line(ANNA, "2006-08-13T13:59:20Z", DOORS, "The Doors"),
        line(ANNA, "2005-02-14T00:00:07Z", DOORS, "The Doors"),
    )

    records = load(tmp_path, LoadOptions())

    assert rows_of(records) == [
        (BERT, WAITS, seconds("2009-05-04T23:08:57")),
        (ANNA, WAITS, seconds("2006-08-13T13:59:20")),
        (ANNA, DOORS, seconds("2006-08-13T13:59:20")),
        (ANNA, DOORS, seconds("2005-02-14T00:00:07")),
    ]
    assert records.plays.tolist() == [1, 1, 1, 1]
    assert records.plays.dtype == np.float32
    assert records.items.names.to_list() == ["The Doors", "Tom Waits"]
    assert records.dataset == "lastfm-1k"
    assert (records.rows.read, records.rows.dropped, records.rows.noted) == (4, {}, {})
    assert list(records.sources) == [PLAYS_FILE]


@pytest.mark.parametrize("folder", [".", "lastfm-dataset-1K"])
def test_takes_the_folder_or_the_folder_above(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    write(tmp_path / folder, line(ANNA, NOON, DOORS, "The Doors"))

    assert rows_of(load(tmp_path, LoadOptions())) == [(ANNA, DOORS, seconds(NOON))]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (line("user_1", NOON, DOORS, "x"), "user is not of the form user_000001"),
        (line("", NOON, DOORS, "x"), "user is not of the form user_000001"),
        (line(ANNA, "", DOORS, "x"), "timestamp missing or unreadable"),
        (line(ANNA, "yesterday", DOORS, "x"), "timestamp missing or unreadable"),
        (line(ANNA, "2009-02-30T12:00:00Z", DOORS, "x"), "timestamp missing or unreadable"),
        (line(ANNA, "2009-05-04", DOORS, "x"), "timestamp missing or unreadable"),
        (
            line(ANNA, "2013-09-29T18:32:04Z", DOORS, "x"),
            "time before Last.fm began (2002) or after the data appeared (May 2010)",
        ),
        (
            line(ANNA, "1970-01-01T00:00:00Z", DOORS, "x"),
            "time before Last.fm began (2002) or after the data appeared (May 2010)",
        ),
        (line(ANNA, NOON, "", ""), "neither artist MBID nor name"),
        (line(ANNA, NOON, "", "x" * 252), "id longer than 256 bytes"),
        (f"{ANNA}\t{NOON}\t".encode() + b"m\xff\tx\t\ttrack", "artist MBID with invalid UTF-8"),
        (f"{ANNA}\t{NOON}\t{DOORS}\tThe Doors", "wrong number of columns"),
        (f"{ANNA}\t{NOON}\t{DOORS}\tThe Doors\t", "wrong number of columns"),
        (line(ANNA, NOON, DOORS, "x", "a\ttrack"), "wrong number of columns"),
        (line(ANNA, NOON, DOORS, "a\tname"), "wrong number of columns"),
        (ANNA, "wrong number of columns"),
    ],
)
def test_a_broken_row_is_dropped_for_its_reason(
    tmp_path: Path, broken: str | bytes, reason: str
) -> None:
    write(tmp_path, broken, line(BERT, NOON, WAITS, "Tom Waits"))

    records = load(tmp_path, LoadOptions())

    assert records.rows.dropped == {reason: 1}
    assert (records.rows.read, records.rows.taken) == (2, 1)
    assert rows_of(records) == [(BERT, WAITS, seconds(NOON))]


def test_a_row_without_track_is_read_and_a_blank_line_is_none(tmp_path: Path) -> None:
    write(tmp_path, line(ANNA, NOON, DOORS, "The Doors", ""), "", end=b"\r\n")

    records = load(tmp_path, LoadOptions())

    assert (records.rows.read, records.rows.taken) == (1, 1)


def test_quotes_and_carriage_returns_are_characters_like_any_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, NOON, DOORS, '"The Doors', '"Light\r My Fire'),
        line(ANNA, NOON, "", "\rx"),
    )

    records = load(tmp_path, LoadOptions())

    assert records.items.names.to_list() == ['"The Doors', "\rx"]
    assert records.rows.dropped == {}


def test_a_time_after_the_documented_end_is_noted(tmp_path: Path) -> None:
    times = ("2009-05-05T23:59:59Z", "2009-05-06T00:00:00Z", "2010-05-31T23:59:59Z")
    write(tmp_path, *(line(ANNA, time, DOORS, "The Doors") for time in times))

    records = load(tmp_path, LoadOptions())

    assert records.rows.taken == 3
    assert records.rows.noted == {"time after 5 May 2009, when the data should end": 2}


def test_artists_without_mbid_are_known_as_in_lastfm_360k(tmp_path: Path) -> None:
    write(
        tmp_path,
        line(ANNA, NOON, DOORS, "The Doors"),
        line(ANNA, NOON, "", "The Doors"),
        line(BERT, NOON, "", "Nobody"),
        line(BERT, "2013-09-29T18:32:04Z", WAITS, "Nobody"),  # dropped, so it tells nothing
    )

    by_name = load(tmp_path, LoadOptions())
    without = load(tmp_path, LoadOptions(drop_items_without_id=True))

    assert by_name.item_ids.to_list() == [DOORS, "name:Nobody"]
    assert by_name.rows.noted == {
        "artist without MBID, known by name": 1,
        "name without MBID matched to its only MBID": 1,
    }
    assert without.item_codes.tolist() == [0, -1, -1]
    assert without.timestamps is not None
    assert len(without.timestamps) == 3


def test_the_file_of_another_dataset_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path, f"{'a' * 40}\t{DOORS}\tthe doors\t7")

    with pytest.raises(
        DatasetError, match=r"\(wrong number of columns: 1\).*user, time, artist MBID"
    ):
        load(tmp_path, LoadOptions())


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"holds no {PLAYS_FILE}.*zenodo\.org/records/6090214"):
        load(tmp_path, LoadOptions())


FIELDS = st.one_of(
    st.sampled_from([b"", ANNA.encode(), DOORS.encode(), NOON.encode(), b'"', b"\r", b" "]),
    st.binary(max_size=6),
)
JUNK = st.lists(FIELDS, max_size=8).map(b"\t".join)
GOOD = st.tuples(
    st.sampled_from([ANNA, BERT]),
    st.datetimes(datetime(2001, 1, 1), datetime(2014, 1, 1)).map(
        lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")
    ),
    st.sampled_from(["", DOORS, WAITS]),
    st.sampled_from(["a", "b", "ü"]),
).map(lambda fields: line(*fields).encode())


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(JUNK, GOOD), max_size=30))
def test_rows_are_conserved(lines: list[bytes]) -> None:
    content = b"\n".join([*lines, line(ANNA, NOON, DOORS, "The Doors").encode()])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PLAYS_FILE
        file.write_bytes(b"\n" + content)  # so that no line looks like the head of an archive
        records = load(file, LoadOptions())

    physical = [text.removesuffix(b"\r") for text in content.split(b"\n")]
    assert records.timestamps is not None
    assert records.rows.read == sum(bool(text) for text in physical)
    assert len(records) == len(records.timestamps) == records.rows.taken
    assert records.rows.read == records.rows.taken + sum(records.rows.dropped.values())
    assert seconds("2002-01-01") <= records.timestamps.min()
    assert records.timestamps.max() < seconds("2010-06-01")
