"""Forms of numbers are read as they were meant, or refused where they have two meanings."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from tests.training.datasets.tables import pairs, write
from training.datasets import LoadOptions
from training.datasets.reading import table_file
from training.datasets.reading.dialects.numbers import NumberForm, flags_for, form_of
from training.datasets.table import load
from training.errors import DatasetError


def found(
    *values: str, decimal: str | None = None, thousands: str | None = None
) -> tuple[str, str]:
    form = form_of(values, NumberForm.candidates(decimal, thousands), "plays.csv", "weight")
    return form.decimal, form.thousands


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([], (".", "")),
        (["1", "1200", "", "n/a"], (".", "")),
        (["1.5", "2"], (".", "")),
        (["25,5", "1200"], (",", "")),
        (["0,125"], (",", "")),
        (["4,625", "1200"], (",", "")),
        (["4.625", "1.5"], (".", "")),
        (["0.125", "4.625"], (".", "")),
        (["1,234,567"], (".", ",")),
        (["1.234.567", "4.625"], (",", ".")),
        (["1,234.5", "4,625"], (".", ",")),
        (["1.234,5"], (",", ".")),
        (["4 625", "12"], (".", " ")),
        (["4\u202f625,5"], (",", " ")),
        (["4'625"], (".", "'")),
        (["4\u2019625.50"], (".", "'")),
        (["12,34,567"], (".", ",")),
        (["25,5", "25.5"], (".", "")),
        (["1e3", "1.5E-2"], (".", "")),
    ],
)
def test_a_form_is_taken_where_the_values_have_one_meaning(
    values: list[str], form: tuple[str, str]
) -> None:
    assert found(*values) == form


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["925", "4,625"],
            "plays.csv: '4,625' in the column 'weight' can be 4.625 or 4625; "
            '--decimal "," or --thousands "," says which',
        ),
        (["925", "4.625"], '\'4.625\' .* can be 4.625 or 4625; --decimal "." or --thousands "."'),
        (["1.000"], "'1.000' .* can be 1 or 1000"),
    ],
)
def test_a_value_with_two_meanings_is_refused(values: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        found(*values)


def test_options_say_which_meaning_holds() -> None:
    assert found("4,625", decimal=",") == (",", "")
    assert found("4,625", decimal=".") == (".", ",")
    assert found("4,625", thousands=",") == (".", ",")
    assert found("4.625", decimal=".") == (".", "")
    assert found("4.625", decimal=",") == (",", ".")
    assert found("4 625,5", thousands="space") == (",", " ")
    assert found("4 625", thousands="\u202f") == (".", " ")


@pytest.mark.parametrize(
    ("decimal", "thousands", "message"),
    [
        (";", None, "--decimal is ';'; expected '.' or ','"),
        (None, "", "--thousands is ''; expected"),
        (None, "_", "--thousands is '_'; expected"),
        (",", ",", "--decimal and --thousands are both ','"),
    ],
)
def test_options_that_cannot_be_are_refused(
    decimal: str | None, thousands: str | None, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        NumberForm.candidates(decimal, thousands)


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (NumberForm(), {" 4.5 ": 4.5, "1e3": 1000.0, "4,5": None, "4'500": None}),
        (NumberForm(","), {"4,5": 4.5, "4": 4.0, ",5": 0.5, "4.5": None, "1,5e1": 15.0, "": None}),
        (NumberForm(".", ","), {"4,625.5": 4625.5, "4625": 4625.0, "4,62": None, "46,25": None}),
        (NumberForm(",", "."), {"4.625,5": 4625.5, "-1.000": -1000.0, "4.6": None, "1.00": None}),
        (NumberForm(",", " "), {"4\u00a0625,5": 4625.5, "4 625": 4625.0, "4 62": None}),
        (NumberForm(".", "'"), {"1\u2019234\u2019567": 1234567.0, "0'123": None}),
    ],
)
def test_only_numbers_of_the_form_are_read(form: NumberForm, read: dict[str, float | None]) -> None:
    # 1,5 is not 15 where commas stand between thousands.
    texts = pl.DataFrame({"text": list(read)})
    assert texts.select(form.read(pl.col("text"))).to_series().to_list() == list(read.values())


def test_a_number_that_could_not_be_read_names_its_options() -> None:
    assert flags_for(" 25,5 ") == '--decimal ","'
    assert flags_for("4,625") == '--decimal "," or --thousands ","'
    assert flags_for("many") == ""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "_SAMPLED_ROWS", 2)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("later", "message"),
    [
        (["1.234"], "'1.234' in the column 'weight' can be 1.234 or 1234; --decimal \".\""),
        (["1.234", "1.234.567"], "a later one has '1.234.567'; --thousands \".\" reads it"),
        (["1.000", "12"], "'1.000' in the column 'weight' can be 1 or 1000"),
        (["4,5"], "whole numbers in the column 'weight', and a later one has '4,5'; --decimal"),
        (["1 234"], 'a later one has \'1 234\'; --decimal "." --thousands " " reads it'),
    ],
)
def test_a_form_that_shows_late_is_refused(tmp_path: Path, later: list[str], message: str) -> None:
    # Was wrong: where the first 10,000 rows had whole numbers, a later 1.234 was always read so.
    lines = ["user_id;item_id;weight", *(f"u{n};x;{n}" for n in range(1, 9))]
    lines += [f"v{n};y;{plays}" for n, plays in enumerate(later)]
    file = write(tmp_path / "plays.csv", "\n".join([*lines, ""]))
    with pytest.raises(DatasetError, match=re.escape(message)):
        load(file, LoadOptions())


@pytest.mark.usefixtures("small")
def test_later_plays_of_one_meaning_are_read(tmp_path: Path) -> None:
    text = "user_id,item_id,weight\nu,x,1\nu,y,2\nu,z,0.234\nv,x,4.234\nv,y,\nv,z,n/a\n"
    file = write(tmp_path / "plays.csv", text)
    assert [plays for *_, plays in pairs(load(file, LoadOptions()))] == pytest.approx(
        [1, 2, 0.234, 4.234]
    )
    file = write(tmp_path / "plays.csv", text.replace("0.234", "1.234"))
    read = pairs(load(file, LoadOptions(decimal=".")))
    assert [plays for *_, plays in read] == pytest.approx([1, 2, 1.234, 4.234])
    read = pairs(load(file, LoadOptions(thousands=".")))
    assert [plays for *_, plays in read] == [1, 2, 1234, 4234]
