"""Makes and publishes a model of any size without training, to measure the cost of size.

    python -m benchmarks.made_up_model --users 200000 --artists 180000 --models /tmp/made-up

Properties that answers depend on are those of a trained model (the default preset on 20,000 users
of Last.fm is the pattern). The vectors of artists have random directions, and lengths that fall
like a power law; artists are numbered by falling length. Each user has about 50 artists, popular
ones more often. All directions have a common part, so that most scores are above zero.

The precomputed lists are drawn too: true lists of two million users and half a million artists
would take days. They resemble true lists (no artist twice, popular ones more often, and falling
scores), and reading them costs the same. But they differ from the results of live scoring, and may
have artists that the user has.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.model.blocks import AlsBlock
from app.model.fold_in import gramian
from app.model.id_map import IdMap, StringTable
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.model import Model, Popularity, TopLists
from app.model.weighting import Weighting, WeightingName
from training.fitting.assembling import Frame, model_of
from training.publishing.publish import publish

FACTORS: Final = 64
PRESET: Final = "made-up"
_LIST_LENGTH: Final = 100
_SEEN: Final = 50
_ALPHA: Final = 9.9
_REGULARIZATION: Final = 40.0
# Popularity falls as 1 / (rank + this), as that of artists on Last.fm does.
_FLAT_HEAD: Final = 20
# Lists are filled from this share of the artists, those with the longest vectors.
_LISTED_SHARE: Final = 1 / 15
# Length of the part that all directions have in common, beside a random part of length 1.
_COMMON: Final = 0.35
_USERS_PER_BLOCK: Final = 100_000


def made_up_model(users: int, artists: int, factors: int = FACTORS, seed: int = 0) -> Model:
    """Makes a model.

    Args:
        users: how many.
        artists: how many, at least twice the length of a list.
        factors: length of the vectors.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    item_factors = _item_factors(rng, artists, factors)
    user_factors = _directions(rng, users, factors)
    user_factors *= rng.uniform(0.7, 1.1, size=(users, 1)).astype(np.float32)
    user_items = _user_items(rng, users, artists)
    frame = Frame(
        users=IdMap.build(_hex_ids(rng, users, 40)),
        items=Items.of(
            IdMap.build(_uuids(rng, artists)),
            StringTable.build(f"made-up artist {index}" for index in range(artists)),
        ),
        user_items=user_items,
        popularity=Popularity.count(user_items),
    )
    model = model_of(
        frame,
        user_factors=user_factors,
        item_factors=item_factors,
        blocks=[
            AlsBlock(
                gramian(item_factors),
                Weighting.fit(user_items, WeightingName.BM25),
                _ALPHA,
                _REGULARIZATION,
            )
        ],
    )
    return replace(model, top_lists=_top_lists(rng, users, artists))


def publish_made_up(model: Model, models: Path) -> str:
    """Publishes a made-up model and returns its version."""
    users, artists = len(model.users), len(model.items)
    pairs = model.user_items.nnz
    card = {
        "dataset": {"name": PRESET, "users": users, "artists": artists, "pairs": pairs},
        "parameters": {"factors": model.item_factors.shape[1]},
        "metrics": None,
        "preset": PRESET,
    }
    return publish(model, models, card=card, force=True).version


def _directions(rng: np.random.Generator, count: int, factors: int) -> NDArray[np.float32]:
    """Returns vectors of length 1, float32, shape (count, factors)."""
    vectors = rng.standard_normal((count, factors), dtype=np.float32)
    vectors /= np.float32(np.sqrt(factors))
    # The same in all dimensions, so that none of them is special.
    vectors += np.float32(_COMMON / np.sqrt(factors))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _item_factors(rng: np.random.Generator, artists: int, factors: int) -> NDArray[np.float32]:
    # Fitted to a trained model: 3.0 at the head, 1.7 after a hundredth, 0.13 in the middle, 0.05.
    share = np.arange(artists) / artists
    lengths = 3.1 * (1 + share / 0.0076) ** -0.75 * (1 - 0.4 * share**3)
    vectors = _directions(rng, artists, factors)
    vectors *= lengths.astype(np.float32)[:, None]
    # Rounding must not swap neighbours.
    order = np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")
    return vectors[order]


