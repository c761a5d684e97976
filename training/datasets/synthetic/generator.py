"""Made-up listening records in the format of Last.fm 360K.

Listeners have a country, an age and a gender, one to four genres, a preferred time, and a share of
hits that does not depend on taste. They find artists through scenes (see ``world``), and play those
that they like more somewhat more often. Users are written in chunks, so that memory stays flat.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets import lastfm_360k
from training.datasets.synthetic.listeners import Listeners, draw_listeners, draw_listens
from training.datasets.synthetic.sample_files import (
    CARD,
    GeneratedSample,
    check_sizes,
    sample_files,
)
from training.datasets.synthetic.world import COUNTRIES, build_world

PLAYS: Final = lastfm_360k.PLAYS_FILE
PROFILES: Final = lastfm_360k.PROFILE_FILE

# Part of the card. The same parameters and the same recipe give the same bytes.
_RECIPE: Final = 1
# Part of the recipe: every chunk has its own random stream.
_CHUNK: Final = 2048
# Not strftime("%b"): the month must not follow the locale.
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_FIRST_SIGNUP: Final = date(2002, 10, 29)
_LAST_SIGNUP: Final = date(2009, 9, 15)


def generate(
    out: Path,
    *,
    users: int,
    artists: int,
    mean_artists_per_user: float = 48.9,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> GeneratedSample:
    """Writes a made-up sample; the same arguments give the same bytes.

    Args:
        out: folder, made if it is missing.
        users: number of users, at least 1.
        artists: number of artists, at least 1; with fewer than three rows for each artist, some
            have no row.
        mean_artists_per_user: mean number of rows of a user, at least 1 and at most ``artists``.
        seed: of everything, 0 or above.
        overwrite: whether to replace an earlier sample; other files are never replaced.
        progress: called with the number of users done since the last call.

    Returns:
        The files and their counts. The files get their names when they are complete.

    Raises:
        DatasetError: an argument is out of range, or the folder cannot be used.
    """
    check_sizes(users, artists, mean_artists_per_user, seed)
    parameters = {
        "recipe": _RECIPE,
        "users": users,
        "artists": artists,
        "mean_artists_per_user": float(mean_artists_per_user),
        "seed": seed,
    }
    # The plays come last: where they exist, all files do, and all are of one run.
    with sample_files(out, (CARD, PROFILES, PLAYS), overwrite=overwrite) as files:
        rows, heard = _write(files, parameters, progress or (lambda _users: None))
        counts = {"rows": rows, "users": users, "artists": heard}
        card = {"generator": parameters, "written": counts}
        files[CARD].write(json.dumps(card, indent=2).encode() + b"\n")
    return GeneratedSample(
        tuple(out / name for name in (PLAYS, PROFILES, CARD)), rows, users, heard
    )


def _write(
    files: Mapping[str, IO[bytes]], parameters: Mapping[str, Any], progress: Callable[[int], None]
) -> tuple[int, int]:
    """Writes plays and profiles; returns the number of rows and of artists with rows."""
    users, artists = parameters["users"], parameters["artists"]
    mean = parameters["mean_artists_per_user"]
    n_chunks = -(-users // _CHUNK)
    seeds = np.random.SeedSequence(parameters["seed"])
    rng = np.random.default_rng(seeds.spawn(1)[0])
    world = build_world(artists, mean, rng)
    debut = _draw_debuts(artists, n_chunks, int(users * mean / 3), rng)
    mbids, names = pl.Series(world.mbids), pl.Series(world.names)
    heard = np.zeros(artists, dtype=np.bool_)
    rows = 0
    for chunk in range(n_chunks):
        rng = np.random.default_rng(seeds.spawn(1)[0])
        first = chunk * _CHUNK
        count = min(_CHUNK, users - first)
        ids = pl.Series(_user_ids(first, count, users, rng))
        listeners = draw_listeners(world, count, mean, rng)
        listens = draw_listens(world, listeners, np.flatnonzero(debut == chunk), rng)
        _profiles(ids, listeners, rng).write_csv(
            files[PROFILES], include_header=False, separator="\t", quote_style="never"
        )
        pl.DataFrame(
            {
                "user": ids.gather(listens.users),
                "mbid": mbids.gather(listens.artists),
                "name": names.gather(listens.artists),
                "plays": listens.plays,
            }
        ).write_csv(files[PLAYS], include_header=False, separator="\t", quote_style="never")
        heard[listens.artists] = True
        rows += len(listens.users)
        progress(count)
    return rows, int(heard.sum())


def _draw_debuts(
    artists: int, n_chunks: int, at_most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Returns the chunk in which each artist gets a certain listener, -1 for none."""
    debut = (rng.random(artists) * n_chunks).astype(np.int64)
    debut[np.argsort(rng.random(artists))[at_most:]] = -1
    return debut


def _user_ids(first: int, count: int, users: int, rng: np.random.Generator) -> list[str]:
    """Returns 40 hexadecimal digits for each user, ascending over the file as in the real one."""
    # The first 32 bits spread the users over the range, so no two chunks can collide.
    places = ((first + np.arange(count) + rng.random(count)) * 2**32 / users).astype(np.uint64)
    rest = rng.bytes(16 * count).hex()
    return [
        f"{place:08x}{rest[32 * user : 32 * user + 32]}"
        for user, place in enumerate(places.tolist())
    ]


def _profiles(ids: pl.Series, listeners: Listeners, rng: np.random.Generator) -> pl.DataFrame:
    """Returns the lines of the chunk in the file of profiles; some profiles are incomplete."""
    count = len(ids)
    gender = np.where(listeners.woman, "f", "m").astype(object)
    gender[rng.random(count) < 0.09] = ""
    age = listeners.age.astype(str).astype(object)
    age[rng.random(count) < 0.21] = ""
    days = (_LAST_SIGNUP - _FIRST_SIGNUP).days
    # Last.fm grew: the square root makes late days likelier.
    signups = np.sqrt(rng.random(count)) * days
    countries = list(COUNTRIES)
    return pl.DataFrame(
        {
            "user": ids,
            "gender": pl.Series(gender.tolist(), dtype=pl.String),
            "age": pl.Series(age.tolist(), dtype=pl.String),
            "country": [countries[country] for country in listeners.country.tolist()],
            "signup": [_signup(int(day)) for day in signups.tolist()],
        }
    )


def _signup(day: int) -> str:
    when = _FIRST_SIGNUP + timedelta(days=day)
    return f"{_MONTHS[when.month - 1]} {when.day}, {when.year}"
