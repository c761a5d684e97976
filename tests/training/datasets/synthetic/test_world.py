from __future__ import annotations

import numpy as np
import pytest

from training.datasets.synthetic.world import (
    GENRES,
    build_world,
    popularity,
    ring_affinity,
)


def test_neighbours_on_the_ring_share_more_than_strangers() -> None:
    affinity = ring_affinity()

    assert affinity.sum(axis=1) == pytest.approx(1.0)
    assert affinity[0, 1] == affinity[0, -1] > 10 * affinity[0, len(GENRES) // 2]


def test_popularity_falls_and_its_top_is_steeper_in_a_smaller_world() -> None:
    small_world, large_world = popularity(3000, 48.0), popularity(160_112, 48.0)

    for shares in (small_world, large_world):
        assert shares.sum() == pytest.approx(1.0)
        assert (np.diff(shares) < 0).all()
    assert small_world[0] > large_world[0]
    assert large_world[0] == pytest.approx(0.35 / 48.0, rel=1e-3)


def test_an_artist_is_drawn_by_its_share_of_the_pool() -> None:
    world = build_world(200, 20.0, np.random.default_rng(5))
    uniform = (np.arange(20_000) + 0.5) / 20_000
    everybody = np.full(len(uniform), world.n_pools - 1)
    level = np.full(len(uniform), 2)

    drawn = np.bincount(world.draw(everybody, level, uniform), minlength=200) / len(uniform)

    expected = popularity(200, 20.0) ** 1.1
    assert drawn == pytest.approx(expected / expected.sum(), abs=2 / len(uniform))


def test_a_scene_gives_only_artists_that_belong_to_it() -> None:
    world = build_world(2000, 48.0, np.random.default_rng(6))
    scene = int(world.home[0])
    uniform = np.linspace(0, 1, 5000, endpoint=False)

    drawn = np.unique(world.draw(np.full(5000, scene), np.zeros(5000, dtype=np.int64), uniform))

    at_home = world.home[drawn] == scene
    assert at_home.mean() > 0.5
    assert set(np.flatnonzero(world.home == scene)) >= set(drawn[at_home])
