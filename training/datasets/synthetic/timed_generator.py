"""Made-up plays with their times, in the format of Last.fm 1K, by listeners whose tastes drift.

The world is that of ``generator``. Time passes in half-years. In each, a part of each user's taste
is drawn again, the user finds new artists by the present taste and plays each for some weeks, and a
favourite as long as the user listens at all. So recent plays predict the next discoveries better
than plays of years ago, and the more so the faster tastes drift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.lastfm_1k import PLAYS_FILE
from training.datasets.synthetic.listeners import Listeners, Pairs, draw_listeners, redraw_tastes
from training.datasets.synthetic.sample_files import (
    CARD,
    GeneratedSample,
    check_sizes,
    sample_files,
)
from training.datasets.synthetic.world import World, build_world
from training.errors import DatasetError

# Part of the card. The same parameters and the same recipe give the same bytes.
_RECIPE: Final = 1
# Part of the recipe: every chunk has its own random stream.
_CHUNK: Final = 1024
# Ids have six digits.
_MOST_USERS: Final = 999_999
_FIRST: Final = int(datetime(2005, 2, 14, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(2009, 5, 5, tzinfo=UTC).timestamp()) - 1
_DAY: Final = 24 * 3600
_PHASES: Final = 9
# With a drift of 1, half of a taste has changed after two years, which are four phases.
_HALVED_PER_PHASE: Final = 0.25
# Users join in the first part of the time; most of them stay.
_JOINED_BY: Final = 0.6
_STAY: Final = 0.8
_FAVOURITE: Final = 0.25
_WEEKS_OF_LIKING: Final = 8.0
_MEAN_LOG_PLAYS: Final = 1.0
_MOST_PLAYS: Final = 500
_TRACKS: Final = 12


@dataclass(frozen=True, slots=True)
class _Plays:
    """Single plays, sorted by user and descending time.

    Attributes:
        users: position in the chunk, shape (n_plays,).
        artists: position in the world, shape (n_plays,).
        tracks: number of the track, from 1, shape (n_plays,).
        times: seconds since 1970 (UTC), shape (n_plays,).
    """

    users: NDArray[np.int64]
    artists: NDArray[np.int64]
    tracks: NDArray[np.int64]
    times: NDArray[np.int64]


def generate_timed(
    out: Path,
    *,
    users: int,
    artists: int,
    mean_artists_per_user: float = 48.9,
    drift: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> GeneratedSample:
    """Writes a made-up sample of single plays; the same arguments give the same bytes.

    Args:
        out: folder, made if it is missing.
        users: number of users, 1 to 999,999.
        artists: number of artists, at least 1; some may have no row.
        mean_artists_per_user: mean number of artists that a user plays in all the time, at least 1
            and at most ``artists``; each is played several times.
        drift: speed at which tastes change: 0 for none, 1 for half of a taste in two years, 2 for
            half of a taste in one year.
        seed: of everything, 0 or above.
        overwrite: whether to replace an earlier sample; other files are never replaced.
        progress: called with the number of users done since the last call.

    Returns:
        The files and their counts. The files get their names when they are complete.

    Raises:
        DatasetError: an argument is out of range, or the folder cannot be used.
    """
    check_sizes(users, artists, mean_artists_per_user, seed, most_users=_MOST_USERS)
    if not 0 <= drift < np.inf:
        raise DatasetError(f"the drift must be 0 or above, not {drift}")
    parameters = {
        "recipe": _RECIPE,
        "timed": True,
        "users": users,
        "artists": artists,
        "mean_artists_per_user": float(mean_artists_per_user),
        "drift": float(drift),
        "seed": seed,
    }
    with sample_files(out, (CARD, PLAYS_FILE), overwrite=overwrite) as files:
        rows, heard = _write(files[PLAYS_FILE], parameters, progress or (lambda _users: None))
        counts = {"rows": rows, "users": users, "artists": heard}
        card = {"generator": parameters, "written": counts}
        files[CARD].write(json.dumps(card, indent=2).encode() + b"\n")
    return GeneratedSample((out / PLAYS_FILE, out / CARD), rows, users, heard)


def _write(
    file: IO[bytes], parameters: Mapping[str, Any], progress: Callable[[int], None]
) -> tuple[int, int]:
    """Writes the plays; returns the number of plays and of artists with plays."""
    users, artists = parameters["users"], parameters["artists"]
    mean, drift = parameters["mean_artists_per_user"], parameters["drift"]
    seeds = np.random.SeedSequence(parameters["seed"])
    world = build_world(artists, mean, np.random.default_rng(seeds.spawn(1)[0]))
    mbids, names = pl.Series(world.mbids), pl.Series(world.names)
    heard = np.zeros(artists, dtype=np.bool_)
    rows = 0
    for first in range(0, users, _CHUNK):
        rng = np.random.default_rng(seeds.spawn(1)[0])
        count = min(_CHUNK, users - first)
        plays = _draw_plays(world, draw_listeners(world, count, mean, rng), drift, rng)
        pl.DataFrame({"user": plays.users + first + 1, "time": plays.times}).select(
            pl.format("user_{}", pl.col("user").cast(pl.String).str.zfill(6)).alias("user"),
            pl.from_epoch("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            mbids.gather(plays.artists).alias("mbid"),
            names.gather(plays.artists).alias("name"),
            pl.lit("").alias("track_mbid"),
            pl.format("Track {}", pl.Series(plays.tracks)).alias("track"),
        ).write_csv(file, include_header=False, separator="\t", quote_style="never")
        heard[plays.artists] = True
        rows += len(plays.users)
        progress(count)
    return rows, int(heard.sum())


def _draw_plays(
    world: World, listeners: Listeners, drift: float, rng: np.random.Generator
) -> _Plays:
    count = len(listeners.level)
    stays = _draw_stays(count, rng)
    pairs, found = _draw_discoveries(world, listeners, stays, drift, rng)
    until = stays[pairs.users, 1]
    activity = 0.6 * rng.standard_normal(count)
    liking = _MEAN_LOG_PLAYS + activity[pairs.users] + 0.9 * rng.standard_normal(len(found))
    plays = np.clip(np.exp(liking), 1, _MOST_PLAYS).astype(np.int64)
    pair = np.repeat(np.arange(len(found)), plays)
    is_first = np.ones(len(pair), dtype=bool)
    is_first[1:] = np.diff(pair) != 0
    is_favourite = rng.random(len(found)) < _FAVOURITE
    later = rng.standard_exponential(len(pair)) * _WEEKS_OF_LIKING * 7 * _DAY
    whenever = rng.random(len(pair)) * (until - found)[pair]
    since = np.where(is_favourite[pair] & (rng.random(len(pair)) < 0.5), whenever, later)
    times = found[pair] + np.where(is_first, 0.0, since).astype(np.int64)
    in_stay = times <= until[pair]
    pair, times = pair[in_stay], times[in_stay]
    users, artists = pairs.users[pair], pairs.artists[pair]
    tracks = 1 + (rng.random(len(pair)) ** 2 * _TRACKS).astype(np.int64)
    order = np.lexsort((-times, users))
    return _Plays(users[order], artists[order], tracks[order], times[order])


def _draw_stays(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns the first and the last possible time of each user's plays, shape (n_users, 2)."""
    span = _LAST - _FIRST
    joined = _FIRST + (rng.random(count) * _JOINED_BY * span).astype(np.int64)
    stays = rng.random(count) < _STAY
    # Users who leave have been there for a while.
    left = joined + ((0.2 + 0.8 * rng.random(count)) * (_LAST - joined)).astype(np.int64)
    return np.column_stack([joined, np.where(stays, _LAST, left)])


