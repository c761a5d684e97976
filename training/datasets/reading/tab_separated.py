"""Tab-separated files without quoting; any line may be broken."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.encoding import Encoded, encode
from training.datasets.reading.opening import Part
from training.datasets.reading.rows import Rows
from training.datasets.reading.sources import lines_at, reading, shorten
from training.datasets.reading.survey import Survey
from training.errors import DatasetError

REASON_COLUMNS: Final = "wrong number of columns"
_EXTRA: Final = "extra"
_SHORT: Final = "short"
# Every second field of a file separated by `::` is empty, so the first surplus one may be as well.
_BEYOND: Final = {"\t": (), ",": (), ":": ("extra 2",)}
_PLAYS: Final = "plays"


def scan(file: Part, columns: Sequence[str], separator: str = "\t") -> pl.LazyFrame:
    """Returns the lines of a file as String columns; missing fields are empty.

    The column ``extra`` holds the first surplus field. Invalid UTF-8 becomes U+FFFD.
    """
    return pl.scan_csv(
        file.plain,
        separator=separator,
        has_header=False,
        quote_char=None,
        encoding="utf8-lossy",
        schema=dict.fromkeys((*columns, _EXTRA, *_BEYOND[separator]), pl.String),
        empty_string_is_null=False,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )


def encode_rows(
    file: Part,
    survey: Future[Survey],
    columns: Sequence[str],
    item_columns: Sequence[str],
    rest: Sequence[pl.Expr],
    *,
    separator: str = "\t",
) -> tuple[Encoded, Rows]:
    """Reads a file of users and items.

    Args:
        file: the file.
        survey: of the file, with the number of its lines.
        columns: of the file, ``user`` among them.
        item_columns: columns that identify an item together.
        rest: expressions for the other columns.
        separator: a tab, a comma, or a colon for ``::``.

    Returns:
        The file as codes, and its rows; rows with a wrong number of columns are dropped, blank
        rows are left out.

    Raises:
        DatasetError: the file cannot be read, or not all of it was read.
    """
    # The last column of a line that is too short is empty.
    surplus = pl.any_horizontal(pl.col(name) != "" for name in (_EXTRA, *_BEYOND[separator]))
    flags = [(pl.col(columns[-1]) == "").alias(_SHORT), surplus.alias(_EXTRA)]
    with reading(file):
        encoded = encode(scan(file, columns, separator), item_columns, [*rest, *flags])
        survey.result().check([file], len(encoded))
        rows = Rows(len(encoded))
        separators = separator.encode() * (len(columns) - 1)
        _drop_short_lines(file, rows, encoded.rest[_SHORT].to_numpy(), separators)
    rows.drop(REASON_COLUMNS, encoded.rest[_EXTRA].to_numpy())
    return encoded, rows


def encode_plays(
    file: Part, survey: Future[Survey], columns: Sequence[str], item_columns: Sequence[str]
) -> tuple[Encoded, Rows, NDArray[np.float32]]:
    """Reads a file of users, items and plays; see ``encode_rows``.

    Args:
        file: the file.
        survey: of the file, with the number of its lines.
        columns: of the file, ``user`` among them; the last one has the plays.
        item_columns: columns that identify an item together.

    Returns:
        The same, and the plays: float32, shape (n_rows,), NaN where they are missing or no number.

    Raises:
        DatasetError: the file cannot be read.
    """
    plays = pl.col(columns[-1]).str.strip_chars(" ").cast(pl.Float32, strict=False)
    encoded, rows = encode_rows(file, survey, columns, item_columns, [plays.alias(_PLAYS)])
    return encoded, rows, encoded.rest[_PLAYS].fill_null(float("nan")).to_numpy()


def _drop_short_lines(
    file: Part, rows: Rows, suspicious: NDArray[np.bool_], separators: bytes
) -> None:
    """Reads the suspicious lines again: polars does not tell a missing field from an empty one."""
    blank, broken = np.zeros_like(suspicious), np.zeros_like(suspicious)
    numbers = np.flatnonzero(suspicious)
    for row, line in zip(numbers, lines_at(file.plain, numbers.tolist()), strict=True):
        blank[row] = not line
        broken[row] = line.count(separators[:1]) != len(separators)
    rows.ignore(blank)
    rows.drop(REASON_COLUMNS, broken)


def refuse_without_records(file: Part, rows: Rows, expected: str) -> None:
    """Refuses a file without a usable row.

    Args:
        file: the file.
        rows: its rows.
        expected: the format of a line, in words.

    Raises:
        DatasetError: no row is usable; the message has the reasons, and one line as an example.
    """
    if not rows.usable.any():
        _refuse(file, rows, expected)


def _refuse(file: Part, rows: Rows, expected: str) -> NoReturn:
    example = rows.any_dropped()
    if example is None:
        raise DatasetError(f"{file} is empty: it holds no rows. Expected on each line: {expected}")
    row, reason = example
    with reading(file):
        line = next(lines_at(file.plain, [row])).decode(errors="replace")
    counts = "; ".join(f"{why}: {count:,}" for why, count in rows.counts().dropped.items())
    raise DatasetError(
        f"{file}: none of its {rows.counts().read:,} rows can be used ({counts}). "
        f"For example line {row + 1}, {reason}: '{shorten(line)}'. "
        f"Expected on each line: {expected}. Is it the right file?"
    )
