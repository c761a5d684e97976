"""The exceptions of the offline side.

EncoreError
├── DatasetError        a dataset cannot be read: which file, what is wrong, what to do
├── DownloadError       a dataset cannot be fetched: which file to put where instead
└── TrainingError       the data are read but cannot be trained on as asked
"""

from __future__ import annotations

from app.errors import EncoreError


class DatasetError(EncoreError):
    """A dataset cannot be read."""


class DownloadError(EncoreError):
    """A dataset cannot be fetched, or what came is not what was announced."""


class TrainingError(EncoreError):
    """The data cannot be trained on as asked, for instance because filters leave nothing."""