def _draw_discoveries(
    world: World,
    listeners: Listeners,
    stays: NDArray[np.int64],
    drift: float,
    rng: np.random.Generator,
) -> tuple[Pairs, NDArray[np.int64]]:
    """Draws each user's artists, phase by phase, and the time of the first play of each."""
    borders = np.linspace(_FIRST, _LAST, _PHASES + 1).astype(np.int64)
    joined, left = stays[:, :1], stays[:, 1:]
    begin = np.maximum(joined, borders[:-1])
    end = np.maximum(np.minimum(left, borders[1:]), begin)
    share = np.cumsum(end - begin, axis=1) / np.maximum(left - joined, 1)
    share[:, -1] = 1.0
    wanted = np.rint(share * listeners.n_artists[:, None]).astype(np.int64)
    renewed = 1 - 2 ** (-_HALVED_PER_PHASE * drift)
    count = len(listeners.level)
    pairs = Pairs(len(world.names), np.zeros(count, dtype=np.int64))
    there = np.zeros((count, _PHASES), dtype=np.int64)
    for phase in range(_PHASES):
        if phase:
            listeners = redraw_tastes(world, listeners, renewed, rng)
        pairs.want(wanted[:, phase])
        pairs.fill(world, listeners, rng)
        there[:, phase] = np.bincount(pairs.users, minlength=count)
    turn = np.arange(len(pairs.users)) - np.searchsorted(pairs.users, pairs.users)
    phase_of = (turn[:, None] >= there[pairs.users]).sum(axis=1)
    first, last = begin[pairs.users, phase_of], end[pairs.users, phase_of]
    return pairs, first + (rng.random(len(first)) * (last - first)).astype(np.int64)
