"""The exceptions of the offline side.

EncoreError (``app.errors``)
├── DatasetError        a dataset cannot be read: which file, what is wrong, what to do
├── DownloadError       a dataset cannot be fetched: which file to put where instead
├── TrainingError       what was asked for cannot be done: options, files or data do not allow it
│   ├── NothingToMeasure    the data can be trained on, but not split or measured
│   ├── SearchMismatch      a search cannot go on: its file belongs to another search
│   └── TimesMissing        the time of each record is needed, and the data do not have it
└── WriteError          a result cannot be written: where, why, what to do
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.errors import EncoreError


class DatasetError(EncoreError):
    """A dataset cannot be read."""


class DownloadError(EncoreError):
    """A dataset cannot be fetched, or the file that came is not the published one."""


class TrainingError(EncoreError):
    """An option, a file or the data do not allow what was asked for.

    For instance two options contradict each other, or the filters leave nothing to train on.
    """


class NothingToMeasure(TrainingError):
    """The data are too few for a test part, or for lists of the measured length."""


class SearchMismatch(TrainingError):
    """A search was to go on with other data, another space or another objective.

    Args:
        state: the file of the search.
        other: names of the differences.
    """

    def __init__(self, state: Path, other: Sequence[str]) -> None:
        words = {
            "data": "on other data (or another split of them)",
            "space": "in another space",
            "start": "from another start",
            "k": "with another --k",
            "users": "with another number of validation users",
            "seed": "with another --seed",
        }
        super().__init__(
            f"{state} belongs to a search {' and '.join(words[name] for name in other)}; "
            "repeat the command with which it was begun, or name another file"
        )


class TimesMissing(TrainingError):
    """Something needs the time of each record, and the data do not have it.

    Args:
        what: the part that needs the times; the message begins with it.
        otherwise: another way out than other data; the message ends with it.
    """

    def __init__(self, what: str, otherwise: str) -> None:
        super().__init__(what, otherwise)

    def __str__(self) -> str:
        return self.naming("")

    def naming(self, datasets: str) -> str:
        """Returns the message, with the datasets that have times in brackets."""
        what, otherwise = self.args
        known = f" ({datasets})" if datasets else ""
        return (
            f"{what} needs the time of each record, which these data do not have; take a "
            f"dataset with times{known}{otherwise}"
        )


class WriteError(EncoreError):
    """A result cannot be written.

    Args:
        path: the file or folder.
        error: the error of the system.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        super().__init__(
            f"{path} cannot be written: {reason}. Make room or name another place; "
            "nothing half-written was left"
        )
