"""The columns of a table: named by options, or found by their usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from training.datasets.reading.dialects.options import DialectOptions
from training.datasets.reading.encoding import USER
from training.datasets.reading.ids import Normalization
from training.datasets.reading.sources import shorten
from training.datasets.reading.time_form import TimeForm, TimeFormOptions
from training.datasets.reading.times import seconds_of
from training.errors import DatasetError

ITEM: Final = "item"
NAME: Final = "name"
PLAYS: Final = "plays"
TIME: Final = "time"
# The column for surplus fields of a row.
EXTRA: Final = "\0extra"
# The column that marks plays of another form than the first rows have.
OTHER: Final = "\0other"
# Columns that say something of a row, and that no file has.
_MARK: Final = "\0"
_SHOWN: Final = 20
_NUMBERED: Final = re.compile(r"_duplicated_\d+$")

# The usual names of columns that no option names, the preferred name first.
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    PLAYS: ("weight", "plays", "playcount", "play_count", "count"),
    TIME: ("timestamp",),
}
_OPTIONS: Final = {
    USER: "user_column",
    ITEM: "item_column",
    PLAYS: "weight_column",
    NAME: "name_column",
    TIME: "timestamp_column",
}


@dataclass(frozen=True, kw_only=True)
class TableOptions(DialectOptions, TimeFormOptions):
    """Options of reading a table.

    If an option names the column of times, a row with an unreadable time is left out. If
    ``timestamp`` was found, its times are used only if every one is readable.
    """

    user_column: str = "user_id"
    "Column of user ids, in a table."
    item_column: str = "item_id"
    "Column of artist ids, in a table."
    weight_column: str | None = None
    "Column of plays, in a table. Default: `weight`, `plays`, `playcount`, `play_count` or \
`count`, in any case, else each row is one play."
    name_column: str | None = None
    "Column of artist names, in a table. Default: `name` if there is one."
    timestamp_column: str | None = None
    "Column of times, in a table: Unix time or ISO 8601. Default: `timestamp`, in any case, if \
there is one."
    normalize_ids: str | None = None
    "How ids of a table are made equal, some of nfc,strip,float,null: Unicode normalisation NFC, \
no spaces around them, no .0 after whole numbers, and NULL, nan and the like are missing. Default: \
they stay as they are."

    def __post_init__(self) -> None:
        """Refuses values that cannot be.

        Raises:
            DatasetError: one is no form of times, no way of normalising ids, or no dialect.
        """
        super().__post_init__()
        _ = self.normalization
        self.check_dialect()

    @property
    def normalization(self) -> Normalization:
        """How ids are normalised."""
        return Normalization.of(self.normalize_ids)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        by_role: role (``USER``, ``ITEM``, ``NAME``, ``PLAYS``, ``TIME``) to column; optional
            columns that are missing are left out.
        remark: the chosen columns of plays and times and the other columns, if the choice is in
            doubt; otherwise empty.
        time_form: the form of times that an option names; None for those that need none.
    """

    by_role: Mapping[str, str]
    remark: str = ""
    time_form: TimeForm | None = None

    @classmethod
    def find(
        cls, schema: pl.Schema, path: object, options: TableOptions, hint: str = ""
    ) -> Columns:
        """Finds the columns that options name, and the others by their usual names.

        Args:
            schema: of the table.
            path: its name in messages.
            options: the names of columns.
            hint: why columns may be missing, as the end of a message.

        Raises:
            DatasetError: a column that an option names is missing.
        """
        found = [name for name in schema if not name.startswith(_MARK)]
        chosen: dict[str, str] = {}
        missing: dict[str, str] = {}
        for role, option in _OPTIONS.items():
            if (column := getattr(options, option)) is None:
                continue
            if (named := _named(column, found, path, option)) is None:
                missing[option] = column
            else:
                chosen[role] = named
        if missing:
            raise DatasetError(_missing(missing, found, path, hint))
        if NAME not in chosen and (names := _called("name", found)):
            chosen[NAME] = names[0]
        doubts = []
        for role in [role for role in _USUAL if role not in chosen]:
            fitting = _fitting(role, [one for one in found if one not in chosen.values()], schema)
            if fitting:
                chosen[role] = fitting[0]
            if len(fitting) != 1:
                doubts.append((role, fitting))
        if options.timestamp_format is not None and TIME not in chosen:
            raise DatasetError(
                f"{path} has no column 'timestamp', so --timestamp-format does nothing; it has "
                f"{_listed(found)}. Name the column of times by --timestamp-column"
            )
        for column in chosen.values():
            _refuse_repeated(column, found, path)
        others = [name for name in found if name not in chosen.values()]
        return cls(chosen, _remark(dict(doubts), others), options.time_form)


