"""Personal data: the one table of the places that hold something of a person.

The answer of ``DELETE /users/{user_id}``, the page about events, and the test that erases somebody
everywhere read it. A new place is a row here, and a check in that test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Goes(StrEnum):
    """When an erased person leaves a place."""

    AT_ONCE = "at once"
    LOOK = "within a second"
    CHECKPOINT = "at the next checkpoint"
    TRAINING = "with the next training"
    OPERATOR = "by the operator"
    STAYS = "stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a place holds of a person.

    Attributes:
        holds: what is there.
        goes: when it goes after an erasure.
        how: by what it goes, or why it stays.
    """

    holds: str
    goes: Goes
    how: str


class Place(StrEnum):
    """A place that holds something of a person."""

    _value_: str
    holding: Holding

    # The default is for mypy only, which takes a lookup by value for a call of this method.
    def __new__(cls, name: str, holding: Holding | None = None) -> Self:
        """Declares a place.

        Args:
            name: its name in answers.
            holding: what it holds.

        Raises:
            TypeError: that is missing.
        """
        if holding is None:
            raise TypeError(f"the place {name!r} does not say what it holds")
        one = str.__new__(cls, name)
        one._value_ = name
        one.holding = holding
        return one

    EVENTS = (
        "events",
        Holding(
            holds="what the person did, in tables and indices of the event store",
            goes=Goes.AT_ONCE,
            how="the rows are deleted; SQLite overwrites their bytes",
        ),
    )
    STORE_LOG = (
        "store_log",
        Holding(
            holds="copies of changed pages, in the write-ahead log of the event store",
            goes=Goes.CHECKPOINT,
            how="the service empties SQLite's log when no reader needs it, and tries until it "
            "succeeds; PostgreSQL reuses its log by itself, archived logs are the operator's",
        ),
    )
    STORE_PAGES = (
        "store_pages",
        Holding(
            holds="remains of rows in unused parts of the store's pages: rows that SQLite has "
            "moved, dead rows of PostgreSQL",
            goes=Goes.OPERATOR,
            how="`events compact` rewrites the store",
        ),
    )
    TOMBSTONE = (
        "tombstone",
        Holding(
            holds="a hash of the id, with number and time, in the event store and its dumps",
            goes=Goes.STAYS,
            how="models and imports have to know who was erased",
        ),
    )
    STATE = (
        "state",
        Holding(
            holds="32 bits of a hash of the id, in the folder `ENCORE_STATE`",
            goes=Goes.STAYS,
            how="a service that starts without its store has to know who was erased",
        ),
    )
    SHARED_TABLE = (
        "shared_table",
        Holding(
            holds="the number of the erasure, in a slot of `/dev/shm/encore-…` that other users "
            "share",
            goes=Goes.STAYS,
            how="workers have to know that something has changed; it names nobody",
        ),
    )
    ACTIVITIES = (
        "activities",
        Holding(
            holds="what the events come to, with the vector, in the memory of workers",
            goes=Goes.LOOK,
            how="the worker that answers drops it at once, others at their next look; the system "
            "reuses freed memory, and the end of the process clears it",
        ),
    )
    NEW_ARTISTS = (
        "new_artists",
        Holding(
            holds="vectors of new artists, made from those of their listeners, in the memory of "
            "workers",
            goes=Goes.LOOK,
            how="each worker makes them again, 100 artists a second",
        ),
    )
    MODELS = (
        "models",
        Holding(
            holds="history, vector and precomputed list, in published models",
            goes=Goes.TRAINING,
            how="no service recognises the person there from now on; the next training leaves "
            "the person out, and `models prune --erased` removes the older versions",
        ),
    )
    REPORTS = (
        "reports",
        Holding(
            holds="the artists of four users, without their ids, in `report.html` of a model",
            goes=Goes.TRAINING,
            how="it goes with the version",
        ),
    )
    DATASETS = (
        "datasets",
        Holding(
            holds="the listening records that models are trained on",
            goes=Goes.OPERATOR,
            how="trainings that know the store leave the person out; the files are the operator's",
        ),
    )
    LISTS = (
        "lists",
        Holding(
            holds="lists of all users, written by `python -m training export`",
            goes=Goes.OPERATOR,
            how="write them again with `--events`, and delete the old files",
        ),
    )
    DUMPS = (
        "dumps",
        Holding(
            holds="events, in files of `events export`",
            goes=Goes.OPERATOR,
            how="export again, and delete the old files; an import takes nobody who was erased",
        ),
    )
    BACKUPS = (
        "backups",
        Holding(
            holds="the event store, in files of `events backup` or of other tools",
            goes=Goes.OPERATOR,
            how="make another, and delete the old files; erase again after restoring an old one",
        ),
    )
    LOGS = (
        "logs",
        Holding(
            holds="ids in the paths of requests, at the level `debug` and in a proxy's log",
            goes=Goes.OPERATOR,
            how="delete old logs",
        ),
    )
