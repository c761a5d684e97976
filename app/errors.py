"""The exceptions of the service, one class for each situation a caller treats differently.

    EncoreError
    ├── InvalidId           an id that is not valid UTF-8 or too long; also a ValueError
    ├── InvalidArtifact     a published model whose files do not match its manifest
    ├── ModelNotFound       no such version in the models folder, or no version at all
    ├── ReportNotFound      a model that was published without a report
    ├── ReportUnavailable   a report that is missing or differs from the published one
    ├── ModelUnavailable    no usable model is loaded, or the named one cannot be served
    ├── Overloaded          too many requests or events wait, or the service is ending
    ├── StoreUnavailable    the event store cannot be read or written now
    ├── EventConflict       all events have ids that belong to different stored events
    ├── UnknownUser         a user without the history or the events that a call needs
    ├── Unauthorized        a protected call without the right API key
    ├── HostNotAllowed      a request that was sent to a host that the service does not answer to
    ├── OriginNotAllowed    a request that a web page of a foreign origin has sent
    └── InvalidSettings     settings that are invalid, so that the service does not start

Messages say what was wrong, where, and what to do. ``app.http.problems`` has the HTTP status of
each class.
"""

from __future__ import annotations

from pathlib import Path


class EncoreError(Exception):
    """Base of every error that Encore raises on purpose."""


class InvalidId(EncoreError, ValueError):
    """An id is not valid UTF-8, or longer than 256 bytes."""


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
    """The models folder has no such version, or no version at all."""


class ReportNotFound(EncoreError):
    """The model was published without a report."""


class ReportUnavailable(EncoreError):
    """The report of a model is missing, or differs from the published one."""


class ModelUnavailable(EncoreError):
    """No usable model is loaded, or the one that the pointer names cannot be served."""


class Overloaded(EncoreError):
    """Too many requests or events are waiting, or one has waited too long."""


class StoreUnavailable(EncoreError):
    """The event store cannot be read or written now.

    Args:
        reason: the kind of failure, one word for metrics: locked, full, corrupt, unreachable…
        detail: what went wrong, and what to do.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class EventConflict(EncoreError):
    """All events of a request have ids that belong to stored events with different content."""


class UnknownUser(EncoreError):
    """A user has no history and no events, or not those that the call needs."""


class Unauthorized(EncoreError):
    """The API key is missing or wrong."""


class HostNotAllowed(EncoreError):
    """A request was sent to a host that the service does not answer to."""


class OriginNotAllowed(EncoreError):
    """A request was sent by a web page of an origin that may not call the service."""


class InvalidSettings(EncoreError):
    """The settings contradict each other or are out of range."""
