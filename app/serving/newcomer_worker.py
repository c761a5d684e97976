"""The newcomer worker: adds the artists that only events know to the model in service.

Its thread reads the events that were stored since its last look, makes or renews the vectors of
artists that the model lacks, and puts a situation with all newcomers into service.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Final

from app.errors import ModelUnavailable, StoreUnavailable
from app.events.event_types import EventRules
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.newcomer_rules import NewcomerRules
from app.recommend.newcomers import Newcomer, Newcomers, NewcomerSolver
from app.recommend.query import Query
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.store.activity_reading import read_activity
from app.store.clock import now
from app.store.interface import EventStore

_LOOK_SECONDS: Final = 0.5
# It rests four times as long as it works, so it takes at most a fifth of a processor.
_REST: Final = 4
_ARTISTS_PER_LOOK: Final = 50
# A newcomer's vector is made from this many of its latest listeners at most.
_LISTENERS: Final = 30
# If there are more newcomers, those with most listeners count.
_MOST_NEWCOMERS: Final = 1000
# How many are followed, so that some are there when others lose their listeners.
_MOST_FOUND: Final = 5000
# While more artists wait, no further events are read; they are not forgotten.
_MOST_WAITING: Final = 50_000
# How many newcomers are checked for lost listeners at once.
_DOUBTED_PER_LOOK: Final = 500
# Closing waits no longer; the store was closed before, which has ended the worker's questions.
_CLOSE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """A newcomer, how many listeners its vector is made from, and a hash of its latest listeners.

    Only a hash, since what is cached of a user has to go when the user is erased.
    """

    newcomer: Newcomer
    n_listeners: int
    listeners: int


class NewcomerWorker:
    """Follows the events and the model in service.

    Args:
        follower: has the recommender in service.
        journal: has the store.
        rules: how many units each type of event counts.
        newcomer_rules: how newcomers get into lists.
    """

    def __init__(
        self,
        follower: ModelFollower,
        journal: Journal,
        rules: EventRules,
        newcomer_rules: NewcomerRules,
    ) -> None:
        self._follower = follower
        self._journal = journal
        self._rules = rules
        self._newcomer_rules = newcomer_rules
        self._model: Model | None = None
        self._solver: NewcomerSolver | None = None
        self._store_id = ""
        self._cursor = self._erased_up_to = self._prunings = 0
        # Artists with new events, in the order of their events.
        self._waiting: dict[str, None] = {}
        self._found: dict[str, _Found] = {}
        # Newcomers in _found that may have lost listeners.
        self._doubted: dict[str, None] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="newcomer-worker", daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def close(self) -> None:
        """Ends; may be called twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        rest = _LOOK_SECONDS
        while not self._closing.wait(rest):
            start = time.monotonic()
            try:
                self.look()
            except (ModelUnavailable, StoreUnavailable) as error:
                logger.debug("no newcomers: %s", error)
            except Exception:
                logger.exception("could not look for newcomers")
            rest = max(_LOOK_SECONDS, _REST * (time.monotonic() - start))

    def look(self) -> None:
        """Looks once for changes.

        Raises:
            ModelUnavailable: no model is in service.
            StoreUnavailable: the events cannot be read.
        """
        recommender, store = self._follower.recommender, self._journal.store
        if self._solver is None or recommender.model is not self._model:
            self._model = recommender.model
            self._solver = NewcomerSolver(recommender.model, self._newcomer_rules)
            self._cursor = self._erased_up_to = 0
            self._waiting, self._found, self._doubted = {}, {}, {}
            self._journal.expect(recommender.model)
        if store.id != self._store_id:
            # Another store, or the same one after it went back: its numbers begin anew.
            self._store_id = store.id
            self._cursor = self._erased_up_to = 0
            self._doubted |= dict.fromkeys(self._found)
        # All is read before any state changes, since each read may fail.
        is_behind = len(self._waiting) > _MOST_WAITING
        latest = [] if is_behind else store.latest_of_artists(self._cursor)
        erased = store.erased_after(self._erased_up_to)
        prunings = store.prunings
        if latest:
            self._cursor = max(sequence for _, sequence in latest)
        items = recommender.model.items
        self._waiting |= {artist: None for artist, _ in latest if items.index(artist) is None}
        if erased or prunings != self._prunings:
            # Deleted events must not count any more, and nothing says which artists they had.
            self._erased_up_to = max([self._erased_up_to, *(sequence for _, sequence in erased)])
            self._prunings = prunings
            self._doubted |= dict.fromkeys(self._found)
        for artist in list(self._doubted)[:_DOUBTED_PER_LOOK]:
            found = self._found.get(artist)
            if found and found.listeners != _hash(store.listeners_of(artist, limit=_LISTENERS)):
                self._waiting[artist] = None
            del self._doubted[artist]
        now_due = list(self._waiting)[:_ARTISTS_PER_LOOK]
        if now_due:
            for artist in now_due:
                self._renew(recommender, self._solver, store, artist)
                del self._waiting[artist]
            self._hand_over(recommender)

    def _renew(
        self, recommender: Recommender, solver: NewcomerSolver, store: EventStore, artist: str
    ) -> None:
        queries, at = [], now()
        listeners = store.listeners_of(artist, limit=_LISTENERS)
        for user in listeners:
            learned = self._journal.learned(store, user, recommender.model)
            activity = read_activity(store, user, self._rules, at, learned)
            # Not by units: learned events have none, even if training left the artist out.
            if activity and artist in activity.seen and artist not in activity.barred:
                queries.append(Query(user, activity=activity))
        if queries:
            name = store.names_of([artist]).get(artist, artist)
            newcomer = solver.solve(artist, name, recommender.tastes(queries))
            self._found[artist] = _Found(newcomer, len(queries), _hash(listeners))
        else:
            self._found.pop(artist, None)

    def _hand_over(self, recommender: Recommender) -> None:
        most = sorted(
            self._found.values(), key=lambda one: (-one.n_listeners, one.newcomer.artist_id)
        )
        # One that is dropped is found again with its next event.
        self._found = {one.newcomer.artist_id: one for one in most[:_MOST_FOUND]}
        chosen = [one.newcomer for one in most[:_MOST_NEWCOMERS]]
        if chosen or recommender.newcomers.artists:
            newcomers = Newcomers.of(recommender.model, chosen)
            self._follower.in_service.update(
                recommender, lambda situation: situation.with_newcomers(newcomers)
            )


def _hash(listeners: list[str]) -> int:
    return hash(tuple(listeners))
