"""Verifies versions: at once, or large ones in the background, in a thread for each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.artifacts.footprint import Footprint
from app.artifacts.models_folder import ModelsFolder
from app.errors import EncoreError
from app.model.model import Model
from app.serving.leases import Leases

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that is open and not yet in service.

    Attributes:
        model: the model.
        footprint: of its files before they were opened.
        is_large: whether it is verified in the background.
    """

    model: Model
    footprint: Footprint
    is_large: bool


@dataclass(frozen=True, slots=True)
class Served:
    """The version in service.

    Attributes:
        version: the version.
        footprint: of the files that are mapped.
        leases: on those files, where they can be had.
        is_large: whether it is verified in the background.
        is_verified: whether it has been verified.
        doubt: why it could not be verified again; empty where it could.
    """

    version: str
    footprint: Footprint
    leases: Leases
    is_large: bool
    is_verified: bool
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version cannot be used.

    Attributes:
        reason: a sentence.
        is_certain: whether it cannot be used as long as its files stay the same; else reading
            failed, and may succeed later.
    """

    reason: str
    is_certain: bool


@dataclass(slots=True)
class Verification:
    """The verification of a large version.

    Attributes:
        version: the version.
        footprint: of its files before it began.
        candidate: what is put into service in the end; None for the version in service.
        cancelled: set once nobody needs the result.
        thread: its thread.
    """

    version: str
    footprint: Footprint
    candidate: Candidate | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Verifier:
    """Verifies versions; not for several threads at once, but for ``failure`` and ``join``.

    Args:
        models: the models folder.
        done: called with the result of each verification in the background, in its thread.
        closed: ends a verification that is under way.
    """

    def __init__(
        self,
        models: ModelsFolder,
        done: Callable[[Verification, Failure | None], None],
        closed: threading.Event,
    ) -> None:
        self._models = models
        self._done = done
        self._closed = closed
        self._at: dict[str, Verification] = {}

    def is_at(self, version: str) -> bool:
        """Says whether a version is being verified in the background."""
        return version in self._at

    def failure(self, version: str, stop: threading.Event | None = None) -> Failure | None:
        """Verifies a version now; returns why it cannot be used, None if it is as published."""
        cancelled = (stop or self._closed).is_set
        try:
            self._models.verify(version, with_report=False, cancelled=cancelled)
        except Exception as error:
            return self.failure_of(version, error)
        return None

    def failure_of(self, version: str, error: Exception) -> Failure:
        """Returns what an exception says about a version."""
        if isinstance(error, EncoreError):
            return Failure(str(error), not isinstance(error.__cause__, OSError))
        logger.debug("version %s", version, exc_info=error)
        return Failure(f"{self._models.place_of(version)}: {error!r}.", is_certain=False)

    def later(self, version: str, candidate: Candidate | None) -> None:
        """Begins to verify a version in the background, unless that is under way."""
        if version in self._at:
            return
        verification = Verification(version, self._models.footprint(version), candidate)
        verification.thread = threading.Thread(
            target=self._run, args=(verification,), name="model-verifier", daemon=True
        )
        verification.thread.start()
        self._at[version] = verification

    def finish(self, verification: Verification) -> bool:
        """Ends a verification; returns whether its result is still needed."""
        if verification.cancelled.is_set():
            return False
        self._at.pop(verification.version, None)
        return True

    def cancel_others(self, needed: Collection[str | None]) -> None:
        """Ends the verifications of versions that nobody wants any more."""
        for version in [one for one in self._at if one not in needed]:
            self._at.pop(version).cancelled.set()

    def close(self, seconds: float) -> None:
        """Ends all verifications, and waits for them for at most so long."""
        for verification in self._at.values():
            verification.cancelled.set()
        self.join(seconds)
        self._at = {}

    def join(self, seconds: float) -> None:
        """Waits for verifications that are under way, for at most so long."""
        deadline = time.monotonic() + seconds
        for verification in list(self._at.values()):
            if verification.thread:
                verification.thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, verification: Verification) -> None:
        failure = self.failure(verification.version, verification.cancelled)
        if not verification.cancelled.is_set():
            self._done(verification, failure)
