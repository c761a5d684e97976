"""The keeper: opens the event store, follows it, and detects when it works again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from app.errors import StoreUnavailable
from app.serving.journal.current_store import CurrentStore, Opened
from app.serving.journal.tracker import StoreTracker
from app.serving.journal.troubles import Troubles
from app.store.course import OffCourse
from app.store.interface import EventStore
from app.store.stamps import Stamps

_POLL_SECONDS: Final = 0.25
_REOPEN_SECONDS: Final = 1.0
# How often a store is looked at that seems to be behind, and is not when nobody writes.
_ATTEMPTS: Final = 3
# Other writers hold a lock for some milliseconds, and let others write in between.
_PASSING_SECONDS: Final = 1.0
_WAITING_SECONDS: Final = 1.0
_BACK: Final = (
    "the event store is not what it was: {0}. It was restored from an older copy, a standby took "
    "over that lacks the last events, or another store is at its address. What only the former one "
    "had is lost, although it was acknowledged: send it again, or import an export{1}. Whatever is "
    "stored now counts. `python -m training events renew` ends this message"
)
_ERASED: Final = ", and erase {0} users again, whose erasure it does not know"
_BEHIND: Final = (
    "the event store shows readers less than writers, as a standby does that lags behind; name the "
    "primary"
)
_WAITING: Final = StoreUnavailable(
    "waiting",
    "the event store has let the last events wait for more than a second so far: another session "
    "holds a lock, or its server or disk is slow",
)

logger = logging.getLogger(__name__)


class Keeper:
    """A thread that regularly reads what others have stored.

    Args:
        open_store: opens the store; tried again until it succeeds.
        current: gets the open store.
        tracker: gets the news of the store.
        troubles: gets failures, which are cleared when the store works again.
        closing: ends the thread when set.
    """

    def __init__(
        self,
        open_store: Callable[[], EventStore],
        current: CurrentStore,
        tracker: StoreTracker,
        troubles: Troubles,
        closing: threading.Event,
    ) -> None:
        self._open_store = open_store
        self._current = current
        self._tracker = tracker
        self._troubles = troubles
        self._closing = closing
        # One thread at a time looks at the store, and begins anew with it.
        self._looking = threading.Lock()
        self._probed_at = float("-inf")
        # The number of the last event and the time at which a probe first found the store locked.
        self._locked: tuple[int, float] | None = None
        self._thread = threading.Thread(target=self._run, name="store-keeper", daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Waits until the thread has ended, for ``seconds`` at most."""
        if self._thread.is_alive():  # it never started if opening failed unexpectedly
            self._thread.join(seconds)

    def open(self) -> None:
        """Opens the store and hands it over; records the failure if that is not possible."""
        with ExitStack() as undo:
            try:
                store = self._open_store()
                undo.callback(store.close)
                first = Opened(store, Stamps(store.place))
                undo.callback(first.stamps.close)
                with self._looking:
                    opened, off = self._begun(first)
                undo.callback(opened.stamps.close)
            except StoreUnavailable as error:
                self._troubles.note("open", error)
                return
            if self._closing.is_set():
                return  # the closing thread may no longer wait, and would not close this store
            undo.pop_all()
        if opened is not first:
            first.stamps.close()
        self._current.put(opened)
        self._tell(off)
        self._troubles.clear("open")
        self._check_writing(store)

    def follow(self) -> None:
        """Reads what others have stored; begins anew with a store that is not what was seen.

        Raises:
            StoreUnavailable: the store cannot be read; or it went back, and cannot be written.
        """
        with self._looking:
            opened = self._current.opened
            if opened is not None:
                begun, off = self._begun(opened)
                if begun is opened:
                    return
                if self._current.opened is opened:
                    self._current.put(begun)
                    self._tell(off)
                else:
                    begun.stamps.close()  # the journal was closed meanwhile

    def _begun(self, opened: Opened) -> tuple[Opened, OffCourse | None]:
        """Catches up with a store; returns it with other stamps if it is not what was seen."""
        store = opened.store
        for _ in range(_ATTEMPTS):
            off = self._tracker.catch_up(opened)
            if off is None:
                return opened, None
            if self._is_settled(store, off):
                return self._anew(store, off), off
        raise StoreUnavailable("behind", _BEHIND)

    def _is_settled(self, store: EventStore, off: OffCourse) -> bool:
        """Gives a store that went back another id; False if that was a false alarm."""
        if off.fault is None:
            return True
        try:
            fault = store.settle(off.seen)
        except StoreUnavailable as error:
            trouble = StoreUnavailable(error.reason, f"{error}. It also went back: {off.fault}")
            self._troubles.note("write", trouble)
            raise trouble from error
        return fault is not None or store.id != off.seen.id

    def _anew(self, store: EventStore, off: OffCourse) -> Opened:
        """Reads all of a store into the stamps of its present id."""
        self._tracker.restart()
        try:
            with ExitStack() as undo:
                anew = Opened(store, Stamps(store.place))
                undo.callback(anew.stamps.close)
                if self._tracker.catch_up(anew) is not None:
                    raise StoreUnavailable("behind", _BEHIND)
                undo.pop_all()
        except BaseException:
            self._tracker.restart(off.seen)  # the next look finds the same
            raise
        return anew

    def _tell(self, off: OffCourse | None) -> None:
        """Says that a store is not what it was, until its id is renewed on purpose."""
        if off is None:
            return
        if off.fault is None:
            self._troubles.clear("follow")
        else:
            forgotten = self._tracker.forgotten
            erased = _ERASED.format(forgotten) if forgotten else ""
            self._troubles.note(
                "follow", StoreUnavailable("went_back", _BACK.format(off.fault, erased))
            )

    def _run(self) -> None:
        while not self._closing.is_set():
            opened = self._current.opened
            if opened is None:
                self._closing.wait(_REOPEN_SECONDS)
            else:
                opened.store.wait_for_news(_POLL_SECONDS)
            try:
                self._look()
            except Exception:
                if not self._closing.is_set():
                    logger.exception("could not follow the event store")

    def _look(self) -> None:
        """Follows what others store, and checks whether failures persist."""
        if self._current.opened is None and not self._closing.is_set():
            self.open()
        opened = self._current.opened
        if opened is None:
            return
        try:
            self.follow()
        except StoreUnavailable as error:
            if error is not self._troubles.get("write"):
                self._troubles.note("read", error)
            return
        self._troubles.clear("read")
        opened.store.wipe()
        self._check_writing(opened.store)

    def _check_writing(self, store: EventStore) -> None:
        """Finds out whether writing works, before an event comes."""
        trouble, since = self._troubles.get("write"), self._troubles.writing_since
        is_waiting = since is not None and time.monotonic() - since > _WAITING_SECONDS
        if is_waiting and (trouble is None or trouble is _WAITING):
            self._troubles.note("write", _WAITING)
            return  # until the writer tells how it ended
        if trouble is None and time.monotonic() < self._probed_at + _POLL_SECONDS:
            return  # news come faster than that
        self._probed_at = time.monotonic()
        try:
            if not store.probe():
                return
            if trouble is not None:
                store.check_writable()
        except StoreUnavailable as error:
            if trouble is not None or not self._is_passing(error):
                self._troubles.note("write", error)
        else:
            self._locked = None
            if trouble is not None:
                self._troubles.clear("write")

    def _is_passing(self, error: StoreUnavailable) -> bool:
        """Says whether a lock was only taken for a moment, as by another worker that writes."""
        if error.reason != "locked":
            return False
        end, now = self._tracker.last_sequence, time.monotonic()
        if self._locked is None or self._locked[0] != end:
            self._locked = end, now
        return now - self._locked[1] < _PASSING_SECONDS
