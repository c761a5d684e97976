"""Common parts of the datasets that hold what single accounts exported."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from app.model.id_map import MAX_ID_BYTES
from training.datasets.reading.encoding import Encoded
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import SourceFile
from training.datasets.reading.sources import shorten
from training.datasets.reading.time_form import DECISIVE, TimeForm, other_meaning, remedy
from training.datasets.reading.times import REASON_PERIOD, REASON_TIME
from training.errors import DatasetError

NAME_PREFIX: Final = "name:"
REASON_REPEATED: Final = "the same play as in another file"
# The id of the only user where nothing names one.
ONLY_USER: Final = "me"


@dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """Options of exports of accounts."""

    user_id: str | None = None
    "Id of the user, where the data are those of one account. Default: `me` (spotify, \
listenbrainz), the name of the file (lastfm-export)."


def account_of(file: SourceFile, inner: re.Pattern[str]) -> str | None:
    """Returns the folder, or the archive without its ending, that an account's file lies in.

    Args:
        file: the file.
        inner: names of folders that a download itself has, in lower case.

    Returns:
        The name; None for a file that lies directly in what was given.

    Raises:
        DatasetError: it lies in a folder of a folder.
    """
    folders = [one for one in file.place.parent.parts if not inner.fullmatch(one.lower())]
    if len(folders) > 1:
        raise DatasetError(
            f"{file.shown} lies in the folders {' and '.join(folders)}, so it is unclear which is "
            "the user; give each account one folder, or one archive, in --data"
        )
    return folders[0] if folders else None


def name_users(users: Sequence[str | None], path: Path, options: AccountOptions) -> list[str]:
    """Returns the user ids of the files.

    Args:
        users: of each file, None where its place does not tell whose it is.
        path: the source, for messages.
        options: the id of the only user.

    Raises:
        DatasetError: an id is given for several accounts, or cannot be one, or it is unclear whose
            a file is.
    """
    found = sorted({user for user in users if user is not None})
    if options.user_id is not None:
        if len(set(users)) > 1:
            raise DatasetError(
                f"{path} holds {len(set(users))} accounts, and --user-id names only one user; "
                "leave it out, or give one account in --data"
            )
        return [_checked(options.user_id)] * len(users)
    if found and None in users:
        raise DatasetError(
            f"{path} holds files of an account both directly and in the folder '{found[0]}', so "
            "it is unclear whose they are; give each account a folder of its own"
        )
    return [ONLY_USER if user is None else user for user in users]


def _checked(user: str) -> str:
    if not user or len(user.encode(errors="surrogateescape")) > MAX_ID_BYTES:
        raise DatasetError(f"--user-id has to have 1 to {MAX_ID_BYTES} bytes")
    return user


def refuse_unusable(
    path: Path,
    rows: Rows,
    what: str,
    advice: str,
    examples: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuses a source without a usable row.

    Args:
        path: the source.
        rows: its rows.
        what: a row in words, in the plural.
        advice: the next step, for the message.
        examples: reason to one such value, its place, and what to do about it.

    Raises:
        DatasetError: no row is usable.
    """
    if rows.usable.any():
        return
    counts = rows.counts()
    if not counts.read:
        raise DatasetError(f"{path} holds no {what}. {advice}")
    why = "; ".join(
        f"{reason}: {count:,}" + (f", for example {examples[reason]}" if reason in examples else "")
        for reason, count in counts.dropped.items()
    )
    raise DatasetError(f"{path}: none of its {counts.read:,} {what} can be used ({why}). {advice}")


def listed(names: Collection[str], most: int = 3) -> str:
    """Returns some names for a message."""
    shown = ", ".join(sorted(names)[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def examples_of_times(
    encoded: Encoded,
    rows: Rows,
    files: Sequence[SourceFile],
    asked: TimeForm | None = None,
    *,
    takes_form: bool = False,
) -> Mapping[str, str]:
    """Returns the first time that is unreadable, and the first implausible one, as examples.

    Args:
        encoded: its columns ``written`` and ``file`` are a time as text and a position in
            ``files``.
        rows: its rows.
        files: the files.
        asked: the form of times that an option names.
        takes_form: whether the dataset has such an option, so that it may be a remedy.
    """
    examples = {}
    for reason, advise in ((REASON_TIME, remedy), (REASON_PERIOD, other_meaning)):
        marks = rows.dropped(reason)
        if marks.any():
            written = encoded.rest["written"]
            is_decisive = written.str.contains(DECISIVE).to_numpy() & marks
            row = int((is_decisive if is_decisive.any() else marks).argmax())
            file = files[encoded.rest["file"][row]]
            advice = advise(written[row], asked) if takes_form else ""
            where = f"'{shorten(written[row])}' in {file.name}"
            examples[reason] = f"{where}; {advice}" if advice else where
    return examples
