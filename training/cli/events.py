"""The commands about event stores: ``events show``, ``export``, ``import`` and the others."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter, validators

from app.events.event import MICROSECONDS
from app.events.event_types import OPINION_TYPES, EventType
from app.schemas.times import write_time
from app.store.entries import Statistics
from app.store.upkeep import REST_SECONDS
from training.cli.app import JsonTo, Overwrite, cli
from training.cli.console import Output
from training.cli.options import Events
from training.cli.tables import statistics_table
from training.engines.reading import open_event_store
from training.event_data.dump import check_dump, check_name, dump, load
from training.numbers import count, plural

events_cli = App(name="events", help="Shows, moves, prunes and backs up event stores.")
cli.command(events_cli)

_DAY: Final = 86_400
_PRUNED_AT_ONCE: Final = 5000
# Opinions hold until the user changes them; other events may be pruned with age.
_PASSING: Final = tuple(kind for kind in EventType if kind not in OPINION_TYPES)

Number = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Days = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=36_500))]


@events_cli.command
def show(*, events: Events = None, overwrite: Overwrite = False, json_to: JsonTo = None) -> None:
    """Shows the contents of an event store.

    Args:
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    with closing(open_event_store(events)) as store:
        statistics = store.statistics()
    output.show(statistics_table(statistics))
    output.result(_describe(statistics))


@events_cli.command
def export(
    out: Path, /, *, events: Events = None, overwrite: Overwrite = False, json_to: JsonTo = None
) -> None:
    """Writes all events of a store to a file; the store may be in use.

    Args:
        out: File ending in .jsonl or .jsonl.gz, which `events import` reads.
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    check_name(out)
    output.check_out(out)
    with closing(open_event_store(events)) as store, output.bars() as bars:
        dumped = dump(store, out, bars.step("events", store.last_sequence()))
    output.show(
        f"{plural(dumped.events, 'event')}, {plural(dumped.erased_users, 'erased user')} and "
        f"{plural(dumped.unavailable_artists, 'unavailable artist')} written to {out}; only its "
        "owner can read it"
    )
    output.result({**asdict(dumped), "path": str(out)})


@events_cli.command(name="import")
def import_(
    dump_file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    events: Events = None,
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> int:
    """Adds the events of a file that `events export` wrote; creates the store if it is missing.

    Events that the store already has are not added again. In an empty store the events get the
    numbers that they had, so that models that have learned them recognise them.

    Args:
        dump_file: File ending in .jsonl or .jsonl.gz.
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    check_name(dump_file)
    with output.bars() as bars:
        checked = check_dump(dump_file, bars.step("lines checked", None))
        with closing(open_event_store(events, must_exist=False)) as store:
            loaded = load(store, checked, bars.step("lines", checked.lines + 2))
    absorbed = loaded.absorbed
    parts = [f"{plural(absorbed.stored, 'event')} stored, {count(absorbed.repeated)} already there"]
    if absorbed.of_erased:
        parts.append(f"{count(absorbed.of_erased)} left out, from before their users were erased")
    if absorbed.users_erased:
        had = plural(absorbed.events_erased, "event")
        parts.append(f"{plural(absorbed.users_erased, 'user')} erased, who had {had} here")
    if loaded.artists_removed:
        parts.append(f"{plural(loaded.artists_removed, 'artist')} made unavailable")
    output.show("; ".join(parts))
    if absorbed.renumbered:
        output.note(
            f"{plural(absorbed.renumbered, 'event')} got a new number, since the store had other "
            "events or had pruned them; models that have learned them count them again until the "
            "next `train --events`"
        )
    if absorbed.conflicts:
        output.error(
            f"not stored: {plural(absorbed.conflicts, 'event')} of {dump_file}, since the store "
            "has other events with the same ids"
        )
    output.result({**asdict(absorbed), "artists_removed": loaded.artists_removed})
    return 1 if absorbed.conflicts else 0


