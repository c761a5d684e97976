"""The made-up world behind the synthetic sample: countries, genres, scenes and artists."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.artist_names import artist_names


class Genre(NamedTuple):
    """A genre; neighbours in the tuple ``GENRES``, which is a ring, share listeners.

    Attributes:
        name: key of its grammar of names.
        appeal: amount of listening, relative to the other genres.
        supply: number of artists, relative to the other genres.
        age: mean age of its listeners, in years.
        female: share of women among its listeners if there were as many women as men.
        home: countries with most of its scenes, where it is liked best.
    """

    name: str
    appeal: float
    supply: float
    age: float
    female: float
    home: tuple[str, ...] = ()


GENRES: Final = (
    Genre("pop", 9, 4, 23, 0.68),
    Genre("dance", 4, 4, 24, 0.55, ("Poland", "Netherlands", "Russian Federation")),
    Genre("techno", 4, 6, 27, 0.35, ("Germany", "Netherlands", "Finland")),
    Genre("idm", 2.5, 4, 27, 0.28, ("United Kingdom", "Japan")),
    Genre("ambient", 2, 4, 29, 0.35),
    Genre("classical", 1.2, 2, 32, 0.48, ("Italy", "Austria", "Germany")),
    Genre("jazz", 2.2, 4, 34, 0.40),
    Genre("soul", 3, 3, 27, 0.58, ("United States",)),
    Genre("hip hop", 6, 7, 22, 0.32, ("United States", "Germany", "France")),
    Genre("reggae", 1.5, 2, 25, 0.42, ("Poland", "France")),
    Genre("latin", 2, 2.5, 26, 0.55, ("Brazil", "Spain", "Mexico", "Portugal")),
    Genre("chanson", 1, 1.2, 28, 0.58, ("France", "Belgium", "Canada")),
    Genre("blues", 1.5, 2, 37, 0.30, ("United States", "United Kingdom")),
    Genre("country", 1.5, 2, 33, 0.52, ("United States",)),
    Genre("folk", 2.5, 3.5, 30, 0.52, ("United Kingdom", "United States")),
    Genre("singer-songwriter", 5, 3, 26, 0.65),
    Genre("indie pop", 5, 5, 23, 0.58, ("Sweden", "United Kingdom")),
    Genre("indie rock", 9, 7, 22, 0.50, ("United Kingdom", "United States", "Canada")),
    Genre("post-rock", 2.5, 4, 25, 0.38),
    Genre("alternative", 9, 5, 25, 0.48),
    Genre("classic rock", 6, 3, 33, 0.38, ("United States", "United Kingdom")),
    Genre("metal", 6, 6, 22, 0.30, ("Finland", "Germany", "Sweden", "Brazil")),
    Genre("black metal", 2, 6, 23, 0.18, ("Norway", "Sweden", "Finland", "Poland")),
    Genre("industrial", 2.5, 3.5, 27, 0.42, ("Germany", "United States")),
    Genre("punk", 4, 6, 21, 0.38, ("United States", "Germany")),
    Genre("emo", 4, 4, 19, 0.56, ("United States",)),
    Genre("j-pop", 2.5, 3, 22, 0.58, ("Japan",)),
)

# Listeners in thousands, roughly as in the profiles of the real file.
COUNTRIES: Final[dict[str, float]] = {
    "United States": 67,
    "Germany": 32,
    "United Kingdom": 29,
    "Poland": 20,
    "Russian Federation": 20,
    "Brazil": 14,
    "Sweden": 13,
    "Spain": 13,
    "Finland": 12,
    "Netherlands": 12,
    "Canada": 11,
    "France": 10,
    "Italy": 10,
    "Australia": 9,
    "Japan": 8,
    "Turkey": 7,
    "Norway": 7,
    "Mexico": 5,
    "Portugal": 5,
    "Czech Republic": 5,
    "Ukraine": 5,
    "Belgium": 4,
    "Argentina": 4,
    "Austria": 4,
    "Switzerland": 3,
    "Greece": 3,
    "Chile": 3,
    "Korea, Republic of": 1,
    "Cote D'Ivoire": 0.1,
}

# Weights are (rank + head) ** -DECAY. ``head`` is chosen so that the top artist would have this
# share of the users if all had the same taste; tastes, and lists without repeats, lower it. The
# constants are fitted by trial to the listeners per artist (median, mean, maximum) of the study
# with its 160,112 artists; with fewer artists each has a larger share.
_DECAY: Final = 1.68
_TOP_SHARE: Final = 0.35
_STUDY_ARTISTS: Final = 160_112
_FEWER_ARTISTS: Final = -0.07
_NO_MBID: Final = 0.03
_RING_WIDTH: Final = 1.2
_SECOND_GENRE: Final = 0.25
_SECOND_WEIGHT: Final = 0.35
_SCENES: Final = 0.36
_MAX_SCENES: Final = 24
# Exponents of popularity: mainstream listeners choose known artists, others less known ones.
MAINSTREAM_LEVELS: Final = (0.7, 0.9, 1.1, 1.3, 1.5)


@dataclass(frozen=True, slots=True)
class Scenes:
    """Parts of a genre, each with a time and a country; tastes are shares of scenes.

    Attributes:
        genre: position in ``GENRES``, shape (n_scenes,).
        era: 0 for old to 1 for new, shape (n_scenes,).
        country: position in ``COUNTRIES``, shape (n_scenes,).
        pull: popularity of the scene within its genre, shape (n_scenes,).
    """

    genre: NDArray[np.int64]
    era: NDArray[np.float64]
    country: NDArray[np.int64]
    pull: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """All artists, most popular first, and the pools from which they are drawn.

    Attributes:
        mbids: 36 characters, or empty, by artist.
        names: unique, by artist.
        genre: main genre, position in ``GENRES``, by artist.
        home: main scene, by artist.
        scenes: every scene that has artists. Each is a pool; one more pool holds all artists.
        members: artist of each ticket; an artist has one ticket in each of its pools.
        tickets: ascending, ``level * n_pools + pool + share``; the share is cumulative within the
            pool.
    """

    mbids: list[str]
    names: list[str]
    genre: NDArray[np.int64]
    home: NDArray[np.int64]
    scenes: Scenes
    members: NDArray[np.int64]
    tickets: NDArray[np.float64]

    @property
    def n_pools(self) -> int:
        """Number of pools: the scenes, and the pool of all artists."""
        return len(self.scenes.genre) + 1

    def draw(
        self,
        pools: NDArray[np.int64],
        levels: NDArray[np.int64],
        uniform: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Draws an artist of each pool by its popularity there.

        Args:
            pools: scene, or ``n_pools - 1`` for all artists, shape (n,).
            levels: position in ``MAINSTREAM_LEVELS``, shape (n,).
            uniform: in [0, 1), shape (n,).
        """
        wanted = levels * self.n_pools + pools + uniform
        found = np.searchsorted(self.tickets, wanted, side="right")
        found = np.minimum(found, len(self.tickets) - 1) % len(self.members)
        artists: NDArray[np.int64] = self.members[found]
        return artists


