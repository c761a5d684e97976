"""Reading a source into memory: a dataset, events or both, through the filters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from app.errors import StoreUnavailable
from app.store.address import open_store
from app.store.upkeep import MaintainableStore
from training.data.interactions import Interactions
from training.data.records import Records, RowCounts
from training.data.shape import Shape
from training.datasets import ensure_dataset, load_dataset
from training.datasets.reading.ids import close_ids
from training.datasets.reading.sources import shown_path
from training.engines.engine import Source
from training.errors import DatasetError, TrainingError
from training.event_data.erasure import without_erased
from training.event_data.merge import EventLog, Merged, merge, read_event_log
from training.event_data.reactions import is_play
from training.measuring.experiment import validation_of
from training.numbers import plural
from training.pipeline import Prepared, prepare
from training.presets import Preset
from training.progress import Observer
from training.tuning.state import read_search
from training.tuning.trials import Search


def read_source(source: Source, preset: Preset, observer: Observer) -> Prepared:
    """Reads a source and applies the filters; see ``Engine.read``.

    Raises:
        DatasetError: the source has neither a dataset nor events, or the data cannot be read.
        StoreUnavailable: the event store cannot be read.
        TrainingError: the filters leave nothing; a half-life is set and the times are unknown; or
            it is unknown whether data without times hold the plays of the events.
    """
    log = None if source.events is None else _read_events(source.events, observer)
    records = None
    if source.dataset is not None:
        path = ensure_dataset(source.dataset, source.path)
        without_id = preset.drop_items_without_id
        options = replace(source.options, drop_items_without_id=without_id)
        with observer.busy(f"reading {shown_path(path)}"):
            records = load_dataset(source.dataset, path, options)
        check_readable(records, path, observer, allow_unreadable=source.allow_unreadable)
        if source.erasures is not None and log is None:
            records = leave_out_erased(records, read_erased(source.erasures, observer), observer)
    if log is not None:
        _check_overlap(source, log, records)
        if records is not None:
            _note_close_ids(log, records, observer)
        data: Records | Merged = merge(
            log, records, rules=source.rules, data_until=source.data_until
        )
    elif records is not None:
        data = records
    else:
        raise DatasetError("a source names a dataset, an event store or both")
    return prepare(data, preset)


def check_readable(
    records: Records, path: Path, observer: Observer, *, allow_unreadable: bool
) -> None:
    """Says how the columns were understood, and refuses data with too many unreadable rows.

    Raises:
        DatasetError: too many rows are unreadable, and ``allow_unreadable`` is false.
    """
    remarks = (records.remark, records.advice)
    check_rows(records.rows, path, observer, remarks=remarks, allow_unreadable=allow_unreadable)


def check_rows(
    rows: RowCounts,
    path: Path,
    observer: Observer,
    *,
    remarks: Sequence[str],
    allow_unreadable: bool,
) -> None:
    """Shows remarks, and refuses data with too many unreadable rows; see ``check_readable``."""
    for remark in filter(None, remarks):
        observer.note(f"{shown_path(path)}: {remark}")
    if not rows.are_mostly_readable and not allow_unreadable:
        raise DatasetError(
            f"{shown_path(path)}: {rows.warning}, so the file is not used. Correct "
            "the file or the options of its columns, or give --allow-unreadable to use the other "
            "rows"
        )


def _note_close_ids(log: EventLog, records: Records, observer: Observer) -> None:
    """Says how many ids of events miss those of the dataset by little; nothing is done about it."""
    users = close_ids(log.events["user"], records.user_ids)
    artists = close_ids(log.events["artist"], records.item_ids)
    if users or artists:
        observer.note(
            f"{plural(users, 'user id')} and {plural(artists, 'artist id')} of the events differ "
            "by very little from ids of the dataset, and count as other users and artists: ids of "
            "events are used as they are, so send them in the form that the dataset has"
        )


def read_erased(url: str, observer: Observer) -> frozenset[bytes]:
    """Returns the hashes of the users who were erased from the configured event store.

    A store that does not exist yet knows nobody.

    Raises:
        TrainingError: the URL is not that of an event store.
        StoreUnavailable: the store cannot be read, so that it is unknown who was erased.
    """
    try:
        with closing(open_store(url, must_exist=True)) as store:
            return frozenset(hashed for hashed, _ in store.tombstones(store.last_sequence()))
    except ValueError as error:
        raise TrainingError(f"ENCORE_DATABASE_URL: {error}") from None
    except StoreUnavailable as error:
        if error.reason == "missing":
            observer.note(f"nobody is known to be erased: {error}")
            return frozenset()
        raise StoreUnavailable(
            error.reason,
            "it is unknown who was erased, since the event store of ENCORE_DATABASE_URL cannot be "
            f"read: {error}. Erased users are left out without events, too; where the data hold "
            "nobody of that store, unset the variable",
        ) from error


def leave_out_erased(records: Records, erased: frozenset[bytes], observer: Observer) -> Records:
    """Returns the records without those of erased users, and says how many those were."""
    rest = without_erased(records, erased)
    if rest is not records:
        observer.note(erased_left_out(len(records) - len(rest)))
    return rest


def erased_left_out(count: int) -> str:
    """Returns how many rows of erased users are left out, in words."""
    return f"{plural(count, 'row')} left out, of users who were erased from the event store"


def _check_overlap(source: Source, log: EventLog, records: Records | None) -> None:
    """Refuses data without times of which it is unknown whether they hold the plays of the events.

    Raises:
        TrainingError: it is unknown.
    """
    if records is None or records.timestamps is not None or not is_play(log.events).any():
        return
    if source.data_until is None and not source.is_apart:
        raise TrainingError(
            "the data have no times, so plays that they and the event store both hold would count "
            "twice. Give the time up to which the data hold those plays (that of the export), as "
            "--data-until 2026-11-01T00:00:00Z; or --data-until never, if they hold none of them; "
            "or --no-events"
        )


def recipe_for(preset: Preset, interactions: Interactions, observer: Observer) -> Preset:
    """Returns the preset with the hyperparameters for these data, and says which they are.

    Args:
        preset: with the given changes.
        interactions: what the filters leave.
        observer: told of the choice, if there is one.
    """
    chosen = preset.for_data(Shape.of(interactions.user_items))
    if chosen is not preset:
        observer.note(f"hyperparameters: {chosen.choice}")
    return chosen


def read_found(
    search_file: Path | None, interactions: Interactions, preset: Preset
) -> Search | None:
    """Reads a search to show in a report.

    Raises:
        SearchMismatch: the search was on other data, or on another split of them.
        TrainingError: there is no such search, or it cannot be read.
    """
    if search_file is None:
        return None
    fold = next(iter(preset.split.folds(interactions)))
    seed = preset.parameters.seed
    return read_search(
        search_file,
        of=lambda k, users: validation_of(fold, preset.split, k=k, seed=seed, sample=users),
    )


def open_event_store(
    url: str | None, *, must_exist: bool = True, is_optional: bool = False
) -> MaintainableStore:
    """Opens an event store.

    Args:
        url: its address; None if neither an option nor a variable names it.
        must_exist: whether a missing store is an error; otherwise it is created.
        is_optional: whether the command has ``--no-events``, which the error then names.

    Raises:
        TrainingError: there is no URL, or it is not the URL of an event store.
        StoreUnavailable: the store cannot be opened.
    """
    if url is None:
        raise TrainingError(
            "which event store? Give --events URL, or set ENCORE_DATABASE_URL as for the service"
        )
    try:
        return open_store(url, must_exist=must_exist)
    except ValueError as error:
        raise TrainingError(f"--events: {error}") from None
    except StoreUnavailable as error:
        if error.reason != "missing" or not is_optional:
            raise
        message = f"{error} Or go on without one: --no-events"
        raise StoreUnavailable(error.reason, message) from None


def _read_events(url: str, observer: Observer) -> EventLog:
    with closing(open_event_store(url, is_optional=True)) as store, observer.bars() as bars:
        return read_event_log(store, bars.step("events", store.last_sequence()))
