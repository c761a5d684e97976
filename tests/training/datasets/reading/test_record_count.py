"""Records are counted as RFC 4180 has them, or the line is named that leaves a doubt."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from training.datasets import LoadOptions
from training.datasets.reading import record_count
from training.datasets.reading.record_count import Quoting, RecordCounter
from training.datasets.table import load
from training.errors import DatasetError

FILE = Path("plays.csv")


def count(text: str, quoting: Quoting | None = None, *, block: int = 2**20) -> int:
    counter, content = RecordCounter(FILE, quoting), text.encode()
    for start in range(0, len(content), block):
        counter.feed(content[start : start + block])
    return counter.finish()


def csv_of(columns: int, *, is_certain: bool = False) -> Quoting:
    return Quoting(b",", columns, is_certain)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", 0),
        ("a", 1),
        ("a\n", 1),
        ("a\nb", 2),
        ("a\n\n", 2),
        ("a\r\nb\r\n", 2),
        ('"a\n"b\n', 2),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 100])
def test_each_line_is_a_record_where_nothing_is_quoted(text: str, records: int, block: int) -> None:
    assert count(text, block=block) == records


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", 0),
        ("a,b\nc,d", 2),
        ('a,"b"\n"c","d"\n', 2),
        ('a,"b ""c"", d"\nx,""\n', 2),
        ('a,"b\nb"\nc,d\n', 2),
        ('a,"b\r\nb"\r\nc,d\r\n', 2),
        ('a,""""\nb,""""""', 2),
        ('\ufeff"a",b\n"c",d\n', 2),
        ('a,6" and 12" mix\nb,c\n', 2),  # two characters of one field
        ('a,b""c\nd,e\n', 2),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_quoted_fields_may_hold_separators_and_line_ends(
    text: str, records: int, block: int
) -> None:
    assert count(text, csv_of(2), block=block) == records


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\nu,"Weird Al" Yankovic\n', r"plays\.csv: in line 2 a quotation mark.*middle.*Weird"),
        ('a,b\nu,12" Mix\nv,x\nw,12" Mix\n', r'in line 2 .* middle of a field.*: \'u,12" Mix\''),
        ('a,b\nu,"Foo\nv,"Bar\nw,x\n', r"in line 3 .* middle .*quoted field that begins in line 2"),
        (
            'a,b\nu,"never\nv,x\n',
            r"in line 2 a quotation mark is opened and never closed: 'u,\"nev",
        ),
        ('a,b\nu,"x"\n"u,"y\nv,x\n"', r"in line 3 .* middle of a field"),
        ('a,b\nx"y,"a\nb",c\n', r"in line 2 .* middle of a field"),
        ('a,b\nu,"a" \n', r"in line 2 .* middle of a field"),
    ],
)
@pytest.mark.parametrize("block", [1, 100])
def test_the_line_is_named_where_a_quotation_mark_leaves_a_doubt(
    text: str, message: str, block: int
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        count(text, csv_of(2), block=block)
    assert "--no-quoting" in str(caught.value)


def test_rows_that_one_field_would_swallow_are_doubted() -> None:
    # "Heroes opens a field, and 7" closes it: well-formed, and hardly what was meant.
    text = 'user,item,name\nu,x,"Heroes\nv,y,Low\nw,z,Songs 7"\nu,y,Low\n'
    message = r"in line 2 begins a field that ends in line 4.*rows of their own: 'u,x,\"Heroes'"
    with pytest.raises(DatasetError, match=message):
        count(text, csv_of(3))

    assert count(text, csv_of(3, is_certain=True)) == 3
    assert count('user,item,name\nu,x,"Tyler,\nthe"\nv,y,"a\n\nb, c"\n', csv_of(3)) == 3


@pytest.mark.slow
def test_a_field_without_end_is_given_up_before_it_fills_the_memory() -> None:
    counter = RecordCounter(FILE, csv_of(2))
    counter.feed(b'a,b\nu,"never closed\n')
    with pytest.raises(DatasetError, match="in line 2 a quotation mark is opened and never closed"):
        counter.feed(b"v,x\n" * 2**23)


FIELDS = st.text(st.sampled_from('",\n\r ab'), max_size=12)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.lists(FIELDS, min_size=1, max_size=6).map("\n".join))
@example('a,b"""c,d\n1,2",3\n')
@example('x"y,"a\nb",c')
@example('a, "b,c" ,c\n1,2,3\n')
def test_what_is_read_is_what_the_standard_library_reads_or_refused(body: str) -> None:
    # The standard library takes a lone carriage return for a line end.
    body = body.replace("\r\n", "\0").replace("\r", "").replace("\0", "\r\n")
    text = f"user_id,item_id,name\nu,x,n\n{body}"
    expected = [row or [""] for row in csv.reader(io.StringIO(text, newline=""))][1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plays.csv"
        file.write_text(text, newline="")
        try:
            records = load(file, LoadOptions(quoting=True))
        except DatasetError:
            return
        found = pl.read_csv(file, infer_schema=False, truncate_ragged_lines=True)
    assert records.rows.read == len(expected) == len(found)
    usable = [
        row[:3]
        for row in expected
        # An artist may have a name in the place of an id.
        if len(row) >= 2 and row[0] and (row[1] or "".join(row[2:3]).strip()) and not any(row[3:])
    ]
    assert len(records) == len(usable)
    assert {records.user_ids[int(code)] for code in records.user_codes} == {
        row[0] for row in usable
    }


@pytest.mark.slow
@settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(['"', '""', ",", "\n", "\r\n", '","', '"\n"', "a", "b" * 9]), max_size=90
    ),
    st.integers(1, 200),
)
def test_the_quick_look_sees_what_the_exact_one_sees(
    monkeypatch: pytest.MonkeyPatch, parts: list[str], block: int
) -> None:
    text = "".join(parts)

    def outcome() -> int | str:
        try:
            return count(text, csv_of(3), block=block)
        except DatasetError as error:
            return str(error)

    quick = outcome()
    with monkeypatch.context() as patch:
        patch.setattr(record_count, "_is_regular", lambda *_: False)
        assert outcome() == quick
