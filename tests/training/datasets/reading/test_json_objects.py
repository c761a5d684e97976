"""JSON arrays of objects, read fast or slowly: both ways give the same, or a refusal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from training.datasets.reading.json_objects import _read_slowly, read_objects
from training.errors import DatasetError

FIELDS = ["a", "b"]


def rows(text: str | bytes) -> list[tuple[str | None, ...]]:
    content = text.encode() if isinstance(text, str) else text
    return read_objects(content, FIELDS, "x.json").rows()


def slowly(text: str) -> list[tuple[str | None, ...]]:
    return _read_slowly(text.encode(), FIELDS, "x.json").rows()


def refusal(text: str | bytes) -> str:
    with pytest.raises(DatasetError) as caught:
        rows(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ('[{"a":"x","b":1}]', [("x", "1")]),
        ('[{"b":true},{"a":null},{}]', [(None, "true"), (None, None), (None, None)]),
        ('[{"a":"x","c":{"d":[1,{"a":2}]}}]', [("x", None)]),
        ('[{"a":[1]},{"a":{"b":1}},{"a":"x"}]', [(None, None), (None, None), ("x", None)]),
        ('[1,"x",null,[],{"a":"x"}]', [(None, None)] * 4 + [("x", None)]),
        ('[{"a":9007199254740993}]', [("9007199254740993", None)]),
        ('[{"a":"\\u00e9\\ud83d\\ude00"}]', [("é\U0001f600", None)]),
        ('\ufeff [ { "a" : "x" } ] \n', [("x", None)]),
    ],
)
def test_fields_are_text(text: str, expected: list[tuple[str | None, ...]]) -> None:
    assert rows(text) == expected
    assert slowly(text) == expected


@pytest.mark.parametrize(
    "number", ["1" * 400, "1" * 5000, "1e400", "-0.0", "1.50", "NaN", "Infinity"]
)
def test_odd_numbers_are_the_same_in_both_ways(number: str) -> None:
    text = f'[{{"a":{number},"b":1}},{{"a":"x"}}]'
    for found in (rows(text), slowly(text)):
        assert str(float(found[0][0] or "")) == str(float(number))
        assert (found[0][1], found[1]) == ("1", ("x", None))


def test_the_first_of_two_equal_keys_counts() -> None:
    text = '[{"a":"x","a":"y","b":1,"b":null}]'
    assert rows(text) == slowly(text) == [("x", "1")]


def test_half_of_a_pair_is_no_reason_to_refuse() -> None:
    [(half, whole)] = rows('[{"a":"x\\ud83d","b":"y"}]')
    assert whole == "y"
    assert half is not None
    assert half.startswith("x")


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    assert rows(b'[{"a":"caf\xe9","b":"y"}]') == [("caf\ufffd", "y")]
    assert rows('[{"a":"é"}]'.encode("utf-16")) == [("é", None)]


@pytest.mark.parametrize("end", [1, 9, 17, 23, 29])
def test_json_that_ends_in_the_middle_is_refused(end: int) -> None:
    text = '[{"a":"xy","b":12},\n{"a":"z"}]'
    assert rows(text) == [("xy", "12"), ("z", None)]
    assert "x.json: the JSON ends in the middle, in line " in refusal(text[:end])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.json is empty"),
        (" \n", "x.json is empty"),
        ('{"a":"x"}', "holds one JSON object; expected an array of objects, [{…}]"),
        ('"x"', "holds one JSON value; expected an array"),
        ('{"a":"x"}\n{"a":"y"}\n', 'x.json is no JSON: line 2, column 1, at \'{"a":"y"}'),
        ('[{"a":"x"}}]', "is no JSON: line 1, column 11, at '}]'"),
        ("[{'a':'x'}]", "is no JSON: line 1, column 3, at ''a':'x'}]'"),
        ('[{"a":"x"}] []', "is no JSON: line 1, column 13"),
        ("[" * 100_000, "is nested too deep"),
        ("[" * 100_000 + "]" * 100_000, "is nested too deep"),
        ('[{"a":' * 50_000 + "1" + "}]" * 50_000, "is nested too deep"),
    ],
)
def test_what_is_no_array_of_objects_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.slow
def test_deep_nesting_does_not_end_the_process() -> None:
    for text in ("'[' * 10**6", "'[{\"c\":' * 10**6 + '1' + '}]' * 10**6"):
        code = (
            "from training.datasets.reading.json_objects import read_objects\n"
            "from training.errors import DatasetError\n"
            f"try: read_objects(({text}).encode(), ['a'], 'x')\n"
            "except DatasetError as error: print(error)\n"
        )
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "nested too deep" in ended.stdout


def test_many_objects_are_all_read() -> None:
    text = json.dumps([{"a": str(n), "b": n} for n in range(20_000)])
    assert rows(text) == [(str(n), str(n)) for n in range(20_000)]