def build_world(artists: int, artists_per_user: float, rng: np.random.Generator) -> World:
    """Makes up scenes and artists.

    Args:
        artists: number of artists.
        artists_per_user: mean number of artists of a user; decides the weight of the top artist.
        rng: source of all randomness.
    """
    supply = np.array([genre.supply for genre in GENRES])
    genre = choose(supply / supply.sum(), rng.random(artists))
    scenes, home = _build_scenes(genre, rng)
    names = artist_names(
        [GENRES[position].name for position in genre], seed=int(rng.random() * 2**53)
    )
    weights = popularity(artists, artists_per_user)
    members, tickets = _build_tickets(genre, home, scenes, weights, rng)
    return World(_build_mbids(artists, rng), names, genre, home, scenes, members, tickets)


def popularity(artists: int, artists_per_user: float) -> NDArray[np.float64]:
    """Returns the share of each rank in all listening, shape (artists,), sum 1."""
    ranks = np.arange(1, artists + 1, dtype=np.float64)
    top_share = _TOP_SHARE * (artists / _STUDY_ARTISTS) ** _FEWER_ARTISTS / artists_per_user

    def shares(head: float) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = (ranks + head) ** -_DECAY
        weights /= weights.sum()
        return weights

    # The larger the head, the flatter the shares: bisection with a fixed number of steps.
    low, high = 0.0, 10.0 * artists
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shares(middle)[0] > top_share else (low, middle)
    return shares(high)


