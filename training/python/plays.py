"""Plays as they were read, before any filter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.variables import variable
from training.data.records import Records
from training.datasets import DATASETS, LoadOptions, ensure_dataset, load_dataset, table
from training.engines.reading import check_readable, leave_out_erased, read_erased
from training.errors import DatasetError
from training.numbers import count
from training.pipeline import describe_period
from training.python.frames import is_frame, to_polars, with_whole_ids
from training.python.wording import Notes, check_names, html_table, text_table, told_in_keywords

_SHOWN: Final = "the DataFrame"
# The options of a table that a DataFrame takes: it has no text to be taken apart.
_OF_FRAMES: Final = frozenset(
    {
        "user_column",
        "item_column",
        "weight_column",
        "name_column",
        "timestamp_column",
        "timestamp_format",
        "normalize_ids",
        # For plays that are text.
        "decimal",
        "thousands",
    }
)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Plays:
    """Listening records.

    Attributes:
        records: the records.
        notes: how they were understood, and what was left out, in sentences.
    """

    records: Records
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return "\n".join([text_table(*self._table()), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=self.notes)

    def _table(self) -> tuple[str, list[str], list[list[str]]]:
        records, rows = self.records, self.records.rows
        shown = [["rows read", count(rows.read)]]
        shown += [[f"left out: {why}", f"-{count(left)}"] for why, left in rows.dropped.items()]
        shown += [[f"noted: {what}", count(those)] for what, those in rows.noted.items()]
        shown += [
            ["records", count(len(records))],
            ["users", count(len(np.unique(records.user_codes)))],
            ["artists", count(len(np.unique(records.item_codes[records.item_codes >= 0])))],
        ]
        if (period := describe_period(records.period)) is not None:
            shown += [["first", period["first"]], ["last", period["last"]]]
        return f"Plays of {records.dataset}", ["", ""], shown


def read(
    source: Any = None,
    *,
    dataset: str | None = None,
    allow_unreadable: bool = False,
    **options: Any,
) -> Plays:
    """Reads plays.

    Args:
        source: a DataFrame of polars or pandas, or of another library that exports Arrow; or the
            path of a file, a folder or a pattern. By default the dataset is downloaded into
            ``data``, where it is not there yet.
        dataset: name of the dataset that lies at the path; by default ``table``.
        allow_unreadable: whether the source is read although more than 20 % of its rows cannot be.
        options: how to read it: the options of ``python -m training train``, with ``_`` in place of
            ``-``, such as ``user_column``.

    Raises:
        DatasetError: the source cannot be read, or an option is not one of it.
        DownloadError: the dataset cannot be downloaded.
        TrainingError: there is no such option.
        StoreUnavailable: it is unknown who was erased, since the configured event store cannot be
            read.
    """
    notes = Notes()
    with told_in_keywords():
        check_names(options, [field.name for field in fields(LoadOptions)], "read")
        if is_frame(source):
            records = _read_frame(source, dataset, options)
            check_readable(records, Path(_SHOWN), notes, allow_unreadable=allow_unreadable)
        else:
            name = dataset or table.NAME
            if source is None and dataset is None:
                raise DatasetError(
                    f"read what? Give a DataFrame, a path, or dataset, one of {', '.join(DATASETS)}"
                )
            if source is not None and not isinstance(source, str | os.PathLike):
                raise DatasetError(
                    f"a DataFrame or a path is read, and this is {type(source).__name__}"
                )
            path = ensure_dataset(name, None if source is None else Path(source))
            records = load_dataset(name, path, LoadOptions(**options))
            check_readable(records, path, notes, allow_unreadable=allow_unreadable)
        records = _without_erased(records, notes)
    if records.rows.warning:
        notes.note(records.rows.warning)
    return Plays(records, tuple(notes.notes))


def _read_frame(source: Any, dataset: str | None, options: dict[str, Any]) -> Records:
    if dataset not in (None, table.NAME):
        raise DatasetError(f"a DataFrame is read as {table.NAME}; leave --dataset {dataset} out")
    for name in options.keys() - _OF_FRAMES:
        raise DatasetError(f"--{name.replace('_', '-')} is not for DataFrames; leave it out")
    load_options = LoadOptions(**options)
    ids = (load_options.user_column, load_options.item_column)
    frame = with_whole_ids(to_polars(source), ids)
    return replace(
        table.load_frame(frame, _SHOWN, load_options),
        sources={"DataFrame": {"rows": len(frame)}},
    )


def _without_erased(records: Records, notes: Notes) -> Records:
    """Leaves out who was erased from the event store of the service, as every training does."""
    url = os.environ.get(variable("database_url"))
    if not url or DATASETS[records.dataset].is_made_up:
        return records
    return leave_out_erased(records, read_erased(url, notes), notes)
