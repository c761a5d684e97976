"""Made-up listeners: their age and country, their tastes, and their plays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.world import (
    COUNTRIES,
    GENRES,
    MAINSTREAM_LEVELS,
    World,
    choose,
    choose_rows,
    home_bias,
    ring_affinity,
)

_MAX_GENRES: Final = 4
_GENRE_COUNTS: Final = np.array([0.2, 0.35, 0.3, 0.15])
_RELATED: Final = 0.6
_SPILL_TO_RELATED: Final = 0.06
_SPILL_TO_ANY: Final = 0.03
_ERA_SPREAD: Final = 0.18
_ERA_WIDTH: Final = 0.12
_HOME_COUNTRY: Final = 4.0
_MAX_ARTISTS: Final = 165 / 48.9
_CALLING: Final = 1.5
_HITS: Final = 0.6
_MAX_PLAYS: Final = 419_157


@dataclass(frozen=True, slots=True)
class Listeners:
    """A chunk of users.

    Attributes:
        country: position in ``COUNTRIES``, shape (n,).
        age: years, shape (n,).
        woman: shape (n,).
        n_artists: number of artists, shape (n,).
        level: position in ``MAINSTREAM_LEVELS``, shape (n,).
        tastes: share of each pool of the world in the listening, shape (n, n_pools); rows sum to 1.
    """

    country: NDArray[np.int64]
    age: NDArray[np.int64]
    woman: NDArray[np.bool_]
    n_artists: NDArray[np.int64]
    level: NDArray[np.int64]
    tastes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Listens:
    """Rows sorted by user and descending plays; each pair occurs once.

    Attributes:
        users: position in the chunk, shape (n_rows,).
        artists: position in the world, shape (n_rows,).
        plays: shape (n_rows,).
    """

    users: NDArray[np.int64]
    artists: NDArray[np.int64]
    plays: NDArray[np.int64]


def draw_listeners(
    world: World, count: int, artists_per_user: float, rng: np.random.Generator
) -> Listeners:
    """Makes up users.

    Args:
        world: the artists and scenes to like.
        count: number of users.
        artists_per_user: mean number of artists.
        rng: source of all randomness.
    """
    shares = np.array(list(COUNTRIES.values())) / sum(COUNTRIES.values())
    country = choose(shares, rng.random(count))
    age = np.clip(16 + rng.standard_gamma(2.2, count) * 4.2, 13, 80).astype(np.int64)
    woman = rng.random(count) < 0.27
    mainstream = rng.random(count)
    return Listeners(
        country,
        age,
        woman,
        _draw_n_artists(len(world.names), count, artists_per_user, rng),
        (mainstream * len(MAINSTREAM_LEVELS)).astype(np.int64),
        _with_hits(_draw_tastes(world, country, age, woman, rng), mainstream),
    )


def redraw_tastes(
    world: World, listeners: Listeners, renewed: float, rng: np.random.Generator
) -> Listeners:
    """Returns the same people some time later, with a part of their tastes drawn again.

    Args:
        world: the artists and scenes to like.
        listeners: the people with their earlier tastes.
        renewed: share of the pools for which the taste is drawn again, 0 to 1.
        rng: source of all randomness.
    """
    hits = listeners.tastes[:, -1:]
    drawn = _draw_tastes(world, listeners.country, listeners.age, listeners.woman, rng)
    drawn /= drawn.sum(axis=1, keepdims=True)
    former = listeners.tastes[:, :-1] / (1 - hits)
    tastes = np.where(rng.random(former.shape) < renewed, drawn, former)
    tastes *= (1 - hits) / tastes.sum(axis=1, keepdims=True)
    return replace(listeners, tastes=np.concatenate([tastes, hits], axis=1))


def _draw_n_artists(
    artists: int, count: int, mean: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    # Most lists had 50 artists and lost a few, as in the study; some are short, some are long.
    usual = 48.9 + 3.2 * rng.standard_normal(count)
    short = 47 * rng.random(count) ** 0.9
    long = 50 + 18 * rng.standard_exponential(count)
    kind = rng.random(count)
    drawn = np.where(kind < 0.06, short, np.where(kind > 0.97, long, usual)) / 48
    drawn = np.rint(np.minimum(drawn, _MAX_ARTISTS) * mean)
    return np.clip(drawn, 1, artists).astype(np.int64)


def _draw_tastes(
    world: World,
    country: NDArray[np.int64],
    age: NDArray[np.int64],
    woman: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Returns how much each user listens to each scene, shape (n_users, n_scenes)."""
    count, scenes = len(country), world.scenes
    genres = _draw_genre_shares(country, age, woman, rng)
    # Older listeners like older music; the time differs by genre.
    era = np.clip(1.05 - age / 50, 0.1, 0.9)[:, None]
    era = era + _ERA_SPREAD * rng.standard_normal((count, len(GENRES)))
    distance = (era[:, scenes.genre] - scenes.era) / _ERA_WIDTH
    liking = scenes.pull * (0.03 + np.exp(-0.5 * distance * distance))
    liking *= np.where(country[:, None] == scenes.country, _HOME_COUNTRY, 1.0)
    # An unexplained part with a heavy tail, so that each user likes a few scenes most.
    liking *= rng.standard_exponential(liking.shape) ** _CALLING
    starts = np.flatnonzero(np.diff(scenes.genre, prepend=-1))
    totals = np.add.reduceat(liking, starts, axis=1)
    present = scenes.genre[starts]
    share = np.zeros((count, len(GENRES)))
    share[:, present] = genres[:, present] / totals
    liking *= share[:, scenes.genre]
    return liking


