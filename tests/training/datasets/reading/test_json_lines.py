"""JSON: lines and arrays, numbers and escapes, and what is broken."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.datasets.tables import pairs, write
from training.datasets import LoadOptions
from training.datasets.reading import json_lines
from training.datasets.reading.json_lines import BROKEN, json_frames
from training.datasets.table import load
from training.errors import DatasetError

LINE = '{"user_id":"u","item_id":"x"}\n'


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load(path, LoadOptions())
    return str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.one_of(texts, st.integers(-(2**63), 2**64 - 1), st.none())
rows = st.lists(st.fixed_dictionaries({"a": values}, optional={"b": texts}), min_size=1)


@given(rows, st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_reads_back_what_was_written(
    objects: list[dict[str, object]], indent: int | None, is_array: bool, block: int
) -> None:
    text = (
        json.dumps(objects, indent=indent)
        if is_array
        else "".join(json.dumps(one, ensure_ascii=False) + "\r\n\n" for one in objects)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "_BLOCK_BYTES", block)
        frames = list(json_frames(io.BytesIO(text.encode()), "x"))
    found = pl.concat(frames, how="diagonal").to_dicts()
    for row, one in zip(found, objects, strict=True):
        assert row[BROKEN] is None
        for name in ("a", "b"):
            value = one.get(name)
            assert row.get(name) == (None if value is None else str(value))


def test_a_broken_line_is_counted_with_an_example(tmp_path: Path) -> None:
    text = LINE + '\n{"user_id":"u","item' + "\n" + LINE + "garbage\n[1]\n" + LINE
    records = load(write(tmp_path / "a.jsonl", text), LoadOptions())
    assert len(pairs(records)) == 3
    assert records.rows.read == 6
    assert records.rows.dropped == {"line is no JSON object": 3}
    assert records.rows.examples == {
        "line is no JSON object": """'{"user_id":"u","item' in row 2"""
    }


def test_a_file_that_ends_in_the_middle_is_refused(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", LINE * 2 + '{"user_id":"u","it')
    assert f"""{lines} ends in the middle of row 3: '{{"user_id":"u","it'; fetch""" in refusal(
        lines
    )
    array = write(tmp_path / "a.json", f"[{LINE},{LINE},{LINE[:20]}")
    assert "ends in the middle of its array, after 2 whole elements" in refusal(array)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is empty: it holds no JSON object"),
        (f"[{LINE},{{x}},{LINE}]", "element 2 of its array is no JSON object: '{x}'"),
        (f"[{LINE}] [1]", "something follows the end of its array: '[1]'"),
        ('[["u","x"]]', "element 1 of its array is no JSON object"),
        ('{\n"data": [\n{"user_id":1}\n]}', "is JSON over several lines; write an array"),
        ('{"data":[{"user_id":1}]}\n', "has no column 'user_id', 'item_id'; it has 'data'"),
        ('{"user_id":{"id":1},"item_id":2}\n', "the column 'user_id' holds lists or objects"),
        (
            LINE + '{"user_id":{"id":1},"item_id":2}\n{"user_id":[1],"item_id":3}\n',
            "the column 'user_id' holds lists or objects",
        ),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(write(tmp_path / "a.json", text))


def test_numbers_stay_exact(tmp_path: Path) -> None:
    numbers = ["9007199254740993", "18446744073709551616", "1.0", "-3"]
    text = "".join(f'{{"user_id":{one},"item_id":"x","weight":2.5}}\n' for one in numbers)
    found = pairs(load(write(tmp_path / "a.jsonl", text), LoadOptions()))
    assert [user for user, _, _ in found] == [numbers[0], numbers[1], "1", "-3"]


def test_half_a_surrogate_pair_is_no_nul(tmp_path: Path) -> None:
    # polars reads it as NUL, so that two ids would become one.
    text = r"""{"user_id":"\ud800x","item_id":"x"}
{"user_id":"\\ud800x","item_id":"\ud83d\ude00"}
"""
    records = load(write(tmp_path / "a.jsonl", text), LoadOptions())
    assert pairs(records) == [("\\ud800x", "\N{GRINNING FACE}", 1.0)]
    assert records.rows.dropped == {"id with invalid UTF-8": 1}


def test_a_line_that_begins_as_a_compressed_file_is_not_expanded(tmp_path: Path) -> None:
    # polars would expand it, to any size.
    packed = zlib.compress(LINE.encode() * 1000)
    assert b"\n" not in packed
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINE.encode() + packed + b"\n" + LINE.encode())
    records = load(file, LoadOptions())
    assert records.rows.dropped == {"line is no JSON object": 1}
    frames = list(json_frames(io.BytesIO(packed + b"\n"), "x", {"user_id": pl.String()}))
    assert [len(frame) for frame in frames] == [1]


def test_names_that_look_like_json_are_names(tmp_path: Path) -> None:
    text = LINE.replace('"x"', '"[unknown]"') + LINE.replace('"x"', '"{"')
    found = pairs(load(write(tmp_path / "a.jsonl", text), LoadOptions()))
    assert [item for _, item, _ in found] == ["[unknown]", "{"]


def test_a_field_may_come_late_or_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 64)
    text = LINE * 5 + '{"user_id":"v","item_id":"y","weight":3}\n' + '{"item_id":"y"}\n'
    records = load(write(tmp_path / "a.jsonl", text), LoadOptions())
    assert pairs(records) == [("v", "y", 3.0)]
    assert records.rows.dropped == {"user id is missing": 1, "plays missing or no number": 5}
