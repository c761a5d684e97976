"""Examples of the values of a table that could not be used: where they stand, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.reading.dialects.dialect import OTHER_ENCODING
from training.datasets.reading.dialects.names import NOTE_BROKEN, NOTE_GARBLED, NOTE_QUOTED
from training.datasets.reading.dialects.numbers import flags_for
from training.datasets.reading.encoding import REPLACEMENT, USER, Encoded
from training.datasets.reading.json_lines import BROKEN, REASON_NO_OBJECT
from training.datasets.reading.rows import REASON_NO_PLAYS, Rows
from training.datasets.reading.sources import reading, shorten
from training.datasets.reading.table_columns import ITEM, NAME, PLAYS, TIME, Columns
from training.datasets.reading.table_file import Table
from training.datasets.reading.time_form import DECISIVE, other_meaning, remedy
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME
from training.errors import DatasetError

REASON_BROKEN_ID: Final = "id with invalid UTF-8"
NOTE_TIME: Final = "timestamp missing or unreadable, so no times were read"
NOTE_PERIOD: Final = "timestamp before 1990 or more than a day ahead, so no times were read"

# The column that a reason is about; a note that is not here is about a time.
_REASONS: Final = {
    REASON_NO_OBJECT: BROKEN,
    REASON_NO_PLAYS: PLAYS,
    REASON_TIME: TIME,
    REASON_PERIOD: TIME,
}
_NOTES: Final = {NOTE_BROKEN: NAME, NOTE_GARBLED: NAME, NOTE_QUOTED: ITEM}


@dataclass(frozen=True, slots=True)
class Example:
    """A value of a table.

    Attributes:
        row: the row that has it, from 0.
        value: the same, shortened.
        after: from where rows are counted.
        advice: what to do about it, or nothing.
        column: its column, where the reason does not say which it is.
    """

    row: int
    value: str
    after: str
    advice: str
    column: str = ""

    def __str__(self) -> str:
        what = f"; {self.advice}" if self.advice else ""
        column = f" in the column '{self.column}'," if self.column else " in"
        return f"'{self.value}'{column} row {self.row + 1}{self.after}{what}"


def examples_of(
    table: Table,
    columns: Columns,
    encoded: Encoded,
    rows: Rows,
    odd: Mapping[str, NDArray[np.bool_]],
) -> dict[str, Example]:
    """Returns a value, with its row, for each reason or note that is about a value.

    Args:
        table: the table.
        columns: the columns that are read.
        encoded: the table as it was read.
        rows: its rows.
        odd: note to the marks of its rows, shape (n_rows,).
    """
    examples = {}
    for reason, role, marks in _found(encoded, rows, odd):
        column = BROKEN if role == BROKEN else columns.by_role.get(role)
        if column is not None and marks.any():
            with reading(table.shown):
                row, value = table.example(marks, column, DECISIVE if role == TIME else "")
            advice = _advice(reason, value, columns, table)
            named = column if reason == REASON_BROKEN_ID else ""
            examples[reason] = Example(row, value, table.after, advice, named)
    return examples


def _found(
    encoded: Encoded, rows: Rows, odd: Mapping[str, NDArray[np.bool_]]
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yields reasons and notes with the role of their column and their rows."""
    for reason, role in _REASONS.items():
        yield reason, role, rows.dropped(reason)
    broken = rows.dropped(REASON_BROKEN_ID)
    if broken.any():
        # The first of these columns that has such an id is the example.
        texts = {name: (encoded.items[name], encoded.item_codes) for name in encoded.items.columns}
        for role, (ids, codes) in reversed(
            ({USER: (encoded.users, encoded.user_codes)} | texts).items()
        ):
            is_broken = ids.str.contains(REPLACEMENT, literal=True).to_numpy()
            yield REASON_BROKEN_ID, role, broken & is_broken[codes]
    for note, marks in odd.items():
        yield note, _NOTES.get(note, TIME), marks


def _advice(reason: str, value: str, columns: Columns, table: Table) -> str:
    """Returns what to do about a value, or nothing."""
    if reason in (REASON_TIME, NOTE_TIME):
        return remedy(value, columns.time_form)
    if reason in (REASON_PERIOD, NOTE_PERIOD):
        return other_meaning(value, columns.time_form, is_text=table.is_text)
    if reason in (NOTE_BROKEN, REASON_BROKEN_ID) and table.is_text:
        return OTHER_ENCODING
    if reason == REASON_BROKEN_ID:
        return "write the column as UTF-8"
    if reason == REASON_NO_PLAYS and (flags := flags_for(value)):
        return f"{flags} would read it"
    return ""


def refuse_without_records(
    table: Table, encoded: Encoded, rows: Rows, examples: Mapping[str, Example]
) -> None:
    """Refuses a table without a usable row.

    Raises:
        DatasetError: no row is usable; the message has the reasons, and one row as an example.
    """
    if rows.usable.any():
        return
    dropped = rows.any_dropped()
    if dropped is None:
        raise DatasetError(f"{table.shown} is empty: it has a header, but no rows")
    row, reason = dropped
    counts = rows.counts()
    why = "; ".join(f"{reason}: {count:,}" for reason, count in counts.dropped.items())
    value = advice = ""
    if example := examples.get(reason):
        where = f" in the column '{example.column}'" if example.column else ""
        row, value = example.row, f": '{example.value}'{where}"
        advice = f"; {example.advice}" if example.advice else ""
    user = encoded.users[int(encoded.user_codes[row])]
    item = encoded.items[ITEM][int(encoded.item_codes[row])]
    raise DatasetError(
        f"{table.shown}: none of its {counts.read:,} rows can be used ({why}). For example row "
        f"{row + 1}{table.after}, {reason}{value}: user '{shorten(user)}', item '{shorten(item)}'"
        f"{advice}"
    )
