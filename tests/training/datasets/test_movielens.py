"""MovieLens: the three forms of its sizes, as folders and as archives."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.data.records import Records
from training.datasets import LoadOptions, load_dataset
from training.errors import DatasetError

OLD = (
    "u.data",
    "u.item",
    "\t",
    "1|Café (1995)|01-Jan-1995||x|0|1\n3|Heat (1995)|y||z|0\n".encode("latin-1"),
)
DAT = (
    "ratings.dat",
    "movies.dat",
    "::",
    "1::Café (1995)::Drama|War\n3::Heat (1995)::Crime\n".encode("latin-1"),
)
CSV = (
    "ratings.csv",
    "movies.csv",
    ",",
    'movieId,title,genres\r\n1,Café (1995),Drama\r\n3,"Heat (1995)",Crime\r\n'.encode(),
)
FORMS = pytest.mark.parametrize("form", [OLD, DAT, CSV], ids=lambda form: form[0])
RATINGS = ["10 1 5 978300760", "2 1 4 978300761", "2 3 3.5 978300762", "2 3 4.5 978300763"]


def write(folder: Path, form: Any, rows: list[str] = RATINGS, films: bytes | None = None) -> Path:
    name, films_name, separator, titles = form
    folder.mkdir(exist_ok=True)
    lines = [row.replace(" ", separator) for row in rows]
    if separator == ",":
        lines.insert(0, "userId,movieId,rating,timestamp")
    (folder / name).write_text("".join(line + "\n" for line in lines))
    (folder / films_name).write_bytes(titles if films is None else films)
    return folder


def pack(folder: Path) -> Path:
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return packed


def read(path: Path, **options: Any) -> Records:
    return load_dataset("movielens", path, LoadOptions(**options))


def pairs(records: Records) -> list[tuple[str, str, float]]:
    codes = zip(records.user_codes, records.item_codes, records.plays, strict=True)
    return [(records.user_ids[int(u)], records.item_ids[int(i)], float(p)) for u, i, p in codes]


@FORMS
@pytest.mark.parametrize("packed", [False, True])
def test_a_good_rating_is_a_record_of_weight_1(tmp_path: Path, form: Any, packed: bool) -> None:
    folder = write(tmp_path / "ml", form)
    path = pack(folder) if packed else folder

    records = read(path)

    assert pairs(records) == [("10", "1", 1.0), ("2", "1", 1.0), ("2", "3", 1.0)]
    assert records.items.names.to_list() == ["Café (1995)", "Heat (1995)"]
    assert records.timestamps is not None
    assert records.timestamps.tolist() == [978_300_760, 978_300_761, 978_300_763]
    assert (records.rows.read, records.rows.dropped) == (4, {"rating below 4": 1})
    assert records.rows.warning == ""
    assert set(records.sources) == ({"ml.zip"} if packed else {form[0], form[1]})


@FORMS
def test_the_file_itself_will_do_under_any_name(tmp_path: Path, form: Any) -> None:
    folder = write(tmp_path / "ml", form)
    assert len(read(folder / form[0])) == 3
    other = (folder / form[0]).rename(folder / "part.txt")
    assert len(read(other)) == 3


def test_an_archive_beside_its_files_is_not_read_as_well(tmp_path: Path) -> None:
    pack(write(tmp_path / "ml-1m", DAT))
    assert len(read(tmp_path)) == 3


def test_the_least_rating_is_an_option(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    assert len(read(tmp_path, least_rating=0.5)) == 4
    with pytest.raises(DatasetError, match=r"none of its 4 rows can be used \(rating below 9: 4\)"):
        read(tmp_path, least_rating=9)
    with pytest.raises(DatasetError, match="--least-rating has to be a number, not nan"):
        read(tmp_path, least_rating=float("nan"))


@FORMS
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2 1 good 978300760", "rating missing or no number"),
        ("2 1  978300760", "rating missing or no number"),
        ("2 1 5 yesterday", "timestamp missing or unreadable"),
        ("2 1 5 7", "timestamp before 1990 or more than a day ahead"),
        ("x 1 5 978300760", "user or film id is no whole number"),
        ("2  5 978300760", "user or film id is no whole number"),
        ("2 1 5", "wrong number of columns"),
        ("2 1 5 978300760 7", "wrong number of columns"),
    ],
)
def test_a_broken_row_is_dropped_for_its_reason(
    tmp_path: Path, form: Any, row: str, reason: str
) -> None:
    records = read(write(tmp_path, form, [*RATINGS, row]))
    assert records.rows.dropped == {"rating below 4": 1, reason: 1}
    assert records.rows.unreadable == 1


def test_something_between_two_colons_is_a_wrong_number_of_columns(tmp_path: Path) -> None:
    write(tmp_path, DAT)
    with (tmp_path / "ratings.dat").open("a") as file:
        file.write("2:x:1::5::978300760\n")
    assert read(tmp_path).rows.dropped["wrong number of columns"] == 1


def test_a_film_without_a_title_is_noted(tmp_path: Path) -> None:
    write(tmp_path, DAT, films="1::Ça (x)::y::Drama\n".encode())
    records = read(tmp_path)
    assert records.items.names.to_list() == ["Ça (x)::y", "3"]
    assert records.rows.noted == {"film without a title, shown by its id": 1}
    (tmp_path / "movies.dat").unlink()
    assert read(tmp_path).items.names.to_list() == ["1", "3"]


def test_the_wrong_place_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no u\.data or ratings\.dat or ratings\.csv"):
        read(tmp_path)
    write(tmp_path / "a", OLD)
    write(tmp_path / "b", CSV)
    with pytest.raises(
        DatasetError, match=r"several files of ratings, .*u\.data and .*ratings\.csv"
    ):
        read(tmp_path)
    write(tmp_path / "b", CSV, films=b"a,b\n1,2\n")
    with pytest.raises(DatasetError, match=r"movies\.csv has no columns movieId and title"):
        read(tmp_path / "b")
    with pytest.raises(DatasetError, match=r"wrong number of columns.*user, film, rating, time"):
        read(tmp_path / "a" / "u.item")