def _popular(
    rng: np.random.Generator, shape: int | tuple[int, int], artists: int
) -> NDArray[np.int64]:
    """Draws artists, the popular ones (low numbers) more often, repeats included."""
    exponents = rng.random(shape) * np.log1p(artists / _FLAT_HEAD)
    drawn: NDArray[np.int64] = (_FLAT_HEAD * np.expm1(exponents)).astype(np.int64)
    return np.minimum(drawn, artists - 1, out=drawn)


def _user_items(rng: np.random.Generator, users: int, artists: int) -> UserItems:
    # Every artist has a listener, as after the filters of training.
    loyal = rng.permutation(artists)
    indptr = np.zeros(users + 1, dtype=np.int64)
    parts = []
    for start in range(0, users, _USERS_PER_BLOCK):
        stop = min(start + _USERS_PER_BLOCK, users)
        rows = np.repeat(np.arange(start, stop), rng.poisson(_SEEN, stop - start))
        keys = rows * artists + _popular(rng, len(rows), artists)
        first, last = (-(-edge * artists // users) for edge in (start, stop))
        owners = np.arange(first, last) * users // artists
        # Not np.unique, which takes ten times as long for integers.
        keys = np.sort(np.concatenate([keys, owners * artists + loyal[first:last]]))
        keys = keys[np.diff(keys, prepend=-1) > 0]
        counts = np.bincount(keys // artists - start, minlength=stop - start)
        indptr[start + 1 : stop + 1] = counts
        parts.append((keys % artists).astype(np.int32))
    np.cumsum(indptr, out=indptr)
    indices = np.concatenate(parts)
    plays = rng.standard_exponential(len(indices), dtype=np.float32)
    np.ceil(plays * 100, out=plays)
    return UserItems(indptr, indices, np.maximum(plays, 1, out=plays), artists)


def _top_lists(rng: np.random.Generator, users: int, artists: int) -> TopLists:
    items = np.empty((users, _LIST_LENGTH), dtype=np.int32)
    scores = np.empty((users, _LIST_LENGTH), dtype=np.float32)
    listed = max(round(artists * _LISTED_SHARE), 2 * _LIST_LENGTH)
    places = np.arange(_LIST_LENGTH)
    falling = ((places + 1.0) ** -0.17).astype(np.float32)
    for start in range(0, users, _USERS_PER_BLOCK):
        block = slice(start, min(start + _USERS_PER_BLOCK, users))
        shape = (block.stop - start, _LIST_LENGTH)
        drawn = np.sort(_popular(rng, shape, listed - _LIST_LENGTH), axis=1)
        # Each one past its neighbour, so that no artist comes twice.
        drawn = np.maximum.accumulate(drawn - places, axis=1) + places
        items[block] = rng.permuted(drawn, axis=1)
        highest = rng.uniform(0.7, 1.3, size=(shape[0], 1)).astype(np.float32)
        scores[block] = highest * falling
    return TopLists(items, scores)


def _hex_ids(rng: np.random.Generator, count: int, length: int) -> list[str]:
    text = rng.bytes(count * length // 2).hex()
    return [text[start : start + length] for start in range(0, count * length, length)]


def _uuids(rng: np.random.Generator, count: int) -> list[str]:
    return [
        f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}"
        for one in _hex_ids(rng, count, 32)
    ]


def main() -> None:
    """Makes and publishes one model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--artists", type=int, required=True)
    parser.add_argument("--factors", type=int, default=FACTORS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, required=True, help="where to publish")
    given = parser.parse_args()
    start = time.perf_counter()
    model = made_up_model(given.users, given.artists, given.factors, given.seed)
    made = time.perf_counter()
    version = publish_made_up(model, given.models)
    done = time.perf_counter()
    print(f"{version}: made in {made - start:.0f} s, published in {done - made:.0f} s")


if __name__ == "__main__":
    main()
