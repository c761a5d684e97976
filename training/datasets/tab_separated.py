"""Tab-separated files without quoting, in which any line may be broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.encoding import Encoded, encode
from training.datasets.rows import Rows
from training.datasets.sources import lines_at, reading, shorten
from training.errors import DatasetError

REASON_COLUMNS: Final = "wrong number of columns"
_EXTRA: Final = "extra"
_PLAYS: Final = "plays"


def scan(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    """Returns the lines of a file as String columns; fields that a line lacks are empty.

    The column ``extra`` holds the first field too many. Bytes that are no UTF-8 become U+FFFD.
    """
    return pl.scan_csv(
        path,
        separator="\t",
        has_header=False,
        quote_char=None,
        encoding="utf8-lossy",
        schema=dict.fromkeys((*columns, _EXTRA), pl.String),
        empty_string_is_null=False,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )


def encode_plays(
    path: Path, columns: Sequence[str], item_columns: Sequence[str]
) -> tuple[Encoded, Rows, NDArray[np.float32]]:
    """Reads a file of users, items and plays.

    Args:
        path: the file.
        columns: of the file, ``user`` and ``plays`` among them.
        item_columns: those of them that tell items apart.

    Returns:
        The file in codes; its rows, those with a wrong number of columns dropped and blank ones
        left out; and the plays, float32 with NaN where they are missing or no number.

    Raises:
        DatasetError: the file cannot be read.
    """
    rest = [
        pl.col(_PLAYS).str.strip_chars(" ").cast(pl.Float32, strict=False),
        (pl.col(_EXTRA) != "").alias(_EXTRA),
    ]
    with reading(path):
        encoded = encode(scan(path, columns), item_columns, rest)
        plays = encoded.rest[_PLAYS].fill_null(float("nan")).to_numpy()
        rows = Rows(len(encoded))
        drop_broken_lines(path, rows, np.isnan(plays), len(columns))
    rows.drop(REASON_COLUMNS, encoded.rest[_EXTRA].to_numpy())
    return encoded, rows, plays


def drop_broken_lines(path: Path, rows: Rows, suspicious: NDArray[np.bool_], columns: int) -> None:
    """Looks at lines themselves: polars does not tell a missing field from an empty one.

    Args:
        path: the file.
        rows: its lines; blank ones are left out, those with other than ``columns`` are dropped.
        suspicious: the lines to look at, shape (n_lines,).
        columns: fields a line.
    """
    blank, broken = np.zeros_like(suspicious), np.zeros_like(suspicious)
    numbers = np.flatnonzero(suspicious)
    for row, line in zip(numbers, lines_at(path, numbers.tolist()), strict=True):
        blank[row] = not line
        broken[row] = line.count(b"\t") != columns - 1
    rows.ignore(blank)
    rows.drop(REASON_COLUMNS, broken)


def refuse_without_records(path: Path, rows: Rows, expected: str) -> None:
    """Refuses a file in which no row is left.

    Args:
        path: the file.
        rows: what became of its lines.
        expected: what a line should look like.

    Raises:
        DatasetError: with the reasons, and one line as an example.
    """
    if not rows.kept.any():
        _refuse(path, rows, expected)


def _refuse(path: Path, rows: Rows, expected: str) -> NoReturn:
    example = rows.first_dropped()
    if example is None:
        raise DatasetError(f"{path} is empty: it holds no rows. Expected on each line: {expected}")
    row, reason = example
    with reading(path):
        line = next(lines_at(path, [row])).decode(errors="replace")
    counts = "; ".join(f"{why}: {count:,}" for why, count in rows.counts().dropped.items())
    raise DatasetError(
        f"{path}: none of its {rows.counts().read:,} rows can be used ({counts}). "
        f"For example line {row + 1}, {reason}: '{shorten(line)}'. "
        f"Expected on each line: {expected}. Is it the right file?"
    )