def choose(shares: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draws a position for each uniform number; ``shares`` sum to 1."""
    found = np.searchsorted(np.cumsum(shares), uniform, side="right")
    return np.minimum(found, len(shares) - 1)


def choose_rows(weights: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draws a column of each row by its weights, which need not sum to 1."""
    running = np.cumsum(weights, axis=1)
    columns: NDArray[np.int64] = (running <= (uniform * running[:, -1])[:, None]).sum(
        axis=1, dtype=np.int64
    )
    np.minimum(columns, weights.shape[1] - 1, out=columns)
    return columns


def ring_affinity() -> NDArray[np.float64]:
    """Returns how a taste for one genre spills over to the others, rows sum to 1."""
    positions = np.arange(len(GENRES))
    apart = np.abs(positions[:, None] - positions)
    affinity: NDArray[np.float64] = np.exp(-np.minimum(apart, len(GENRES) - apart) / _RING_WIDTH)
    np.fill_diagonal(affinity, 0.0)
    affinity /= affinity.sum(axis=1, keepdims=True)
    return affinity


def home_bias(strength: float) -> NDArray[np.float64]:
    """Returns the factor of each genre in each country, shape (countries, genres)."""
    return np.array(
        [[strength if name in genre.home else 1.0 for genre in GENRES] for name in COUNTRIES]
    )


def _build_scenes(
    genre: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Scenes, NDArray[np.int64]]:
    """Divides genres into scenes of unequal size; returns these and the scene of each artist."""
    countries = list(COUNTRIES)
    by_listeners = np.array(list(COUNTRIES.values())) / sum(COUNTRIES.values())
    scene_genre: list[int] = []
    home = np.zeros_like(genre)
    for position in range(len(GENRES)):
        artists = np.flatnonzero(genre == position)
        if len(artists) == 0:
            continue
        count = int(np.clip(round(len(artists) ** _SCENES), 1, _MAX_SCENES))
        sizes = 0.3 + rng.standard_exponential(count)
        chosen = choose(sizes / sizes.sum(), rng.random(len(artists)))
        # A scene without artists is left out.
        used, chosen = np.unique(chosen, return_inverse=True)
        home[artists] = len(scene_genre) + chosen
        scene_genre += [position] * len(used)
    n_scenes = len(scene_genre)
    country = choose(by_listeners, rng.random(n_scenes))
    at_home, which = rng.random(n_scenes) < 0.6, rng.random(n_scenes)
    for scene in np.flatnonzero(at_home):
        if homes := GENRES[scene_genre[scene]].home:
            country[scene] = countries.index(homes[int(which[scene] * len(homes))])
    sizes = np.bincount(home, minlength=n_scenes).astype(np.float64)
    pull = sizes**0.8 * np.exp(0.5 * rng.standard_normal(n_scenes))
    return Scenes(np.array(scene_genre), rng.random(n_scenes), country, pull), home


def _build_tickets(
    genre: NDArray[np.int64],
    home: NDArray[np.int64],
    scenes: Scenes,
    weights: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    artists = np.arange(len(genre))
    n_scenes = len(scenes.genre)
    # Some artists have a second scene, of a related genre or of their own.
    related = ring_affinity() + 0.5 * np.eye(len(GENRES))
    related[:, np.setdiff1d(np.arange(len(GENRES)), scenes.genre)] = 0.0
    second_genre = choose_rows(related[genre], rng.random(len(genre)))
    second = _choose_within(scenes.genre, scenes.pull, second_genre, rng.random(len(genre)))
    both = artists[(rng.random(len(genre)) < _SECOND_GENRE) & (second != home)]
    pools = np.concatenate([home, second[both], np.full(len(genre), n_scenes)])
    members = np.concatenate([artists, both, artists])
    weight = np.concatenate([weights, _SECOND_WEIGHT * weights[both], weights])
    order = np.argsort(pools, kind="stable")
    pools, members, weight = pools[order], members[order], weight[order]
    tickets = [
        level * (n_scenes + 1) + pools + _cumulative_shares(pools, weight**exponent)
        for level, exponent in enumerate(MAINSTREAM_LEVELS)
    ]
    return members, np.concatenate(tickets)


def _cumulative_shares(
    groups: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the running share of each weight in its group; ``groups`` is sorted."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(np.append(starts, len(groups)))
    running = np.cumsum(weights)
    before = np.repeat((running - weights)[starts], sizes)
    totals = np.repeat(np.add.reduceat(weights, starts), sizes)
    shares: NDArray[np.float64] = np.clip((running - before) / totals, 0.0, 1.0)
    # Rounding may miss 1, and a draw would then end in the next group.
    shares[starts + sizes - 1] = 1.0
    return shares


def _choose_within(
    groups: NDArray[np.int64],
    weights: NDArray[np.float64],
    wanted: NDArray[np.int64],
    uniform: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Draws a position of each wanted group by its weights; ``groups`` is sorted."""
    tickets = groups + _cumulative_shares(groups, weights)
    found = np.searchsorted(tickets, wanted + uniform, side="right")
    return np.minimum(found, len(groups) - 1)


def _build_mbids(artists: int, rng: np.random.Generator) -> list[str]:
    text = rng.bytes(16 * artists)
    ids = [
        str(uuid.UUID(bytes=text[start : start + 16], version=4))
        for start in range(0, len(text), 16)
    ]
    # Well-known artists are registered.
    known = np.arange(artists) < artists // 20
    missing = rng.random(artists) < _NO_MBID * artists / max(1, artists - artists // 20)
    return [
        "" if absent else mbid
        for mbid, absent in zip(ids, (missing & ~known).tolist(), strict=True)
    ]
