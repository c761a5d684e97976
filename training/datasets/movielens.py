"""The dataset ``movielens``: ratings of films by users of MovieLens, in all published sizes.

``u.data`` (100K) is tab-separated, ``ratings.dat`` (1M, 10M) is separated by ``::``, both without a
header; ``ratings.csv`` (20M and later) has one. Each row has user, film, rating and the time in
seconds since 1970. Harper and Konstan, "The MovieLens Datasets", 2015.
"""

from __future__ import annotations

import io
import math
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from training.data.records import Records
from training.datasets.accounts import listed
from training.datasets.dataset import Dataset, Download
from training.datasets.reading.encoding import (
    REASON_LONG_ID,
    Encoded,
    most_frequent_names,
    records_of,
    too_long,
)
from training.datasets.reading.opening import Part, head_of
from training.datasets.reading.record_count import RecordCounter
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import (
    SourceFile,
    files_beside,
    find_files,
    fingerprinting,
    unpacked,
)
from training.datasets.reading.sources import reading, refuse_binary
from training.datasets.reading.survey import Survey, surveying
from training.datasets.reading.tab_separated import (
    REASON_COLUMNS,
    encode_rows,
    refuse_without_records,
)
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME, is_implausible
from training.errors import DatasetError

NAME: Final = "movielens"
SOURCE: Final = "https://grouplens.org/datasets/movielens/"
SUBFOLDER: Final = "ml-1m"

REASON_NO_ID: Final = "user or film id is no whole number"
REASON_NO_RATING: Final = "rating missing or no number"
NOTE_NAMELESS: Final = "film without a title, shown by its id"


_FOUR: Final = ("user", "film", "rating", "time")
_EXPECTED: Final = "user, film, rating, time"


@dataclass(frozen=True, slots=True)
class _Form:
    """How a size is written.

    Attributes:
        ratings: the file of ratings.
        films: the file of titles.
        separator: one character; ``::`` is two of them with nothing between.
        columns: the columns between separators.
        title: the id and the title in a line of the file of titles; None for a CSV file.
    """

    ratings: str
    films: str
    separator: str
    columns: tuple[str, ...]
    title: str | None


_FORMS: Final = (
    _Form("u.data", "u.item", "\t", _FOUR, r"^(\d+)\|([^|]*)\|"),
    _Form(
        "ratings.dat",
        "movies.dat",
        ":",
        ("user", "gap 1", "film", "gap 2", "rating", "gap 3", "time"),
        r"^(\d+)::(.*)::",
    ),
    _Form("ratings.csv", "movies.csv", ",", _FOUR, None),
)
_HEADER: Final = "userId"


@dataclass(frozen=True, kw_only=True)
class MovieLensOptions:
    """Options of reading ratings."""

    least_rating: float = 4.0
    "Leave out ratings below this, in `movielens`; each that is left counts 1."


def load(path: Path, options: MovieLensOptions) -> Records:
    """Reads ratings as records of weight 1, since a good rating says that a film is liked.

    Args:
        path: the folder, the file of ratings, the zip archive as downloaded, a pattern of them,
            or ``-`` for ratings from standard input. Titles are read from the file of films if it
            lies beside the ratings.
        options: the least rating.

    Raises:
        DatasetError: a file is missing, empty or of another kind, or no row of it can be used.
    """
    if not math.isfinite(options.least_rating):
        raise DatasetError(f"--least-rating has to be a number, not {options.least_rating}")
    found, others = _find(path)
    with ExitStack() as stack:
        [ratings] = stack.enter_context(unpacked([found]))
        refuse_binary(ratings.plain, ratings)
        form = _form_of(found, ratings)
        films = [file for file in others if file.name == form.films][:1]
        parts = [ratings, *stack.enter_context(unpacked(films))]
        count = {ratings: RecordCounter(ratings)}
        with fingerprinting(parts) as sources, surveying(ratings, count=count) as survey:
            encoded, rows = _encode(ratings, survey, form)
            _check(encoded, rows, options.least_rating)
            refuse_without_records(ratings, rows, _EXPECTED)
            names = _titles(parts[1], form) if films else None
            return records_of(
                encoded,
                rows,
                encoded.items["film"],
                np.ones(len(encoded), dtype=np.float32),
                dataset=NAME,
                sources=sources.result(),
                noted=_notes(encoded, rows, names),
                names=names,
                timestamps=encoded.rest["time"].fill_null(0).to_numpy(),
            )


