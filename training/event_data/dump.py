"""Event dumps: an event store as a file of JSON lines, to move it to another database.

The first line names the store; the last line has the number of lines between. Those are events in
the form of ``POST /events``, with number, key and time of arrival; tombstones; and unavailable
artists.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal, TypeAlias, assert_never, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.files import replacing
from app.schemas.events import EventIn
from app.schemas.primitives import Id
from app.schemas.times import StoredTime, write_time
from app.store.entries import Absorbed, Entry, Erasure, KeyedEvent, Source, Tombstone
from app.store.event_columns import DUMPED, DumpForm
from app.store.upkeep import REST_SECONDS, MaintainableStore
from training.configuration import explain
from training.errors import DatasetError, TrainingError, WriteError
from training.files import check_place

SUFFIXES: Final = (".jsonl", ".jsonl.gz")
_AT_ONCE: Final = 5000
# An event with the longest ids and name, all of them escaped, is shorter.
_LONGEST_LINE: Final = 32_768
Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Dumped:
    """The contents of a dump that was written.

    Attributes:
        store_id: id of the store.
        up_to: number of the last event or tombstone.
        events: number of events.
        erased_users: number of tombstones.
        unavailable_artists: number of unavailable artists.
    """

    store_id: str
    up_to: int
    events: int
    erased_users: int
    unavailable_artists: int


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that was checked and is complete.

    Attributes:
        path: the file.
        source: the store that was dumped.
        up_to: number of the last event or tombstone.
        lines: number of lines between the first and the last line.
        tombstones: all tombstones of the dump.
    """

    path: Path
    source: Source
    up_to: int
    lines: int
    tombstones: Sequence[Tombstone]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading a dump.

    Attributes:
        absorbed: counts of its events and tombstones by how the store took them.
        artists_removed: number of artists that became unavailable.
    """

    absorbed: Absorbed
    artists_removed: int


def check_name(path: Path) -> None:
    """Refuses a file whose name has not the ending of a dump.

    Raises:
        TrainingError: it has another ending.
    """
    if not path.name.endswith(SUFFIXES):
        raise TrainingError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def dump(store: MaintainableStore, path: Path, progress: Progress | None = None) -> Dumped:
    """Writes the dump of a store whole or not at all; the store may be in use.

    Args:
        store: the store.
        path: the file, with an ending of ``SUFFIXES``; only its owner can read it.
        progress: called with the number of sequence numbers read since the last call.

    Raises:
        TrainingError: the name has another ending, or the folder is missing.
        WriteError: the file cannot be written.
        StoreUnavailable: the store cannot be read.
    """
    check_name(path)
    check_place(path)
    statistics = store.statistics()
    events, erased, end = 0, 0, statistics.last_sequence
    with _writing(path) as file:
        origins = dict(statistics.origins)
        _write(file, {"encore_events": 1, "store": statistics.store_id, "origins": origins})
        after = 0
        while True:
            entries = store.entries_between(after, end, limit=_AT_ONCE)
            for entry in entries:
                _write(file, _line_of(entry))
            events += sum(isinstance(entry, KeyedEvent) for entry in entries)
            erased += sum(isinstance(entry, Tombstone) for entry in entries)
            reached = entries[-1].sequence if len(entries) == _AT_ONCE else end
            if progress:
                progress(reached - after)
            after = reached
            if after == end:
                # Users erased during the dump may be in the file, so their tombstones have to be.
                end = max([end, *(number for _, number in store.erased_after(end))])
            if after == end:
                break
        _, unavailable = store.unavailable_artists()
        for artist in unavailable:
            _write(file, {"unavailable_artist": artist})
        _write(file, {"up_to": end, "lines": events + erased + len(unavailable)})
    return Dumped(statistics.store_id, end, events, erased, len(unavailable))


def check_dump(path: Path, progress: Progress | None = None) -> Dump:
    """Reads a dump to check that it is complete.

    Args:
        path: a file that ``dump`` wrote.
        progress: called with the number of lines read since the last call.

    Raises:
        DatasetError: the file cannot be read, is no dump, or is incomplete; the message has the
            line.
        TrainingError: its name has another ending.
    """
    with _reading(path) as file:
        lines = _parsed(path, file, progress)
        head, tombstones = next(lines, None), []
        if not isinstance(head, _Head):
            raise DatasetError(f"{path} is no event dump; `events export` writes one")
        number = last = 0
        line: _Line | EventIn | None = None
        for number, line in enumerate(lines):
            if isinstance(line, _Event | _Erased):
                if line.sequence <= last:
                    raise DatasetError(f"{path}, line {number + 2}: sequence: is out of order")
                last = line.sequence
            if isinstance(line, _Erased):
                tombstones.append(line.to_entry())
    if not isinstance(line, _End) or line.lines != number or line.up_to < last:
        raise DatasetError(f"{path} is incomplete, so nothing of it was stored; export it again")
    return Dump(path, Source(head.store, head.origins), line.up_to, number, tombstones)


def load(store: MaintainableStore, found: Dump, progress: Progress | None = None) -> Loaded:
    """Adds the contents of a dump to a store, which may be in use.

    After an interruption the next call recognises what was stored already.

    Args:
        store: the store.
        found: the dump, from ``check_dump``.
        progress: called with the number of lines read since the last call.

    Raises:
        DatasetError: the file cannot be read any more.
        StoreUnavailable: the store cannot be read or written.
    """
    users = store.users_by_hash([tombstone.user_hash for tombstone in found.tombstones])
    erasures = {one.user_hash: Erasure(one, users.get(one.user_hash)) for one in found.tombstones}
    absorbed = Absorbed()
    with _reading(found.path) as file:
        lines = _parsed(found.path, file, progress)
        next(lines)  # the head
        artists: list[str] = []
        while part := list(islice(lines, _AT_ONCE)):
            entries = [line.to_entry() for line in part if isinstance(line, _Event | _Erased)]
            artists += [line.unavailable_artist for line in part if isinstance(line, _Unavailable)]
            if entries:
                up_to = entries[-1].sequence
                absorbed.add(store.absorb(entries, erasures, found.source, up_to))
                time.sleep(REST_SECONDS)
    # The last number of the store may be higher than that of its last entry.
    absorbed.add(store.absorb([], {}, found.source, found.up_to))
    _, unavailable = store.unavailable_artists()
    removed = [artist for artist in artists if artist not in frozenset(unavailable)]
    for artist in removed:
        store.set_available(artist, is_available=False)
    return Loaded(absorbed, len(removed))


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _hash_text(value: str) -> str:
    if len(value) != 32 or value.strip("0123456789abcdef"):
        raise ValueError("should be 32 digits, 0 to f")
    return value


def _whole_text(value: str) -> str:
    value.encode()  # a lone surrogate is refused
    return value


_Hash = Annotated[str, AfterValidator(_hash_text)]
_Text = Annotated[str, AfterValidator(_whole_text)]
_Number = Annotated[int, Field(ge=1, le=2**63 - 1)]


class _Head(_Line):
    encore_events: Literal[1]
    store: Id
    origins: dict[Id, Annotated[int, Field(ge=0, le=2**63 - 1)]]


class _Event(EventIn):
    # What is stored is taken: it may be older than today's rules for new events, and from hosts
    # with other clocks.
    user_id: Id
    artist_id: Id
    plays: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    timestamp: StoredTime | None = None
    event_id: Id | None = None
    artist_name: _Text | None = None
    sequence: _Number
    key: _Hash
    received_at: StoredTime

    def to_entry(self) -> KeyedEvent:
        key, event = bytes.fromhex(self.key), self.to_event()
        if event.is_idempotent and key != event.key():
            raise ValueError("key: is not that of this event; was the line edited?")
        return KeyedEvent(self.sequence, key, self.received_at, event)


if _Event.model_fields.keys() != {dumped.name for dumped in DUMPED}:
    raise TypeError("the fields of an event that a dump writes and reads differ")


class _Erased(_Line):
    sequence: _Number
    erased_user: _Hash
    stamp_key: int = Field(ge=0, lt=2**32)
    erased_at: StoredTime

    def to_entry(self) -> Tombstone:
        hashed = bytes.fromhex(self.erased_user)
        return Tombstone(self.sequence, hashed, self.stamp_key, self.erased_at)


class _Unavailable(_Line):
    unavailable_artist: Id


class _End(_Line):
    up_to: int = Field(ge=0, le=2**63 - 1)
    lines: int = Field(ge=0)


# Kinds of lines, by a field that only that kind has.
_KINDS: Final[dict[str, type[_Line | EventIn]]] = {
    "user_id": _Event,
    "erased_user": _Erased,
    "unavailable_artist": _Unavailable,
    "encore_events": _Head,
    "up_to": _End,
}


def _parsed(path: Path, file: IO[bytes], progress: Progress | None) -> Iterator[_Line | EventIn]:
    """Yields the lines and checks each of them."""
    number = 0
    while raw := file.readline(_LONGEST_LINE):
        number += 1
        if progress and number % _AT_ONCE == 0:
            progress(_AT_ONCE)
        try:
            yield _parse(raw)
        except ValidationError as error:
            raise DatasetError(f"{path}, line {number}: {explain(error)}") from None
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: {error}") from None
    if progress:
        progress(number % _AT_ONCE)


def _parse(raw: bytes) -> _Line | EventIn:
    if len(raw) == _LONGEST_LINE:
        raise ValueError("is too long for a line of an event dump")
    try:
        fields = json.loads(raw)
    except ValueError as error:  # of the encoding, too
        raise ValueError("is no JSON; is the file damaged?") from error
    kinds = [kind for name, kind in _KINDS.items() if isinstance(fields, dict) and name in fields]
    if not kinds:
        raise ValueError("is no line of an event dump")
    line = kinds[0].model_validate(fields)
    if isinstance(line, _Event):
        line.to_entry()
    return line


def _line_of(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Tombstone):
        return {
            "sequence": entry.sequence,
            "erased_user": entry.user_hash.hex(),
            "stamp_key": entry.stamp_key,
            "erased_at": _text(entry.erased_at),
        }
    return {
        dumped.name: _written(value, dumped.form)
        for dumped in DUMPED
        if (value := dumped.value(entry)) is not None
    }


def _written(value: Any, form: DumpForm) -> Any:
    if form is DumpForm.AS_IT_IS:
        return value
    if form is DumpForm.HEX:
        return value.hex()
    if form is DumpForm.TIME:
        return _text(value)
    assert_never(form)


def _text(microseconds: int) -> str:
    return write_time(microseconds).isoformat()


def _write(file: IO[bytes], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _writing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file, which gets its name when the block ends without an error."""
    try:
        with replacing(path) as partial, partial.open("wb") as raw:
            if path.suffix == ".gz":
                # No name and no time, so that the same events give the same bytes.
                with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as file:
                    yield cast("IO[bytes]", file)
            else:
                yield raw
    except OSError as error:
        raise WriteError(path, error) from error


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    check_name(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is damaged, so nothing of it was stored: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
