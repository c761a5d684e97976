"""The exceptions of the service, one class for each situation a caller treats differently.

    EncoreError
    ├── InvalidId           an id that no part of Encore can carry
    ├── InvalidArtifact     a published model that cannot be trusted
    ├── ModelNotFound       no such version, or no version at all
    ├── ReportNotFound      a model that was published without a report
    ├── ReportUnavailable   a report that is gone, or not the published one
    ├── ModelUnavailable    a request came while no usable model is loaded
    ├── Overloaded          more requests wait for scoring than may
    ├── StoreUnavailable    the event store cannot be read or written now
    ├── EventConflict       events whose ids belong to others
    ├── UnknownUser         strategy ``als`` for somebody without usable history
    ├── Unauthorized        a protected call without the right key
    └── InvalidSettings     settings that cannot be used, so that nothing is started

Messages say what was wrong, where, and what to do.
"""

from __future__ import annotations

from pathlib import Path


class EncoreError(Exception):
    """Base of every error that Encore raises on purpose."""


class InvalidId(EncoreError, ValueError):
    """An id that is no byte-exact UTF-8 text of at most 256 bytes."""


class InvalidArtifact(EncoreError):
    """A file of a published model is not what its manifest says.

    Args:
        path: the file in question.
        expected: what the manifest or the format asks for.
        found: what is there.
    """

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"{path}: expected {expected}, found {found}. "
            "Train again, or point models/current at another version."
        )


class ModelNotFound(EncoreError):
    """A version, or any version, is missing from the models folder."""


class ReportNotFound(EncoreError):
    """The model was published without a report."""


class ReportUnavailable(EncoreError):
    """The report of a model is gone, or not the one that was published."""


class ModelUnavailable(EncoreError):
    """No usable model is loaded yet."""


class Overloaded(EncoreError):
    """Too many requests wait for live scoring, or this one has waited too long."""


class StoreUnavailable(EncoreError):
    """The event store cannot be read or written now.

    Args:
        reason: the kind of trouble, one word for metrics: locked, full, corrupt, unreachable…
        detail: what went wrong, and what to do.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class EventConflict(EncoreError):
    """All events of a request have ids that belong to events with another content."""


class UnknownUser(EncoreError):
    """Somebody of whom nothing is known, or not what the call needs."""


class Unauthorized(EncoreError):
    """The API key is missing or wrong."""


class InvalidSettings(EncoreError):
    """The settings contradict each other or are out of range."""