def _find(path: Path) -> tuple[SourceFile, list[SourceFile]]:
    """Returns the file of ratings, and the files beside it that may have the titles."""
    files = find_files(path)
    if not path.is_dir() and len(files) == 1 and files[0].member is None:
        # A file that is named is read, whatever its name.
        return files[0], [one for form in _FORMS for one in files_beside(files[0], form.films)]
    found = [file for form in _FORMS for file in files if file.name == form.ratings]
    if not found:
        names = " or ".join(form.ratings for form in _FORMS)
        also = f"; it holds {listed({file.name for file in files})}" if files else ""
        raise DatasetError(f"{path} holds no {names}{also}. It comes from {SOURCE}")
    # An archive that lies beside what was unpacked from it is no second dataset.
    found = [file for file in found if file.member is None] or found
    if len(found) > 1:
        places = " and ".join(file.shown for file in found[:2])
        raise DatasetError(f"{path} holds several files of ratings, {places}; name one in --data")
    folder = found[0].place.parent
    return found[0], [file for file in files if file.place.parent == folder]


def _form_of(file: SourceFile, ratings: Part) -> _Form:
    """Returns the form of a file of ratings, by its name or by its first line."""
    by_name = [form for form in _FORMS if form.ratings == file.name]
    if by_name:
        return by_name[0]
    line = head_of(ratings).partition(b"\n")[0]
    return _FORMS[1] if b"::" in line else _FORMS[2] if b"," in line else _FORMS[0]


def _encode(file: Part, survey: Future[Survey], form: _Form) -> tuple[Encoded, Rows]:
    rating = pl.col("rating").cast(pl.Float64, strict=False)
    time = pl.col("time").cast(pl.Int64, strict=False)
    gaps = pl.concat_str([one for one in form.columns if one not in _FOUR] or [pl.lit("")])
    encoded, rows = encode_rows(
        file,
        survey,
        form.columns,
        ("film",),
        [rating, time, gaps.alias("gaps")],
        separator=form.separator,
    )
    is_header = np.zeros(len(encoded), dtype=bool)
    is_header[:1] = [encoded.users[int(code)] == _HEADER for code in encoded.user_codes[:1]]
    rows.ignore(is_header)
    rows.drop(REASON_COLUMNS, (encoded.rest["gaps"] != "").to_numpy())
    return encoded, rows


def _check(encoded: Encoded, rows: Rows, least_rating: float) -> None:
    for ids, codes in (
        (encoded.users, encoded.user_codes),
        (encoded.items["film"], encoded.item_codes),
    ):
        rows.drop(REASON_NO_ID, ~ids.str.contains(r"^\d+$").to_numpy()[codes])
        rows.drop(REASON_LONG_ID, too_long(ids)[codes])
    rating = encoded.rest["rating"].fill_null(float("nan")).to_numpy()
    rows.drop(REASON_NO_RATING, ~np.isfinite(rating))
    rows.drop(REASON_TIME, encoded.rest["time"].is_null().to_numpy())
    rows.drop(REASON_PERIOD, is_implausible(encoded.rest["time"].fill_null(0).to_numpy()))
    rows.leave_out(f"rating below {least_rating:g}", rating < least_rating)


def _titles(file: Part, form: _Form) -> pl.DataFrame:
    """Returns the titles; the older sizes are written in Latin-1, the newer ones in UTF-8."""
    with reading(file):
        content = file.plain.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if form.title is None:
        with reading(file):
            films = pl.read_csv(io.StringIO(text), infer_schema=False)
        if not {"movieId", "title"} <= set(films.columns):
            raise DatasetError(f"{file} has no columns movieId and title; is it the right file?")
        titles = films.select(pl.col("movieId").alias("item"), pl.col("title").alias("name"))
    else:
        groups = pl.first().str.extract_groups(form.title).struct
        titles = pl.DataFrame({"line": text.split("\n")}).select(
            groups.field("1").alias("item"), groups.field("2").alias("name")
        )
    return most_frequent_names(titles.drop_nulls().with_columns(rows=1))


def _notes(encoded: Encoded, rows: Rows, names: pl.DataFrame | None) -> dict[str, int]:
    films = encoded.items["film"]
    named: pl.Series | list[str] = [] if names is None else names["item"]
    nameless = ~films.is_in(pl.Series(named, dtype=pl.String).implode()).to_numpy()
    return {NOTE_NAMELESS: int(nameless[encoded.item_codes[rows.usable]].sum())}


DATASET: Final = Dataset(
    name=NAME,
    description="Ratings of films, 100,000 to 33 million; a good rating counts as one play",
    licence="research, no commercial use without permission; cite Harper and Konstan (2015)",
    source=SOURCE,
    files=tuple(name for form in _FORMS for name in (form.ratings, form.films)),
    load=load,
    takes_input=True,
    # The size that is downloaded; others are read with --data.
    download=Download(
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        archive="ml-1m.zip",
        size=5_917_549,
        largest=64_000_000,
        files={"ratings.dat": None, "movies.dat": None, "README": None},
        checksum="md5:c4d9eecfca2ab87c1945afe126590906",
        optional=frozenset({"README"}),
    ),
    subfolder=SUBFOLDER,
    options=MovieLensOptions,
)