def _called(column: str, found: Sequence[str]) -> list[str]:
    """Returns the columns of a name, exactly or else apart from spaces around it."""
    return [column] if column in found else [one for one in found if one.strip() == column.strip()]


def _named(column: str, found: Sequence[str], path: object, option: str) -> str | None:
    """Returns the column that an option names, None for none; spaces around names do not count."""
    called = _called(column, found)
    if len(called) > 1:
        raise DatasetError(
            f"{path} has {len(called)} columns '{column.strip()}', which differ in spaces around "
            f"them: {_listed(called)}. {_switch(option)} names one of them exactly"
        )
    return called[0] if called else None


def _switch(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _missing(missing: Mapping[str, str], found: Sequence[str], path: object, hint: str) -> str:
    """Returns the sentence about all columns that are missing, by the option that names each."""
    if any(f'"{column}"' in found for column in missing.values()):
        hint = ". --quoting reads fields in quotation marks"
    elif any(f'"{column}"' in [one.strip() for one in found] for column in missing.values()):
        hint = ". Take out the spaces before its quotation marks"
    columns = ", ".join(f"'{column}'" for column in missing.values())
    options = " and ".join(map(_switch, missing))
    name = f"option {options} names it" if len(missing) == 1 else f"options {options} name them"
    return f"{path} has no column {columns}; it has {_listed(found)}. The {name}{hint}"


def _refuse_repeated(column: str, found: Sequence[str], path: object) -> None:
    """Refuses a column whose name another one has too: which is meant is unknown."""
    same = [one for one in found if _NUMBERED.sub("", one).strip() == column.strip()]
    same = [one for one in same if one == column or _NUMBERED.search(one)]
    if len(same) > 1:
        raise DatasetError(
            f"{path} has {len(same)} columns '{column.strip()}'; rename all but one, or name the "
            "columns of a text by --header --columns"
        )


def _fitting(role: str, found: Sequence[str], schema: pl.Schema) -> list[str]:
    """Returns the columns with a usual name in any case, the preferred one first."""
    fitting = [name for usual in _USUAL[role] for name in found if name.strip().lower() == usual]
    if role != TIME:
        return fitting
    # A column that no option names is no reason to refuse the file.
    return [name for name in fitting if seconds_of(pl.col(name), schema[name]) is not None]


def _remark(doubts: Mapping[str, Sequence[str]], others: Sequence[str]) -> str:
    """Returns one line about the choice where several columns fit, or none."""
    parts = []
    if (fitting := doubts.get(PLAYS)) is not None:
        *some, last = _USUAL[PLAYS]
        parts.append(
            _taken("plays", fitting)
            if fitting
            else "each row counts as one play, since no column is called "
            f"{', '.join(some)} or {last}"
        )
    if (fitting := doubts.get(TIME)) is not None and (fitting or others):
        parts.append(
            _taken("times", fitting)
            if fitting
            else "no times are read, since no column is called timestamp"
        )
    if not parts:
        return ""
    rest = f"the file also has {_listed(others)}" if others else "the file has no other columns"
    names = [f"--{_OPTIONS[role].replace('_', '-')}" for role in _USUAL if role in doubts]
    choice = others or any(doubts.values())
    advice = f" ({' and '.join(names)} would name another one)" if choice else ""
    return f"{'; '.join(parts)}; {rest}{advice}"


def _taken(what: str, fitting: Sequence[str]) -> str:
    taken, *also = fitting
    fits = "fits" if len(also) == 1 else "fit"
    return f"{what} are read from the column '{taken}', and {_listed(also)} {fits} as well"


def _listed(columns: Sequence[str]) -> str:
    # Of columns with the same name, the parser adds a number to all but the first.
    shown = ", ".join(repr(shorten(_NUMBERED.sub("", name))) for name in columns[:_SHOWN])
    return f"{shown} and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else shown
