"""The model follower: opens the version that ``models/current`` names, and refuses broken ones."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Final

from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from app.errors import EncoreError, ModelUnavailable
from app.events.event_types import DEFAULT_RULES, EventRules
from app.recommend.in_service import InService
from app.recommend.ladder import Recommender

_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Rejection:
    """A version that could not be used, and when to try it again."""

    version: str
    reason: str
    wait_seconds: float
    retry_at: float


class ModelFollower:
    """Holds the recommender in service and exchanges it when another version becomes current.

    A request takes ``recommender`` once and uses it until its end.

    Args:
        models: the models folder; it need not exist yet.
        poll_seconds: time between two looks at the pointer.
        verify_bytes: up to this size a model's checksums are compared before it serves, above it
            in the background.
        rules: how many units each type of event counts.

    Attributes:
        in_service: holds the recommender; availability and newcomers are updated there, too.
    """

    def __init__(
        self,
        models: ModelsFolder,
        *,
        poll_seconds: float,
        verify_bytes: int,
        rules: EventRules = DEFAULT_RULES,
    ) -> None:
        self._rules = rules
        self._models = models
        self._poll_seconds = poll_seconds
        self._verify_bytes = verify_bytes
        self.in_service: Final = InService()
        # The last recommender whose checksums agreed, to fall back to.
        self._verified: Recommender | None = None
        self._rejection: _Rejection | None = None
        # Versions whose checksums differed once; they are compared before such a version serves.
        self._distrusted: set[str] = set()
        self._complaint = ""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._poller: threading.Thread | None = None
        self._verifiers: list[threading.Thread] = []

    @property
    def recommender(self) -> Recommender:
        """The recommender in service.

        Raises:
            ModelUnavailable: there is none; the message says why, and what to do.
        """
        serving = self.in_service.recommender
        if serving is None:
            raise ModelUnavailable(self._hint())
        return serving

    @property
    def version(self) -> str | None:
        """The version in service."""
        serving = self.in_service.recommender
        return serving.model.version if serving else None

    def start(self) -> None:
        """Opens the current version, if there is one, and begins to follow the pointer."""
        self._check()
        self._poller = threading.Thread(target=self._poll, name="model-follower", daemon=True)
        self._poller.start()

    def close(self) -> None:
        """Stops following and drops the model; may be called twice."""
        self._closed.set()
        for thread in filter(None, (self._poller, *self._verifiers)):
            # Comparing the checksums of a huge model takes longer than this waits; its thread ends
            # by itself. It may hold the lock, so the lock is not taken here.
            thread.join(_CLOSE_SECONDS)
        self.in_service.put(None)
        self._verified = self._poller = None
        self._verifiers = []

    def reload(self) -> str:
        """Looks at the pointer now, also at a version that was rejected before.

        Returns:
            The version in service.

        Raises:
            ModelUnavailable: the version that the pointer names cannot be served; the former one
                stays in service.
        """
        self._check(at_once=True)
        with self._lock:
            reason = self._complaint or (self._rejection.reason if self._rejection else "")
            served = self.version
        if served is None:
            raise ModelUnavailable(self._hint())
        if reason:
            raise ModelUnavailable(f"{reason} Version {served} stays in service.")
        return served

    def _poll(self) -> None:
        while not self._closed.wait(self._poll_seconds):
            try:
                self._check()
            except Exception:
                logger.exception("could not look at %s", self._models)

    def _check(self, *, at_once: bool = False) -> None:
        with self._lock:
            try:
                version = self._models.current()
            except (EncoreError, OSError) as error:
                self._complain(f"{error}.")
                return
            self._complaint = ""
            if version is None or version == self.version:
                self._rejection = None
            elif at_once or self._is_due(version):
                self._take(version)

    def _is_due(self, version: str) -> bool:
        rejection = self._rejection
        if rejection is None or rejection.version != version:
            return True
        return time.monotonic() >= rejection.retry_at

    def _take(self, version: str) -> None:
        """Opens a version and puts it into service, or records why that is not possible."""
        models = self._models
        try:
            size = total_bytes(models.manifest(version))
            model = models.open(version)
            verify_now = size <= self._verify_bytes or version in self._distrusted
            if verify_now:
                models.verify(version, with_report=False)
            _ = model.catalogue  # computed here, so that no request waits for it
        except EncoreError as error:
            self._reject(version, str(error))
            return
        except Exception as error:
            logger.debug("version %s", version, exc_info=True)
            self._reject(version, f"{models.place_of(version)}: {error!r}.")
            return
        if self._closed.is_set():
            return
        recommender = Recommender(model, rules=self._rules)
        former = self.in_service.put(recommender)
        previous = former and former.model.version
        self._rejection = None
        if verify_now:
            self._verified = recommender
        else:
            if former and self._verified and former.model is self._verified.model:
                self._verified = former  # with its latest availability and newcomers
            self._verify_later(version)
        logger.info("serving model %s%s", version, f" instead of {previous}" if previous else "")

    def _reject(self, version: str, reason: str) -> None:
        last = self._rejection
        again = last is not None and last.version == version
        wait = (
            min(2 * last.wait_seconds, _LONGEST_RETRY_SECONDS)
            if last and again
            else (_FIRST_RETRY_SECONDS)
        )
        self._distrusted.add(version)
        self._rejection = _Rejection(version, reason, wait, time.monotonic() + wait)
        if last is None or (last.version, last.reason) != (version, reason):
            stays = (
                f"version {self.version} stays in service" if self.version else "no model serves"
            )
            logger.error("model %s is not usable: %s (%s)", version, reason, stays)

    def _complain(self, reason: str) -> None:
        if reason != self._complaint:
            logger.error("the current model is unknown: %s", reason)
        self._complaint = reason

    def _verify_later(self, version: str) -> None:
        thread = threading.Thread(
            target=self._verify, args=(version,), name="model-verifier", daemon=True
        )
        self._verifiers = [old for old in self._verifiers if old.is_alive()] + [thread]
        thread.start()

    def _verify(self, version: str) -> None:
        """Compares the checksums of the version in service; takes it out if they differ."""
        reason = ""
        try:
            self._models.verify(version, with_report=False)
        except Exception as error:
            reason = str(error) or repr(error)
        with self._lock:
            if self._closed.is_set() or self.version != version:
                return  # another version is in service by now
            if not reason:
                self._verified = self.in_service.recommender
                logger.info("the checksums of model %s agree", version)
                return
            self.in_service.put(self._verified)
            self._reject(version, reason)

    def _hint(self) -> str:
        command = f"python -m training train --dataset NAME --data PATH --models {self._models}"
        if reason := self._complaint or (self._rejection.reason if self._rejection else ""):
            return f"no model is usable: {reason} A new one comes from `{command}`"
        return (
            f"no model is published in {self._models}: run `{command}`; "
            "it is served as soon as it is there"
        )
