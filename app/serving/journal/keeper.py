"""The keeper: opens the event store, follows it, and detects when it works again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from app.errors import StoreUnavailable
from app.serving.journal.current_store import CurrentStore, Opened
from app.serving.journal.tracker import StoreTracker
from app.serving.journal.troubles import Troubles
from app.store.interface import EventStore
from app.store.stamps import Stamps

_POLL_SECONDS: Final = 0.25
_REOPEN_SECONDS: Final = 1.0

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
                stamps = Stamps(store.place)
                undo.callback(stamps.close)
                opened = Opened(store, stamps)
                self._tracker.catch_up(opened)
            except StoreUnavailable as error:
                self._troubles.note("open", error)
                return
            if self._closing.is_set():
                return  # the closing thread may no longer wait, and would not close this store
            undo.pop_all()
        self._current.put(opened)
        self._troubles.clear("open")

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
            self._tracker.catch_up(opened)
        except StoreUnavailable as error:
            self._troubles.note("read", error)
            return
        self._troubles.clear("read")
        opened.store.wipe()
        if self._troubles.get("write"):
            try:
                opened.store.check_writable()
            except StoreUnavailable as error:
                self._troubles.note("write", error)
            else:
                self._troubles.clear("write")