@events_cli.command
def prune(
    *,
    older_than: Days,
    all_types: bool = False,
    dry_run: bool = False,
    events: Events = None,
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> None:
    """Deletes old plays and skips permanently.

    The current model does not change. Later trainings know only those plays that the dataset has.
    A pruned event that is sent again counts again.

    Args:
        older_than: Delete events older than this many days.
        all_types: Delete likes and dislikes as well; disliked artists may then be recommended.
        dry_run: Only show how many would be deleted.
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    types = tuple(EventType) if all_types else _PASSING
    before = int((time.time() - older_than * _DAY) * MICROSECONDS)
    with closing(open_event_store(events)) as store:
        total = store.count_before(before, types)
        if not dry_run:
            with output.bars() as bars:
                advance, deleted = bars.step("pruned", total), 0
                while part := store.prune(before, types, limit=_PRUNED_AT_ONCE):
                    deleted += part
                    advance(part)
                    time.sleep(REST_SECONDS)
            total = deleted
    moment = _text(before)
    output.show(f"{plural(total, 'event')} from before {moment} {_done(dry_run=dry_run)}")
    output.result({"before": moment, "events": total, "dry_run": dry_run})


@events_cli.command
def compact(*, events: Events = None, overwrite: Overwrite = False, json_to: JsonTo = None) -> None:
    """Rewrites a store, so that nothing of deleted events is left in unused parts of its files.

    Events cannot be stored meanwhile, and PostgreSQL answers no questions about them. SQLite needs
    as much room again as the file takes.

    Args:
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    with closing(open_event_store(events)) as store, output.err.status("rewriting"):
        store.compact()
        is_wiped = store.is_wiped
    output.show("the event store was rewritten")
    if is_wiped is False:
        output.note(
            "copies of deleted events stay in its write-ahead log until its readers end; the "
            "service then removes them"
        )
    output.result({"is_wiped": is_wiped})


@events_cli.command
def backup(
    out: Path, /, *, events: Events = None, overwrite: Overwrite = False, json_to: JsonTo = None
) -> None:
    """Copies an SQLite store to a file; the store may be in use.

    Args:
        out: File for the copy; with `--overwrite` it is replaced when the copy is complete.
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    output.check_out(out)
    with closing(open_event_store(events)) as store, output.err.status("copying"):
        statistics = store.backup(out)
    output.show(f"{out} has {plural(sum(statistics.events.values()), 'event')}, checked")
    output.result({**_describe(statistics), "path": str(out)})


@events_cli.command
def renew(
    *,
    shared_up_to: Number | None = None,
    events: Events = None,
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> None:
    """Gives a restored store, or a copy of a store, an id of its own.

    A model recognises the events that it has learned by the id of the store and their numbers. A
    restored store gives the same numbers again, to other events. Run this command before the
    service starts on the store; a service that runs notices by itself.

    Args:
        shared_up_to: Last number that the store had when it was restored, if it has stored events
            since. Models then count all later events as new. 0 if you do not know it: all events
            count again. Default: the present last number.
        events: The store: sqlite:///FILE or postgresql://USER@HOST/DATABASE.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    with closing(open_event_store(events)) as store:
        old = store.id
        new = store.renew(shared_up_to)
        store.last_sequence()
        shared = store.shared_up_to(old)
    output.show(
        f"the id of the store was {old} and is {new} now. Models that have learned its events "
        f"recognise them up to number {count(shared)}; if its last number was lower when it was "
        "restored, give that with --shared-up-to. Services that use it notice by themselves"
    )
    output.result({"store": new, "former": old, "shared_up_to": shared})


def _describe(statistics: Statistics) -> dict[str, Any]:
    return asdict(statistics) | {
        "events": {kind.value: statistics.events.get(kind, 0) for kind in EventType},
        "first": None if statistics.first is None else _text(statistics.first),
        "last": None if statistics.last is None else _text(statistics.last),
    }


def _text(microseconds: int) -> str:
    return write_time(microseconds).isoformat(timespec="seconds")


def _done(*, dry_run: bool) -> str:
    return "would be deleted" if dry_run else "deleted"
