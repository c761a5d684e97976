from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tables import pairs, read_csv
from training.datasets import LoadOptions
from training.errors import DatasetError


def test_columns_are_named_by_options(tmp_path: Path) -> None:
    options = LoadOptions(
        user_column="who",
        item_column="what",
        weight_column="times",
        name_column="title",
        timestamp_column="when",
    )
    records = read_csv(
        tmp_path,
        "when,title,times,what,who,weight,name\n1241478560,Tom,2,t,u,9,no\n"
        "1241478620,tom,3,t,v,9,no\n1241478680,tom,4,t,w,9,no\n",
        options,
    )

    assert pairs(records) == [("u", "t", 2.0), ("v", "t", 3.0), ("w", "t", 4.0)]
    assert records.items.names.to_list() == ["tom"]
    assert records.timestamps is not None
    assert records.timestamps.dtype == np.int64
    assert records.timestamps.tolist() == [1241478560, 1241478620, 1241478680]


def test_a_column_timestamp_is_read_unless_another_one_is_named(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp,when\nu,x,1241478537,1241478600\n"
    by_default = read_csv(tmp_path, text)
    named = read_csv(tmp_path, text, LoadOptions(timestamp_column="when"))

    assert by_default.timestamps is not None
    assert by_default.timestamps.tolist() == [1241478537]
    assert named.timestamps is not None
    assert named.timestamps.tolist() == [1241478600]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LoadOptions(user_column="who"), r"no column 'who'; it has 'user_id', 'item_id'.*--user-c"),
        (LoadOptions(item_column="what"), r"no column 'what'.*--item-column names it"),
        (LoadOptions(weight_column="weight"), r"no column 'weight'.*--weight-column names it"),
        (LoadOptions(name_column="name"), r"no column 'name'.*--name-column names it"),
        (LoadOptions(timestamp_column="t"), r"no column 't'.*--timestamp-column names it"),
    ],
)
def test_a_missing_column_lists_those_found_and_names_the_option(
    tmp_path: Path, options: LoadOptions, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_csv(tmp_path, "user_id,item_id\nu,x\n", options)


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    # Was wrong: one at a time, so that each correction led to the next error.
    options = LoadOptions(weight_column="times")
    with pytest.raises(DatasetError) as caught:
        read_csv(tmp_path, "who,what\nu,x\n", options)
    assert str(caught.value) == (
        f"{tmp_path}/plays.csv has no column 'user_id', 'item_id', "
        "'times'; it has 'who', 'what'. The options --user-column and --item-column and "
        "--weight-column name them"
    )


@pytest.mark.parametrize("column", ["weight", "plays", "playcount", "play_count", "Count", "PLAYS"])
def test_plays_are_found_by_their_usual_names_in_any_case(tmp_path: Path, column: str) -> None:
    # Was wrong: only "weight" was, and a column "plays" was left unread without a word.
    records = read_csv(tmp_path, f"user_id,item_id,{column},TimeStamp\nu,x,7,1241478537\n")

    assert pairs(records) == [("u", "x", 7.0)]
    assert records.period == (1241478537, 1241478537)
    assert records.remark == ""


@pytest.mark.parametrize(
    ("header", "remark"),
    [
        (
            "user_id,item_id,Plays,weight,timestamp",
            "plays are read from the column 'weight', and 'Plays' fits as well; the file also has "
            "'Plays' (--weight-column would name another one)",
        ),
        (
            "user_id,item_id,hours,when",
            "each row counts as one play, since no column is called weight, plays, playcount, "
            "play_count or count; no times are read, since no column is called timestamp; the file "
            "also has 'hours', 'when' (--weight-column and --timestamp-column would name another "
            "one)",
        ),
        (
            "user_id,item_id",
            "each row counts as one play, since no column is called weight, plays, playcount, "
            "play_count or count; the file has no other columns",
        ),
        (
            "user_id,item_id,weight,Timestamp,timestamp",
            "times are read from the column 'Timestamp', and 'timestamp' fits as well; the file "
            "also has 'timestamp' (--timestamp-column would name another one)",
        ),
        ("user_id,item_id,weight,name", ""),
    ],
)
def test_a_remark_says_what_was_taken_where_names_leave_a_doubt(
    tmp_path: Path, header: str, remark: str
) -> None:
    records = read_csv(tmp_path, f"{header}\nu,x{',1241478537' * (header.count(',') - 1)}\n")

    assert records.remark == remark


def test_spaces_around_names_of_columns_do_not_count(tmp_path: Path) -> None:
    # Was wrong: such a column was not found, although the message listed it.
    text = " user_id , item_id,weight ,\u00a0name, timestamp\nu,x,7,Tom,1241478537\n"
    records = read_csv(tmp_path, text)
    assert pairs(records) == [("u", "x", 7.0)]
    assert records.items.names.to_list() == ["Tom"]
    assert records.period == (1241478537, 1241478537)

    options = LoadOptions(user_column="who ", timestamp_column=" timestamp")
    assert len(read_csv(tmp_path, text.replace(" user_id ", "who"), options)) == 1


def test_columns_that_differ_in_spaces_are_told_apart(tmp_path: Path) -> None:
    text = "user_id,item_id,a , a\nu,x,2,3\n"
    with pytest.raises(
        DatasetError, match=r"2 columns 'a', .*: 'a ', ' a'\. --weight-column names"
    ):
        read_csv(tmp_path, text, LoadOptions(weight_column="a"))
    assert pairs(read_csv(tmp_path, text, LoadOptions(weight_column=" a"))) == [("u", "x", 3.0)]


@pytest.mark.parametrize("twice", ["user_id", "item_id", "weight", "name", "timestamp"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, twice: str) -> None:
    # Was wrong: the first one was read, and nothing said.
    text = f"user_id,item_id,weight,name,timestamp,{twice}\nu,x,2,Tom,1241478537,3\n"
    with pytest.raises(DatasetError, match=rf"has 2 columns '{twice}'; rename all but one, or"):
        read_csv(tmp_path, text)
    options = LoadOptions(header=True, columns="user_id,item_id,weight,name,timestamp,_")
    assert pairs(read_csv(tmp_path, text, options)) == [("u", "x", 2.0)]


def test_a_column_that_is_not_read_may_be_there_twice(tmp_path: Path) -> None:
    text = "user_id,item_id,weight,mood,mood\nu,x,2,3,4\n"
    assert pairs(read_csv(tmp_path, text)) == [("u", "x", 2.0)]


def test_quotation_marks_after_spaces_are_named(tmp_path: Path) -> None:
    # Was wrong: the message named --quoting, which changes nothing.
    with pytest.raises(DatasetError, match="Take out the spaces before its quotation marks"):
        read_csv(tmp_path, '"user_id", "item_id"\n"u", "x"\n')
    with pytest.raises(DatasetError, match="--quoting reads fields in quotation marks"):
        read_csv(tmp_path, '"user_id"\t"item_id"\n"u"\t"x"\n', LoadOptions(quoting=False))


def test_long_names_are_cut_in_messages(tmp_path: Path) -> None:
    # Was wrong: the first line of a file that is no table was shown in full length.
    with pytest.raises(DatasetError) as refused:
        read_csv(tmp_path, "x" * 50_000 + "\n1\n")
    assert len(str(refused.value)) < 500 + len(str(tmp_path))
