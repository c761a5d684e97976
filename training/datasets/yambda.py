"""The dataset ``yambda``: listens and likes of tracks by users of Yandex Music, in all its sizes.

Flat files have one row an event, sequential files one row a user with lists. Times are seconds
since an unpublished beginning. A track becomes its artists by ``artist_item_mapping.parquet``.
Ploshkin and others, "Yambda-5B", 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from training.data.records import Records
from training.datasets.accounts import listed, refuse_unusable
from training.datasets.dataset import Dataset
from training.datasets.reading.encoding import USER, Encoded, encode, records_of
from training.datasets.reading.opening import Part
from training.datasets.reading.rows import Rows
from training.datasets.reading.source_files import SourceFile, find_files, fingerprinting, unpacked
from training.datasets.reading.sources import reading
from training.errors import DatasetError

SOURCE: Final = "https://huggingface.co/datasets/yandex/yambda"
ARTISTS_FILE: Final = "artist_item_mapping.parquet"

REASON_NO_ID: Final = "user or track id missing"
REASON_TIME: Final = "timestamp missing"
REASON_NO_RATIO: Final = "played percentage missing"
REASON_NO_ARTIST: Final = f"track without an artist in {ARTISTS_FILE}"
REASON_TAKEN_BACK: Final = "like that was taken back"
REASON_DISLIKED: Final = "track that the user dislikes"
NOTE_SHARED: Final = "play of one of several artists of a track"
REMARK: Final = (
    "times count from the beginning of the data, which is not published; they are shown as if it "
    "were 1970"
)

_TRACK: Final = "track"
_ITEM: Final = "item"
_TIME: Final = "time"
_RATIO: Final = "ratio"
_IS_SHARED: Final = "is_shared"
_IS_UNDONE: Final = "is_undone"
_IS_DISLIKED: Final = "is_disliked"
# Column in a flat file or, in the plural, in a sequential one, to its name here.
_COLUMNS: Final[Mapping[str, str]] = {
    "uid": USER,
    "item_id": _TRACK,
    "item_ids": _TRACK,
    "timestamp": _TIME,
    "timestamps": _TIME,
    "played_ratio_pct": _RATIO,
}
# Each kind of reaction, and the one that takes it back.
_UNDONE_BY: Final[Mapping[str, str]] = {"likes": "unlikes", "dislikes": "undislikes"}


@dataclass(frozen=True, kw_only=True)
class YambdaOptions:
    """Options of reading Yambda."""

    interactions: Literal["listens", "likes"] = "listens"
    "What counts as a play, in `yambda`."
    items: Literal["artists", "tracks"] = "artists"
    "What is recommended, in `yambda`: artists, by artist_item_mapping.parquet, or tracks."
    least_played: float = 50.0
    "Leave out listens of which less than this percentage was played, in `yambda`."
    disliked: bool = True
    "Whether plays of tracks that their user dislikes count, in `yambda`."


@dataclass(frozen=True, slots=True)
class _Files:
    """The files that are read, by name without ending, and the artists of tracks."""

    events: dict[str, SourceFile]
    artists: SourceFile | None


def load(path: Path, options: YambdaOptions) -> Records:
    """Reads events as records of weight 1; each artist of a track has one.

    Args:
        path: the folder of a size (``flat/50m``), a folder that holds it, or the file of events.
            The artists of tracks lie in it or in one of the two folders above.
        options: which events count, and what the items are.

    Raises:
        DatasetError: a file is missing or of another kind, or no event can be used.
    """
    if not 0 <= options.least_played <= 100:
        raise DatasetError(
            f"--least-played has to be a percentage, 0 to 100, not {options.least_played}"
        )
    if options.interactions == "likes" and options.least_played != YambdaOptions.least_played:
        raise DatasetError("--least-played is for listens, and likes have no length; leave it out")
    found = _find(path, options)
    parts = [*found.events.values(), *([found.artists] if found.artists else [])]
    with unpacked(parts) as files, fingerprinting(parts) as sources:
        plain = dict(zip(found.events, files, strict=False))
        artists = files[-1] if found.artists else None
        with reading(files[0]):
            encoded = encode(
                _events(plain, artists, options), [_ITEM], [pl.exclude(USER, _ITEM, _TRACK)]
            )
        rows = _check(encoded, options)
        refuse_unusable(path, rows, options.interactions, f"They come from {SOURCE}")
        shared = encoded.rest[_IS_SHARED].to_numpy() & rows.usable
        records = records_of(
            encoded,
            rows,
            encoded.items[_ITEM],
            np.ones(len(encoded), dtype=np.float32),
            dataset=DATASET.name,
            sources=sources.result(),
            noted={NOTE_SHARED: int(shared.sum())},
            timestamps=encoded.rest[_TIME].fill_null(0).to_numpy(),
        )
    return replace(records, remark=REMARK)


def _find(path: Path, options: YambdaOptions) -> _Files:
    main: str = options.interactions
    wanted = [main] + ([_UNDONE_BY[main]] if main in _UNDONE_BY else [])
    if not options.disliked:
        wanted += ["dislikes", "undislikes"]
    parts = find_files(path)
    if path.is_file() and len(parts) == 1 and parts[0].member is None:
        events = {main: parts[0]}
        beside = {part.name: part for part in find_files(path.parent)}
    else:
        name = f"{main}.parquet"
        fitting = [part for part in parts if part.name == name]
        if len(fitting) != 1:
            raise DatasetError(_not_one(path, name, fitting, parts))
        events = {main: fitting[0]}
        folder = fitting[0].place.parent
        beside = {part.name: part for part in parts if part.place.parent == folder}
    for kind in wanted[1:]:
        if (part := beside.get(f"{kind}.parquet")) is not None:
            events[kind] = part
    if not options.disliked and "dislikes" not in events:
        raise DatasetError(
            f"--no-disliked needs dislikes.parquet beside {events[main].shown}; put it there, "
            "or leave the option out"
        )
    artists = _find_artists(path, events[main], parts) if options.items == "artists" else None
    return _Files(events, artists)


def _not_one(path: Path, name: str, fitting: list[SourceFile], parts: list[SourceFile]) -> str:
    if fitting:
        sizes = listed({part.shown for part in fitting})
        return f"{path} holds several {name}: {sizes}; name the folder of one size in --data"
    also = f"; it holds {listed({part.name for part in parts})}" if parts else ""
    return f"{path} holds no {name}{also}. It comes from {SOURCE}"


def _find_artists(path: Path, events: SourceFile, parts: list[SourceFile]) -> SourceFile:
    found = next((part for part in parts if part.name == ARTISTS_FILE), None)
    folder = events.path.parent
    for place in (folder, folder.parent, folder.parent.parent):
        if found is None and (place / ARTISTS_FILE).is_file():
            [found] = find_files(place / ARTISTS_FILE)
    if found is None:
        raise DatasetError(
            f"{path}: the artists of tracks are unknown without {ARTISTS_FILE}. Put it beside "
            f"{events.name}, or give --items tracks; it comes from {SOURCE}"
        )
    return found


def _events(
    files: Mapping[str, Part], artists: Part | None, options: YambdaOptions
) -> pl.LazyFrame:
    """Returns the events with user, item, time, and whether they were undone or are disliked."""
    main = options.interactions
    events = _scan(files[main], [_RATIO] if main == "listens" else [])
    events = _marked(events, _IS_UNDONE, main, files if main in _UNDONE_BY else {})
    events = _marked(events, _IS_DISLIKED, "dislikes", files if not options.disliked else {})
    if artists is None:
        events = events.with_columns(
            pl.col(_TRACK).cast(pl.String).alias(_ITEM), pl.lit(value=False).alias(_IS_SHARED)
        )
    else:
        events = events.join(
            _artists(artists), on=_TRACK, how="left", maintain_order="left_right"
        ).with_columns(pl.col(_IS_SHARED).fill_null(value=False))
    missing = pl.col(USER).is_null() | pl.col(_TRACK).is_null()
    return events.with_columns(
        missing.alias("is_missing"),
        pl.col(USER).cast(pl.String).fill_null(""),
        pl.col(_ITEM).fill_null(""),
    )


def _scan(file: Part, more: list[str]) -> pl.LazyFrame:
    """Returns the events of a flat or sequential file."""
    scan = pl.scan_parquet(file.plain, glob=False)
    schema = scan.collect_schema()
    columns = {ours: theirs for theirs, ours in _COLUMNS.items() if theirs in schema}
    missing = [
        f"'{next(theirs for theirs, one in _COLUMNS.items() if one == ours)}'"
        for ours in (USER, _TRACK, _TIME, *more)
        if ours not in columns
    ]
    if missing:
        raise DatasetError(
            f"{file} has no column {', '.join(missing)}; it has {', '.join(schema)}. "
            f"Is it a file of {SOURCE}?"
        )
    chosen = {ours: schema[columns[ours]] for ours in (USER, _TRACK, _TIME, *more)}
    events = scan.select(pl.col(columns[ours]).alias(ours) for ours in chosen)
    lists = [ours for ours, dtype in chosen.items() if isinstance(dtype, pl.List)]
    if lists:
        events = events.explode(lists)
    for ours, dtype in chosen.items():
        inner = dtype.inner if isinstance(dtype, pl.List) else dtype
        if not inner.is_integer() and not (ours == _RATIO and inner.is_numeric()):
            raise DatasetError(f"{file}: the column '{columns[ours]}' holds {inner}, not numbers")
    return events.with_columns(pl.col(_TRACK).cast(pl.Int64), pl.col(_TIME).cast(pl.Int64))


def _marked(events: pl.LazyFrame, mark: str, kind: str, files: Mapping[str, Part]) -> pl.LazyFrame:
    """Marks events by the last reaction of their user to their track.

    Args:
        events: user, track and more.
        mark: the new column.
        kind: of ``_UNDONE_BY``.
        files: of reactions; those that are missing mark nothing.
    """
    undo = _UNDONE_BY.get(kind, "")
    if kind not in files or (mark == _IS_UNDONE and undo not in files):
        return events.with_columns(pl.lit(value=False).alias(mark))
    last = _last(files[kind], "done")
    if undo in files:
        last = last.join(_last(files[undo], "undone"), on=[USER, _TRACK], how="left")
    else:
        last = last.with_columns(undone=pl.lit(None, pl.Int64))
    is_undone = (pl.col("undone") >= pl.col("done")).fill_null(value=False)
    is_marked = is_undone if mark == _IS_UNDONE else ~is_undone
    marks = last.select(USER, _TRACK, is_marked.alias(mark))
    joined = events.join(marks, on=[USER, _TRACK], how="left", maintain_order="left")
    return joined.with_columns(pl.col(mark).fill_null(value=False))


def _last(file: Part, name: str) -> pl.LazyFrame:
    return _scan(file, []).group_by(USER, _TRACK).agg(pl.col(_TIME).max().alias(name))


def _artists(file: Part) -> pl.LazyFrame:
    """Returns the artists of tracks, and whether a track has several."""
    scan = pl.scan_parquet(file.plain, glob=False)
    schema = scan.collect_schema()
    missing = [
        f"'{name}'"
        for name in ("item_id", "artist_id")
        if name not in schema or not schema[name].is_integer()
    ]
    if missing:
        raise DatasetError(
            f"{file} has no column {', '.join(missing)} with numbers; is it the right file?"
        )
    track = pl.col("item_id").cast(pl.Int64).alias(_TRACK)
    pairs = scan.drop_nulls(["item_id", "artist_id"]).select(track, "artist_id").unique()
    pairs = pairs.sort(_TRACK, "artist_id")
    return pairs.select(
        _TRACK,
        pl.col("artist_id").cast(pl.String).alias(_ITEM),
        (pl.len().over(_TRACK) > 1).alias(_IS_SHARED),
    )


def _check(encoded: Encoded, options: YambdaOptions) -> Rows:
    rest = encoded.rest
    rows = Rows(len(encoded))
    rows.drop(REASON_NO_ID, rest["is_missing"].to_numpy())
    rows.drop(REASON_TIME, rest[_TIME].is_null().to_numpy())
    if _RATIO in rest.columns:
        ratio = rest[_RATIO]
        rows.drop(REASON_NO_RATIO, ratio.is_null().to_numpy())
        too_little = (ratio < options.least_played).fill_null(value=False).to_numpy()
        rows.leave_out(f"less than {options.least_played:g} % played", too_little)
    rows.leave_out(REASON_TAKEN_BACK, rest[_IS_UNDONE].to_numpy())
    rows.leave_out(REASON_DISLIKED, rest[_IS_DISLIKED].to_numpy())
    no_artist = (encoded.items[_ITEM] == "").to_numpy()[encoded.item_codes]
    rows.leave_out(REASON_NO_ARTIST, no_artist)
    return rows


DATASET: Final = Dataset(
    name="yambda",
    description="Listens and likes by users of Yandex Music, 50 million to 5 billion events",
    licence="Apache 2.0; published for scientific and research purposes",
    source=SOURCE,
    files=("listens.parquet", "likes.parquet", "dislikes.parquet", ARTISTS_FILE),
    load=load,
    times="yambda",
    options=YambdaOptions,
)
