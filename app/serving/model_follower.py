"""The model follower: serves the version that ``models/current`` names, or the newest usable one.

A version is verified before it serves. Only a service without any model starts with a large one
before that. A version that is damaged, changed or deadly is set aside, and another takes its place.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from queue import Empty
from typing import Final

from app.artifacts.footprint import Footprint
from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from app.errors import EncoreError, ModelUnavailable
from app.events.event_types import DEFAULT_RULES, EventRules
from app.recommend.in_service import InService
from app.recommend.ladder import Recommender
from app.serving.deaths import Deaths, OwnSlot, own_slot
from app.serving.doubts import Doubts
from app.serving.leases import BEING_WRITTEN, Leases, Resting, Wakeups, listen, stop_listening
from app.serving.model_verifier import Candidate, Failure, Served, Verification, Verifier
from app.serving.set_aside import SetAside

_CLOSE_SECONDS: Final = 2.0
# A call to reload waits so long for the checksums of a large model; they go on being compared.
_RELOAD_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


class ModelFollower:
    """Holds the recommender in service and exchanges it when another version becomes current.

    A request takes ``recommender`` once and uses it until its end.

    Args:
        models: the models folder; it need not exist yet.
        poll_seconds: time between two looks at the pointer and at the files in service.
        verify_bytes: up to this size a model is verified at once, above it in the background.
        rules: how many units each type of event counts.
        slot: where this worker notes its version, and reads of the deaths of others.

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
        slot: OwnSlot | None = None,
    ) -> None:
        self._rules = rules
        self._models = models
        self._poll_seconds = poll_seconds
        self._verify_bytes = verify_bytes
        self._doubts = Doubts(slot or own_slot())
        self.in_service: Final = InService()
        self._served: Served | None = None
        self._set_aside = SetAside(models.footprint)
        self._wanted: str | None = None
        self._complaint = ""
        self._lock = threading.Lock()
        self._resting = Resting()
        self._closed = threading.Event()
        # Ends the pause between two looks.
        self._wakeups: Wakeups = Wakeups()
        self._poller: threading.Thread | None = None
        self._verifier = Verifier(models, self._verified, self._closed)

    @property
    def recommender(self) -> Recommender:
        """The recommender in service.

        Raises:
            ModelUnavailable: there is none, with the reason and what to do.
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

    @property
    def wanted(self) -> str | None:
        """The version that the pointer named at the last look; None where it names none."""
        return self._wanted

    @property
    def is_verified(self) -> bool:
        """Whether the version in service has been verified."""
        served = self._served
        return served is not None and served.is_verified

    @property
    def deaths(self) -> Deaths:
        """The deaths of workers since the service started."""
        return self._doubts.deaths

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the model in service, a sentence each."""
        served, found = self._served, []
        if reason := self._reason():
            instead = f"Version {served.version} serves." if served else "No model serves."
            found.append(f"{reason} {instead}")
        if served and not served.is_verified:
            found.append(
                f"Version {served.version} serves while its checksums are being compared, since "
                "there was no other."
            )
        return found

    def start(self) -> None:
        """Opens the current version, if there is one, and begins to follow the pointer."""
        listen(self._wakeups)
        self._check()
        self._poller = threading.Thread(target=self._poll, name="model-follower", daemon=True)
        self._poller.start()

    def close(self) -> None:
        """Stops following and drops the model; may be called twice."""
        self._closed.set()
        self._wakeups.put(None)
        stop_listening(self._wakeups)
        if self._poller:
            # A disk that hangs may hold it for longer than this; then it ends by itself. It may
            # hold the lock, so the lock is not taken here.
            self._poller.join(_CLOSE_SECONDS)
        self._verifier.close(_CLOSE_SECONDS)
        self.in_service.put(None)
        self._doubts.serving(None)
        self._rest()
        self._resting.release(at_once=True)
        self._served = self._poller = None

    def reload(self) -> str:
        """Looks at the pointer now; verifies its version again, refused before or in service.

        Returns:
            The version in service.

        Raises:
            ModelUnavailable: the version that the pointer names cannot be served; another one
                stays in service.
        """
        self._check(at_once=True)
        self._verifier.join(_RELOAD_SECONDS)
        with self._lock:
            reason, served = self._reason(), self.version
        if served is None:
            raise ModelUnavailable(self._hint())
        if reason:
            raise ModelUnavailable(f"{reason} Version {served} stays in service.")
        return served

    def _poll(self) -> None:
        while True:
            with suppress(Empty):
                self._wakeups.get(timeout=self._resting.wait_at_most(self._poll_seconds))
            if self._closed.is_set():
                return
            try:
                self._resting.release()
                self._check()
            except Exception:
                logger.exception("could not look at %s", self._models)

    def _check(self, *, at_once: bool = False) -> None:
        with self._lock:
            self._look_at_deaths()
            self._look_at_leases()
            self._look_at_files(at_once=False)
            self._read_pointer()
            wanted = self._wanted
            if self.version is not None:
                self._verifier.cancel_others({wanted, self.version})
            if wanted is not None and wanted == self.version:
                self._set_aside.forget(wanted)
                if at_once:
                    self._look_at_files(at_once=True)
            elif wanted is not None and (at_once or self._set_aside.is_due(wanted)):
                if at_once:
                    self._doubts.forgive(wanted)
                self._take(wanted)
            if self.version is None:
                self._fall_back()

    def _read_pointer(self) -> None:
        try:
            self._wanted = self._models.current()
        except (EncoreError, OSError) as error:
            reason = f"{error}."
            if reason != self._complaint:
                logger.error("the current model is unknown: %s", reason)
            self._complaint = reason
            return
        self._complaint = ""

    def _look_at_deaths(self) -> None:
        """Doubts versions that ended workers; sets one aside that did so again and again."""
        served, deadly = self._served, self._doubts.look()
        if served is None or served.version not in deadly:
            return
        if reason := self._doubts.deadliness(served.version):
            self._take_out(Failure(reason, is_certain=False), served.footprint)
        else:
            self._verify_served(served)

    def _look_at_leases(self) -> None:
        """Serves another version where somebody waits to write to the one in service."""
        served = self._served
        if served is None or not served.leases.are_wanted_back():
            return
        failure = Failure(f"{self._models.place_of(served.version)} is {BEING_WRITTEN}.", False)
        self._reject(served.version, failure, served.footprint)
        # Until the lease is given back the files are as they were, so there need be no gap.
        self._fall_back()
        if self.version == served.version:
            self._take_out(failure, served.footprint)

    def _look_at_files(self, *, at_once: bool) -> None:
        """Looks whether files in service were written to; verifies them again if so."""
        served = self._served
        if served is None:
            return
        now = self._models.footprint(served.version)
        if shrunk := served.footprint.shrunk(now):
            place = self._models.place_of(served.version) / shrunk[0]
            reason = f"{place} became shorter while it was in service."
            self._take_out(Failure(reason, is_certain=True), now)
        elif at_once or served.footprint.written(now):
            self._verify_served(served)

    def _verify_served(self, served: Served) -> None:
        version = served.version
        if served.is_large:
            self._verifier.later(version, None)
            return
        footprint = self._models.footprint(version)
        self._judge_served(footprint, self._verifier.failure(version))

    def _judge_served(self, footprint: Footprint, failure: Failure | None) -> None:
        """Takes the result of a verification of the version in service."""
        served = self._served
        if served is None:
            return
        if failure is None:
            self._served = replace(served, footprint=footprint, is_verified=True, doubt="")
            self._set_aside.forget(served.version)
        elif failure.is_certain:
            self._take_out(failure, footprint)
        else:
            # Files that are gone or cannot be read are not damaged, and it has them mapped.
            if failure.reason != served.doubt:
                logger.error("model %s cannot be verified: %s", served.version, failure.reason)
            self._served = replace(served, footprint=footprint, doubt=failure.reason)

    def _take(self, version: str) -> None:
        """Opens a version and puts it into service, verifies it later, or sets it aside."""
        if self._verifier.is_at(version):
            return
        footprint = self._models.footprint(version)
        if reason := self._doubts.deadliness(version):
            self._reject(version, Failure(reason, is_certain=False), footprint)
            return
        with self._doubts.opening(version, self.version):
            try:
                model = self._models.open(version)
                is_large = total_bytes(model.card) > self._verify_bytes
                candidate = Candidate(model, footprint, is_large)
                if is_large and (self.version or version in self._doubts):
                    self._verifier.later(version, candidate)
                    return
                failure = None if is_large else self._verifier.failure(version)
                if failure is None:
                    _ = model.catalogue  # computed here, so that no request waits for it
            except Exception as error:
                failure = self._verifier.failure_of(version, error)
            if failure is not None:
                self._reject(version, failure, footprint)
                return
            self._put(candidate, is_verified=not is_large)
            if is_large:
                self._verifier.later(version, None)

    def _fall_back(self) -> None:
        """Serves another version in the place of the one in service, or of the current one.

        A folder without a pointer has no current version, and nothing takes its place.
        """
        former = self.version
        if self._wanted is None and not self._complaint:
            return
        for version in self._models.substitutes(self._wanted):
            if version != former and self._set_aside.is_due(version):
                self._take(version)
                if self.version != former:
                    return

    def _put(self, candidate: Candidate, *, is_verified: bool) -> None:
        if self._closed.is_set():
            return
        version, footprint = candidate.model.version, candidate.footprint
        leases = Leases.take(self._models.files(version), self._models.path)
        if leases is None or footprint != self._models.footprint(version):
            if leases:
                leases.release()
            reason = f"{self._models.place_of(version)} is {BEING_WRITTEN}."
            self._reject(version, Failure(reason, is_certain=False), footprint)
            return
        former = self.in_service.put(Recommender(candidate.model, rules=self._rules))
        self._rest()
        self._served = Served(version, footprint, leases, candidate.is_large, is_verified)
        self._doubts.serving(version)
        self._set_aside.forget(version)
        previous = former and former.model.version
        logger.info("serving model %s%s", version, f" instead of {previous}" if previous else "")

    def _rest(self) -> None:
        """Leaves the leases of the former version in place while requests may still read it."""
        if self._served:
            self._resting.add(self._served.leases)

    def _take_out(self, failure: Failure, footprint: Footprint) -> None:
        """Takes the version in service out of it; the next step is to fall back."""
        served = self._served
        if served is None:
            return
        self.in_service.put(None)
        self._rest()
        self._served = None
        self._doubts.serving(None)
        self._reject(served.version, failure, footprint)

    def _reject(self, version: str, failure: Failure, footprint: Footprint) -> None:
        self._doubts.add(version)
        reason, is_certain = failure.reason, failure.is_certain
        if self._set_aside.add(version, reason, footprint, is_certain=is_certain):
            serving = self.version
            stays = "another one is looked for"
            if serving != version:
                stays = f"version {serving} stays in service" if serving else "no model serves"
            logger.error("model %s is not usable: %s (%s)", version, reason, stays)

    def _verified(self, verification: Verification, failure: Failure | None) -> None:
        """Takes the result of a verification in the background."""
        version, candidate = verification.version, verification.candidate
        if candidate and failure is None:
            _ = candidate.model.catalogue
        with self._lock:
            if self._closed.is_set() or not self._verifier.finish(verification):
                return
            if failure is None:
                logger.info("the checksums of model %s agree", version)
            if version == self.version:
                self._judge_served(verification.footprint, failure)
            elif failure is not None:
                self._reject(version, failure, verification.footprint)
            elif candidate and (version == self._wanted or self.version is None):
                self._put(candidate, is_verified=True)
            if self.version is None:
                self._fall_back()

    def _reason(self) -> str:
        """Returns why the version that the pointer names does not serve; nothing if it does."""
        if self._complaint:
            return self._complaint
        served = self._served
        if served and served.version == self._wanted:
            return served.doubt
        return self._set_aside.reason(self._wanted)

    def _hint(self) -> str:
        command = f"python -m training train --dataset NAME --data PATH --models {self._models}"
        if reason := self._reason():
            return f"no model is usable: {reason} A new one comes from `{command}`"
        return (
            f"no model is published in {self._models}: run `{command}`; "
            "it is served as soon as it is there"
        )