def _with_hits(tastes: NDArray[np.float64], mainstream: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adds the pool of hits, which are heard independently of taste; rows then sum to 1."""
    hits = _HITS * mainstream**2
    scaled = tastes * ((1 - hits) / tastes.sum(axis=1))[:, None]
    return np.concatenate([scaled, hits[:, None]], axis=1)


def _draw_genre_shares(
    country: NDArray[np.int64],
    age: NDArray[np.int64],
    woman: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Returns each user's share of each genre, shape (n_users, n_genres); rows sum to 1."""
    count, affinity = len(country), ring_affinity()
    appeal = _appeal(country, age, woman)
    users = np.arange(count)
    n_genres = 1 + choose(_GENRE_COUNTS, rng.random(count))
    main = choose_rows(appeal, rng.random(count))
    shares = np.zeros((count, len(GENRES)))
    shares[users, main] = rng.standard_exponential(count) + 0.3
    for further in range(1, _MAX_GENRES):
        nearby = _RELATED * affinity[main] + (1 - _RELATED) * appeal
        genre = choose_rows(nearby, rng.random(count))
        weight = np.where(further < n_genres, rng.standard_exponential(count), 0.0)
        shares[users, genre] += weight
    shares /= shares.sum(axis=1, keepdims=True)
    spilled = _SPILL_TO_RELATED * shares @ affinity + _SPILL_TO_ANY * appeal
    return (1 - _SPILL_TO_RELATED - _SPILL_TO_ANY) * shares + spilled


def _appeal(
    country: NDArray[np.int64], age: NDArray[np.int64], woman: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Returns the chance of each main genre, shape (n_users, n_genres); rows sum to 1."""
    female = np.array([genre.female for genre in GENRES])
    typical_age = np.array([genre.age for genre in GENRES])
    appeal = np.array([genre.appeal for genre in GENRES]) * home_bias(2.5)[country]
    appeal *= np.where(woman[:, None], female, 1 - female)
    years = (age[:, None] - typical_age) / 12
    appeal *= 0.2 + np.exp(-0.5 * years * years)
    return np.asarray(appeal / appeal.sum(axis=1, keepdims=True))


def draw_listens(
    world: World,
    listeners: Listeners,
    debuts: NDArray[np.int64],
    rng: np.random.Generator,
) -> Listens:
    """Draws each user's artists and plays.

    Args:
        world: artists and scenes.
        listeners: a chunk of users.
        debuts: artists that at least one user of this chunk gets.
        rng: source of all randomness.
    """
    certain = _find_listeners(world, listeners, debuts, rng)
    n_artists = np.maximum(
        listeners.n_artists, np.bincount(certain, minlength=len(listeners.level))
    )
    pairs = Pairs(len(world.names), n_artists)
    pairs.add(certain, debuts, world.home[debuts])
    pairs.fill(world, listeners, rng)
    for user in np.flatnonzero(pairs.missing()):
        anything = np.argsort(rng.random(len(world.names)), kind="stable")
        pairs.add(np.full(len(anything), user), anything, world.home[anything])
    return _draw_plays(listeners, pairs, rng)


class Pairs:
    """Distinct (user, artist) pairs in the order in which they are drawn.

    Args:
        artists: number of artists in the world.
        wanted: largest number of pairs of each user, shape (n_users,).

    Attributes:
        users: user of each pair, ascending, shape (n_pairs,).
        artists: artist of each pair, shape (n_pairs,).
        pools: pool that each artist was drawn from, shape (n_pairs,).
    """

    def __init__(self, artists: int, wanted: NDArray[np.int64]) -> None:
        self._artists = artists
        self._wanted = wanted
        self.users = np.empty(0, dtype=np.int64)
        self.artists = np.empty(0, dtype=np.int64)
        self.pools = np.empty(0, dtype=np.int64)

    def want(self, wanted: NDArray[np.int64]) -> None:
        """Changes the wanted number of pairs of each user; never to fewer than there are."""
        self._wanted = wanted

    def missing(self) -> NDArray[np.int64]:
        """Returns the number of artists that each user lacks, shape (n_users,)."""
        return self._wanted - np.bincount(self.users, minlength=len(self._wanted))

    def fill(self, world: World, listeners: Listeners, rng: np.random.Generator) -> None:
        """Draws the missing pairs by the tastes of the users; some users may still lack a few."""
        # One round is enough for nearly all users; a narrow taste takes a few more.
        for factor in (1.6, 4.0, 16.0):
            missing = self.missing()
            draws = np.where(missing > 0, factor * missing + 16, 0).astype(np.int64)
            self.add(*_draw_artists(world, listeners, draws, rng))

    def add(
        self, users: NDArray[np.int64], artists: NDArray[np.int64], pools: NDArray[np.int64]
    ) -> None:
        """Adds pairs, for each user in the given order, up to the wanted number."""
        users = np.concatenate([self.users, users])
        artists = np.concatenate([self.artists, artists])
        pools = np.concatenate([self.pools, pools])
        _, first = np.unique(users * self._artists + artists, return_index=True)
        order = np.argsort(users[first] * len(users) + first)
        first = first[order]
        owners = users[first]
        starts = np.searchsorted(owners, np.arange(len(self._wanted)))
        first = first[np.arange(len(owners)) - starts[owners] < self._wanted[owners]]
        self.users, self.artists, self.pools = users[first], artists[first], pools[first]


def _find_listeners(
    world: World, listeners: Listeners, debuts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Returns a user with a suitable taste for each artist."""
    found = np.zeros(len(debuts), dtype=np.int64)
    uniform = rng.random(len(debuts))
    scenes = world.home[debuts]
    for scene in np.unique(scenes):
        here = scenes == scene
        interest = listeners.tastes[:, scene] * listeners.n_artists
        found[here] = choose(interest / interest.sum(), uniform[here])
    return found


def _draw_artists(
    world: World, listeners: Listeners, draws: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns users, artists and their pools; ``draws`` is the number for each user."""
    users = np.repeat(np.arange(len(draws)), draws)
    active = np.flatnonzero(draws)
    # One search over all rows: the position of a row is added to its running sum.
    running = np.cumsum(listeners.tastes[active], axis=1)
    running /= running[:, -1:]
    running += np.arange(len(active))[:, None]
    row = np.repeat(np.arange(len(active)), draws[active])
    found = np.searchsorted(running.ravel(), row + rng.random(len(users)), side="right")
    pools = np.minimum(found - row * world.n_pools, world.n_pools - 1)
    artists = world.draw(pools, listeners.level[users], rng.random(len(users)))
    return users, artists, pools


def _draw_plays(listeners: Listeners, pairs: Pairs, rng: np.random.Generator) -> Listens:
    count, rows = len(listeners.level), len(pairs.users)
    activity = 4.62 + 0.85 * rng.standard_normal(count)
    # A weak signal: artists that are liked more, or were drawn first, are played more.
    taste = np.log(listeners.tastes[pairs.users, pairs.pools] + 1e-4)
    starts = np.searchsorted(pairs.users, np.arange(count))
    turn = np.arange(rows) - starts[pairs.users]
    liking = 0.15 * (taste + 3.0) - 0.25 * (np.log1p(turn) - 2.8)
    noise = 0.8 * rng.standard_normal(rows)
    # A few artists are played all day.
    obsessed = np.where(rng.random(rows) < 0.008, 0.55 * rng.standard_exponential(rows), 0.0)
    plays = np.exp(activity[pairs.users] + liking + noise + obsessed)
    counts = np.clip(plays, 1, _MAX_PLAYS).astype(np.int64)
    counts[rng.random(rows) < 0.0002] = 0
    order = np.lexsort((-counts, pairs.users))
    return Listens(pairs.users[order], pairs.artists[order], counts[order])
