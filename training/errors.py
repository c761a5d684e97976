"""The exceptions of the offline side.

EncoreError
├── DatasetError        a dataset cannot be read: which file, what is wrong, what to do
├── DownloadError       a dataset cannot be fetched: which file to put where instead
├── TrainingError       the data are read but cannot be trained on as asked
│   ├── NothingToMeasure    they can be trained on, but not split or measured
│   ├── SearchMismatch      a search cannot go on: its file belongs to another one
│   └── TimesMissing        the time of each record is needed, and the data do not tell it
└── WriteError          a result cannot be written: where, why, what to do
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.errors import EncoreError


class DatasetError(EncoreError):
    """A dataset cannot be read."""


class DownloadError(EncoreError):
    """A dataset cannot be fetched, or what came is not what was announced."""


class TrainingError(EncoreError):
    """The data cannot be trained on as asked, for instance because filters leave nothing."""


class NothingToMeasure(TrainingError):
    """The data are too few for a test part, or for lists of the length that is measured."""


class SearchMismatch(TrainingError):
    """A search was asked to go on with other data, another space or another objective.

    Args:
        state: the file of the search.
        other: what differs, by name.
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
            "go on as it was begun, or name another file"
        )


class TimesMissing(TrainingError):
    """Something needs to know when each record was played, which the data do not tell.

    Args:
        what: what needs the times; the message begins with it.
        otherwise: what helps besides other data; the message ends with it.
    """

    def __init__(self, what: str, otherwise: str) -> None:
        super().__init__(what, otherwise)
        self._what, self._otherwise = what, otherwise

    def __str__(self) -> str:
        return self.naming("")

    def naming(self, datasets: str) -> str:
        """Returns the message with what is said of datasets that have times, in brackets."""
        known = f" ({datasets})" if datasets else ""
        return (
            f"{self._what} needs to know when each record was played, which these data do not "
            f"tell; take a dataset with times{known}{self._otherwise}"
        )


class WriteError(EncoreError):
    """A result cannot be written.

    Args:
        path: where to.
        error: what went wrong there.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        super().__init__(
            f"{path} cannot be written: {reason}. Make room or name another place; "
            "nothing half-written was left"
        )
