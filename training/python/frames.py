"""DataFrames of polars, pandas and other libraries, as those of polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from training.errors import DatasetError

_PANDAS: Final = "pandas"
# Up to here a float holds every whole number.
_LARGEST_EXACT: Final = 2.0**53


def is_frame(source: object) -> bool:
    """Says whether a source is a DataFrame: of polars, pandas, or one that exports Arrow."""
    return (
        isinstance(source, pl.DataFrame | pl.LazyFrame)
        or _is_of_pandas(source)
        or hasattr(source, "__arrow_c_stream__")
    )


def to_polars(source: Any) -> pl.DataFrame:
    """Returns a DataFrame as one of polars; the named levels of an index become columns.

    Pandas and pyarrow need not be installed.

    Args:
        source: a DataFrame, see ``is_frame``.

    Raises:
        DatasetError: two columns have the same name, or it cannot be read.
    """
    try:
        if isinstance(source, pl.DataFrame):
            return source
        if isinstance(source, pl.LazyFrame):
            return source.collect()
        if _is_of_pandas(source):
            return _of_pandas(source)
        if type(source).__module__.partition(".")[0] == _PANDAS or isinstance(source, pl.Series):
            raise TypeError("it is one column; a DataFrame has users and artists (to_frame())")
        return pl.DataFrame(source)
    except (ImportError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        first = str(error).strip().split("\n")[0]
        raise DatasetError(f"the DataFrame cannot be read: {first}") from error


def with_whole_ids(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Returns ids with a decimal point as whole numbers: pandas makes such where one is missing.

    Args:
        frame: a DataFrame.
        columns: the columns of ids; those of another type, or with other numbers, stay.
    """
    for name in columns:
        if name in frame.columns and frame[name].dtype.is_float():
            ids = frame[name].fill_nan(None)
            if ((ids == ids.round()) & (ids.abs() <= _LARGEST_EXACT)).all():
                frame = frame.with_columns(ids.cast(pl.Int64))
    return frame


def _is_of_pandas(source: object) -> bool:
    return type(source).__module__.partition(".")[0] == _PANDAS and hasattr(source, "columns")


def _of_pandas(frame: Any) -> pl.DataFrame:
    if any(name is not None for name in frame.index.names):
        # What a grouping leaves has users and artists there.
        frame = frame.reset_index()
    # Column by column: the way through Arrow needs pyarrow, and refuses columns of mixed types.
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DatasetError(f"the DataFrame has {names.count(name)} columns '{name}'")
    return pl.DataFrame([_series(name, frame.iloc[:, place]) for place, name in enumerate(names)])


def _series(name: str, column: Any) -> pl.Series:
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return pl.Series(name, column.to_numpy())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return pl.Series(name, column.to_numpy().astype("datetime64[us]"))
    values = column.astype(object).to_numpy(copy=True)
    values[column.isna().to_numpy()] = None
    try:
        return pl.Series(name, values.tolist(), strict=False)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        # Whoever names this column is told that it holds no texts.
        return pl.Series(name, values, dtype=pl.Object)
