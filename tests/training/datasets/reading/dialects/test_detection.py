"""The dialect of a table is taken from its first lines where these are clear, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.datasets.tables import pairs, write
from training.datasets import LoadOptions
from training.datasets.table import load
from training.errors import DatasetError

PAIRS = [("u", "x", 1.5), ("v", "y", 2.0)]


def read(folder: Path, name: str, text: str | bytes, **options: Any) -> list[Any]:
    """Returns the pairs of a table, and what was said of it."""
    records = load(write(folder / name, text), LoadOptions(**options))
    return [pairs(records), records.remark.partition("; no times")[0]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "user_id,item_id,weight\nu,x,1.5\nv,y,2\n", ""),
        ("a.tsv", "user_id\titem_id\tweight\nu\tx\t1.5\nv\ty\t2\n", ""),
        (
            "a.csv",
            "user_id;item_id;weight\nu;x;1,5\nv;y;2\n",
            "read as its first lines show: separated by ';', a comma before decimals "
            "(--separator --decimal --thousands would say otherwise)",
        ),
        (
            "a.txt",
            "user_id|item_id|weight\nu|x|1.5\nv|y|2\n",
            "read as its first lines show: separated by '|' (--separator would say otherwise)",
        ),
        ("a.psv", "user_id|item_id|weight\nu|x|1.5\nv|y|2\n", ""),
        (
            "a.dat",
            "user_id::item_id::weight\nu::x::1.5\nv::y::2\n",
            "read as its first lines show: separated by '::' (--separator would say otherwise)",
        ),
        (
            "a.csv",
            "sep=;\r\nuser_id;item_id;weight\r\nu;x;1.5\r\nv;y;2\r\n",
            "read as its first lines show: separated by ';' (--separator would say otherwise)",
        ),
        (
            "a.csv",
            '"sep=\\t"\n\nuser_id\titem_id\tweight\nu\tx\t1.5\nv\ty\t2\n',
            "read as its first lines show: separated by tabs (--separator would say otherwise)",
        ),
        (
            "a.csv",
            "user_id,item_id,weight\ru,x,1.5\rv,y,2\r",
            "read as its first lines show: lines end in CR alone",
        ),
        (
            "a.csv",
            "user_id;item_id;weight\nu;x;1.5\nv;y;2\n".encode("utf-16"),
            "read as its first lines show: UTF-16 by its mark, separated by ';' (--separator would "
            "say otherwise)",
        ),
        ("a.csv", " user_id , item_id ,weight\nu,x,1.5\nv,y,2\n", ""),
    ],
)
def test_what_the_first_lines_show_is_taken_and_said(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    assert read(tmp_path, name, text) == [PAIRS, said]


def test_options_say_it_otherwise(tmp_path: Path) -> None:
    text = "user_id^item_id^weight\nu^x^1.5\nv^y^2\n"
    assert read(tmp_path, "a.csv", text, separator="^") == [PAIRS, ""]
    text = text.replace("^", "\x01")
    assert read(tmp_path, "a.csv", text, separator="\\x01") == [PAIRS, ""]
    text = text.replace("\x01", " ")
    assert read(tmp_path, "a.csv", text, separator="space") == [PAIRS, ""]
    text = text.replace(" ", "\t").replace(".", ",")
    options = {"separator": "tab", "decimal": ","}
    assert read(tmp_path, "a.csv", text, **options) == [PAIRS, ""]


@pytest.mark.parametrize("quoting", [None, True])
def test_a_quoted_header_between_tabs_says_that_fields_are_quoted(
    tmp_path: Path, quoting: bool | None
) -> None:
    text = '"user_id"\t"item_id"\t"weight"\n"u"\t"x"\t1.5\n"v"\t"y"\t2\n'
    assert read(tmp_path, "a.tsv", text, quoting=quoting)[0] == PAIRS


class TestHeaders:
    ROWS = "u,x,1.5\nv,y,2\n"
    NAMES = "user_id,item_id,weight"

    def test_without_one_the_columns_have_to_be_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            DatasetError,
            match=r"no column 'user_id', 'item_id'; it has 'u', 'x', '1.5'.*If its first line is "
            r"a row, --columns user_id,item_id,… names its columns",
        ):
            read(tmp_path, "a.csv", self.ROWS)
        said = "read as its first lines show: no header (--header would say otherwise)"
        assert read(tmp_path, "a.csv", self.ROWS, columns=self.NAMES) == [PAIRS, said]
        assert read(tmp_path, "a.csv", self.ROWS, columns=self.NAMES, header=False) == [PAIRS, ""]
        with pytest.raises(DatasetError, match="Without a header its columns have numbers"):
            read(tmp_path, "a.csv", self.ROWS, header=False)
        numbers = {"user_column": "1", "item_column": "2", "weight_column": "3"}
        assert read(tmp_path, "a.csv", self.ROWS, header=False, **numbers)[0] == PAIRS

    def test_one_is_recognised_by_the_names(self, tmp_path: Path) -> None:
        text = f"{self.NAMES}\n{self.ROWS}"
        assert read(tmp_path, "a.csv", text, columns=self.NAMES) == [PAIRS, ""]
        with pytest.raises(DatasetError, match="names its columns itself, and --columns in anoth"):
            read(tmp_path, "a.csv", text, columns="item_id,user_id,weight")
        swapped = load(
            write(tmp_path / "a.csv", text),
            LoadOptions(columns="item_id,user_id,weight", header=True),
        )
        assert pairs(swapped)[0] == ("x", "u", 1.5)

    def test_a_header_that_options_deny_is_a_row(self, tmp_path: Path) -> None:
        records = load(
            write(tmp_path / "a.csv", f"{self.NAMES}\n{self.ROWS}"),
            LoadOptions(columns=self.NAMES, header=False),
        )
        assert pairs(records) == PAIRS
        assert records.rows.dropped == {"plays missing or no number": 1}
        assert records.rows.examples == {"plays missing or no number": "'weight' in row 1"}

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ("user_id,item_id", r"has 3 columns, separated by ',', and --columns names 2 c"),
            (
                "user_id,item_id,weight,name",
                r"has 3 columns, .*--columns names 4 columns: 'u,x,1.5'",
            ),
            ("user_id,user_id,weight", "--columns names 'user_id' twice"),
            (" , _ ", "expected names such as"),
        ],
    )
    def test_fewer_or_more_columns_than_named_are_refused(
        self, tmp_path: Path, columns: str, message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            read(tmp_path, "a.csv", self.ROWS, columns=columns)

    def test_columns_that_are_not_read_need_no_name(self, tmp_path: Path) -> None:
        text = "7,u,x,,1.5\n8,v,y,,2\n"
        assert read(tmp_path, "a.csv", text, columns="_,user_id,item_id,-,weight")[0] == PAIRS

    def test_parts_of_which_only_the_first_has_one_are_read_with_names(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "parts").mkdir()
        write(tmp_path / "parts" / "a.csv", f"{self.NAMES}\nu,x,1.5\n")
        write(tmp_path / "parts" / "b.csv", "v,y,2\n")
        assert pairs(load(tmp_path / "parts", LoadOptions(columns=self.NAMES))) == PAIRS


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "user_id,item_id\nu,x\n",
            {"separator": ";"},
            "no column 'user_id'.*Its first line has no ';'; --separator names what stands",
        ),
        (
            "# exported on 14 November\n\nuser_id,item_id\nu,x\n",
            {},
            "no column 'user_id'.* Line 3 has its name; take out the lines before it",
        ),
        ("sep=;\n\n", {}, "is empty: all of its lines are blank"),
        (
            "us\u00e9r;item_id\nu;x\n".encode("latin-1"),
            {"user_column": "us\u00e9r"},
            "no column 'us\u00e9r'.* Its first line is no UTF-8; --encoding cp1252 may read it",
        ),
        ("user_id,item_id\nu,x\n", {"separator": "<>"}, "--separator is '<>'; expected one ch"),
        ("user_id,item_id\nu,x\n", {"separator": '"'}, "--separator is '\"'; expected one char"),
        ("a::b\n", {"separator": "::", "quoting": True}, "--quoting is for separators of one"),
        ("user_id,item_id\r\r\nu,x\r\r\n", {}, "lines end in CR CR LF"),
        (
            "user_id,item_id\ru,x\rv,y\nw,z\n",
            {},
            "line 3 ends in LF, and the lines before it in CR",
        ),
        (
            "user_id,item_id\nu,x\nv,y\rw,z\rw,y\n",
            {},
            r"line 3 holds 3 rows that end in CR alone: 'v,y␣w,z␣w,y'",
        ),
        (
            "user_id\titem_id\nu\tx\nv\ty\rw\tz\r",
            {},
            "line 3 holds 2 rows that end in CR alone",
        ),
        (
            "user_id,item_id,weight\nu,x,1\n",
            {"columns": "user_id,item_id,weight", "weight_column": "plays"},
            "no column 'plays'",
        ),
        ("user_id,item_id\nu,x\n", {"decimal": ","}, "for a column of plays that is text, and the"),
    ],
)
def test_what_is_unclear_or_wrong_is_one_sentence(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, "a.csv", text, **options)


def test_the_form_of_numbers_is_taken_from_all_parts(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / "a.csv", "user_id;item_id;weight\nu;x;5\n")
    write(tmp_path / "parts" / "b.csv", "user_id;item_id;weight\nv;y;1.234,5\n")
    records = load(tmp_path / "parts", LoadOptions())
    assert pairs(records) == [("u", "x", 5.0), ("v", "y", 1234.5)]


def test_a_separator_is_not_guessed_where_two_would_fit(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"',' and ';' would separate .*'a;b,c'\. --sep"):
        read(tmp_path, "a.txt", "a;b,c\nd;e,f\n", header=False)
    options = {"user_column": "1", "item_column": "2"}
    assert read(tmp_path, "a.csv", "a;b,c\nd;e,f\n", header=False, **options)[0] == [
        ("a;b", "c", 1.0),
        ("d;e", "f", 1.0),
    ]


def test_a_lone_carriage_return_in_a_field_is_a_character(tmp_path: Path) -> None:
    text = 'user_id,item_id,name\nu,x,"a\rb"\nv,y,"c\r,d"\n'
    records = load(write(tmp_path / "a.csv", text), LoadOptions())
    assert records.items.names.to_list() == ["a\rb", "c\r,d"]


def test_line_feeds_in_fields_of_a_file_of_carriage_returns_are_characters(tmp_path: Path) -> None:
    text = 'user_id,item_id,name\ru,x,"a\nb"\r"v",y,"c\r""d"""\r'
    records = load(write(tmp_path / "a.csv", text), LoadOptions())
    assert records.items.names.to_list() == ["a\nb", 'c\r"d"']


@pytest.mark.parametrize(
    "options", [{"separator": ";"}, {"header": True}, {"columns": "a,b"}, {"quoting": False}]
)
def test_options_of_text_are_refused_for_json(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=f"is JSON, in which .*; leave --{next(iter(options))}"):
        read(tmp_path, "a.jsonl", '{"user_id": "u", "item_id": "x"}\n', **options)
