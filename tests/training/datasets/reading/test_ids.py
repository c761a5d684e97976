"""Ids that differ by little: counted, noted, and normalised where an option says so."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.datasets.tables import pairs, read_csv
from training.datasets import LoadOptions
from training.datasets.reading.ids import (
    NULLS,
    STEPS,
    Normalization,
    artist_ids,
    close_ids,
    odd_ids,
)
from training.errors import DatasetError

ALL = "nfc,strip,float,null"
# Texts that are often equal after a step.
PART = st.sampled_from(["1", "01", ".0", ".00", " ", "\u00a0", "\t", "é", "e\u0301", "a", "name:"])
TEXT = st.one_of(
    st.lists(PART, max_size=4).map("".join),
    st.sampled_from(NULLS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
TEXTS = st.lists(TEXT, min_size=1, max_size=12, unique=True)
CHOICE = st.lists(st.sampled_from(list(STEPS)), unique=True)


def series(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(TEXTS, CHOICE)
def test_normalisation_is_idempotent_and_knows_one_order(
    texts: list[str], steps: list[str]
) -> None:
    normalization = Normalization.of(",".join(steps)) if steps else Normalization()
    once = normalization.apply(series(texts))
    assert normalization.apply(once).to_list() == once.to_list()
    if steps:
        backwards = Normalization.of(" , ".join(reversed(steps)).upper())
        assert backwards == normalization


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(TEXTS, CHOICE)
def test_no_two_ids_are_joined_without_being_counted(texts: list[str], steps: list[str]) -> None:
    normalization = Normalization(tuple(step for step in STEPS if step in steps))
    ids = series([text for text in texts if text])
    odd = odd_ids("user", ids, lambda: np.ones(len(ids), dtype=np.intp), normalization)

    after = normalization.apply(ids)
    is_left = after.ne("").to_numpy()
    joined = int(is_left.sum()) - after.filter(pl.Series(is_left)).n_unique()
    assert sum(count for what, count in odd.ids.items() if "joined" in what) >= joined
    if "null" not in steps:
        assert sum(count for what, count in odd.ids.items() if "joined" in what) == joined


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_steps_do_what_python_does(text: str) -> None:
    def by(step: str) -> str:
        return str(Normalization((step,)).apply(series([text]))[0])

    assert by("nfc") == unicodedata.normalize("NFC", text)
    assert by("float") == re.sub(r"^([+-]?[0-9]+)\.0+\Z", r"\1", text)
    assert by("null") in {text, ""}


def test_ids_are_normalised_on_request_only(tmp_path: Path) -> None:
    rows = [
        "1,x",
        "1.0,x",
        " 1,x",
        "007.00,y",
        "Cafe\u0301,y",
        "Café,y",
        "NULL,z",
        "u,\\N",
        "1.5,z",
    ]
    text = "user_id,item_id\n" + "\n".join(rows) + "\n"
    before = read_csv(tmp_path, text)
    assert len(before.user_ids) == 9
    assert before.normalized == ()
    assert before.rows.noted == {
        "user id that differs from another only in Unicode normalisation": 1,
        "user id that differs from another only in surrounding spaces": 1,
        "user id that differs from another only in a trailing .0": 1,
        "user id that looks like a missing value": 1,
        "artist id that looks like a missing value": 1,
    }
    assert before.rows.noted_users == {
        what: 1 for what in before.rows.noted if what.startswith("user")
    }
    assert before.rows.examples["user id that differs from another only in a trailing .0"] == (
        "for example '1.0' beside '1'"
    )
    assert before.advice == (
        "4 user ids and 1 artist id differ from another by very little or look like a missing "
        "value; --normalize-ids nfc,strip,float,null acts on that (events and requests then have "
        "to use the normalised ids)"
    )

    after = read_csv(tmp_path, text, LoadOptions(normalize_ids="null, float,strip,nfc"))
    assert after.normalized == ("nfc", "strip", "float", "null")
    assert pairs(after) == [
        ("1", "x", 1.0),
        ("1", "x", 1.0),
        ("1", "x", 1.0),
        ("007", "y", 1.0),
        ("Café", "y", 1.0),
        ("Café", "y", 1.0),
        ("1.5", "z", 1.0),
    ]
    assert after.user_ids.to_list() == sorted(after.user_ids.to_list(), key=str.encode)
    assert after.rows.dropped == {"user id is missing": 1, "item id is missing": 1}
    assert sum(after.rows.noted_users.values()) == 3
    assert all("joined with another" in what for what in after.rows.noted)
    assert after.advice == ""


def test_ids_that_all_have_spaces_are_noted(tmp_path: Path) -> None:
    # Was wrong: they differ from no other id of the table, so nothing was said.
    text = "user_id, item_id\nu, x\nv, y\n"
    records = read_csv(tmp_path, text)
    assert records.item_ids.to_list() == [" x", " y"]
    assert records.rows.noted["artist id with spaces around it"] == 2
    assert records.rows.examples["artist id with spaces around it"] == "for example ' x'"
    assert records.advice.startswith(
        "2 artist ids have spaces around them; --normalize-ids strip acts on that"
    )
    records = read_csv(tmp_path, text, LoadOptions(normalize_ids="strip"))
    assert records.item_ids.to_list() == ["x", "y"]
    assert (records.rows.noted, records.advice) == ({}, "")


def test_ids_that_all_went_through_a_column_of_floats_are_noted(tmp_path: Path) -> None:
    # Was wrong: they differ from no other id of the table, so nothing was said.
    text = "user_id,item_id\n1.0,x\n2.0,x\n,x\n3.00,1.5\n"
    records = read_csv(tmp_path, text)
    assert records.user_ids.to_list() == ["1.0", "2.0", "3.00"]
    assert records.rows.noted == {"user id that is a whole number with .0": 3}
    assert records.rows.noted_users == records.rows.noted
    assert records.rows.examples["user id that is a whole number with .0"] == "for example '1.0'"
    assert records.advice.startswith(
        "3 user ids are whole numbers with .0; --normalize-ids float acts on that"
    )
    records = read_csv(tmp_path, text, LoadOptions(normalize_ids="float"))
    assert records.user_ids.to_list() == ["1", "2", "3"]
    assert (records.rows.noted, records.advice) == ({}, "")


def test_only_rows_that_are_used_make_an_id_odd(tmp_path: Path) -> None:
    records = read_csv(tmp_path, "user_id,item_id,weight\nu,x,1\nu ,x,0\nNULL,,1\n")
    assert records.rows.noted == {}
    assert records.advice == ""


@pytest.mark.parametrize("value", ["nfd", "", "nfc,,strip", "nfc strip", "case"])
def test_an_unknown_step_is_refused_before_anything_is_read(value: str) -> None:
    with pytest.raises(
        DatasetError, match=r"--normalize-ids .* takes some of nfc,strip,float,null"
    ):
        LoadOptions(normalize_ids=value)


def test_an_artist_without_id_has_that_of_its_name(tmp_path: Path) -> None:
    records = read_csv(
        tmp_path,
        "user_id,item_id,name\nu,m1,Muse\nu,,Muse\nu,a,Air\nu,b,Air\nu,,Air\nu,,Low\nu,,\nu,, \n"
        ",only,Low\n",
    )
    # The id beside Low is in a row that cannot be used.
    assert [item for _, item, _ in pairs(records)] == ["m1", "m1", "a", "b", "name:Air", "name:Low"]
    assert records.rows.dropped == {"item id is missing": 2, "user id is missing": 1}
    assert records.rows.noted == {
        "name without id matched to its only id": 1,
        "artist without id, known by name, since several ids have that name": 1,
        "artist without id, known by name": 1,
    }
    names = dict(zip(records.item_ids, records.items.names, strict=True))
    assert names["name:Air"] == "Air"


def test_names_in_the_place_of_ids_are_normalised_as_well(tmp_path: Path) -> None:
    text = "user_id,item_id,name\nu,\\N,Cafe\u0301 \nu,,Café\nu,m1, Muse\nu,NULL,Muse\nu,,NULL\n"
    records = read_csv(tmp_path, text, LoadOptions(normalize_ids=ALL))
    assert [item for _, item, _ in pairs(records)] == ["name:Café", "name:Café", "m1", "m1"]
    assert records.rows.dropped == {"item id is missing": 1}

    records = read_csv(tmp_path, text.replace("\\N", "").replace("NULL", ""))
    assert {item for _, item, _ in pairs(records)} == {
        *("name:Cafe\u0301 ", "name:Café", "m1", "name:Muse")
    }
    assert records.rows.noted_items == {
        "artist id that differs from another only in surrounding spaces": 1
    }
    # Stripping alone would not join the two.
    assert "1 artist id differs from another by very little; --normalize-ids nfc,strip acts" in (
        records.advice
    )


def test_a_name_with_broken_bytes_is_no_id(tmp_path: Path) -> None:
    records = read_csv(tmp_path, b"user_id,item_id,name\nu,x,Muse\nu,,Caf\xe9\n")
    assert [item for _, item, _ in pairs(records)] == ["x"]
    assert records.rows.dropped == {"id with invalid UTF-8": 1}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "X", "Y"]))))
def test_ids_by_name_are_those_of_a_plain_loop(rows: list[tuple[str, str]]) -> None:
    ids, names = series([one for one, _ in rows]), series([name for _, name in rows])
    found, _beside = artist_ids(ids, names, np.ones(len(rows), dtype=np.intp))

    expected = []
    for one, name in rows:
        others = {other for other, its in rows if other and its == name and name}
        only = others.pop() if len(others) == 1 else None
        expected.append(one or only or (f"name:{name}" if name else None))
    assert found.to_list() == expected


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_the_steps_that_are_advised_leave_nothing_odd(texts: list[str]) -> None:
    ids = series([text for text in texts if text])
    odd = odd_ids("user", ids, lambda: np.ones(len(ids), dtype=np.intp), Normalization())
    advised = Normalization(tuple(step for step in STEPS if step in odd.remedies))
    after = odd_ids("user", ids, lambda: np.ones(len(ids), dtype=np.intp), advised)
    assert bool(odd.ids) == bool(odd.remedies)
    # The quick look passes none over.
    is_changed = any((Normalization((step,)).apply(ids) != ids).any() for step in STEPS)
    assert is_changed or not odd.ids
    if not odd.ids:
        assert Normalization(tuple(STEPS)).apply(ids).n_unique() == len(ids)
    assert not after.remedies


def test_ids_of_events_that_miss_ids_of_the_data_by_little_are_counted() -> None:
    data = series(["1", "2.0", "Café", "u"])
    assert close_ids(series(["1", "u", "v", "NULL"]), data) == 0
    assert close_ids(series(["1.0", "1.0", "2", "Cafe\u0301", " u", "u"]), data) == 4
    assert close_ids(series([]), data) == close_ids(data, series([])) == 0
