from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import pytest

from app.events.activity import Activity
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.newcomers import Newcomer, Newcomers
from app.recommend.query import NEEDS, Query, Step, Strategy, check_needs, steps_asked
from tests.builders import random_model

# For each option a value that may be asked for.
ASKED: Final[Mapping[str, Any]] = {
    "user_id": "u1",
    "n": 4,
    "offset": 2,
    "strategy": Strategy.ALS,
    "exclude": ["i3"],
    "candidates": ["i1", "i2"],
    "include_seen": True,
    "discovery": 0.5,
    "listens": [("i1", 2.0)],
    "activity": Activity(barred=frozenset({"i1"})),
    "explore": 0.5,
    "seed": 3,
}


@cache
def model() -> Model:
    return random_model(np.random.default_rng(3), n_users=20, n_items=60, list_length=30)


def recommender() -> Recommender:
    """One whose newcomers are not ranked, so that there is something to explore."""
    vector = model().user_factors[0] / np.linalg.norm(model().user_factors[0])
    few = Newcomer("few", "Few", vector.astype(np.float32), is_ranked=False)
    return Recommender(model(), newcomers=Newcomers.of(model(), [few]))


@pytest.mark.parametrize("name", NEEDS)
def test_an_option_is_looked_up_where_it_needs_no_step_anew(name: str) -> None:
    query = replace(Query("u0", n=5), **{name: ASKED[name]})
    step = NEEDS[name]
    assert steps_asked(query) == ({step} if step else set())
    quick = recommender().recommend_quickly(query)
    assert (quick is None) == (step is not None)
    if quick is not None:
        unlisted = Recommender(replace(model(), top_lists=None), newcomers=recommender().newcomers)
        assert quick == unlisted.recommend(query)


@pytest.mark.parametrize("name", sorted(NEEDS.keys() - {"strategy"}))
def test_options_of_vectors_leave_popular_lists_to_a_look_up(name: str) -> None:
    query = Query("u0", n=5, strategy=Strategy.POPULARITY)
    query = replace(query, **{name: ASKED[name]})
    quick = recommender().recommend_quickly(query)
    assert (quick is not None) == (NEEDS[name] in {None, Step.RANK, Step.ADJUST})
    assert quick is None or quick == recommender().recommend(query)


def test_options_without_effect_need_no_step() -> None:
    assert steps_asked(Query("u0", listens=[], exclude=[])) == set()
    assert steps_asked(Query("u0", candidates=[])) == {Step.ELIGIBLE}
    # The model has no artists to explore.
    assert Recommender(model()).recommend_quickly(Query("u0", n=5, explore=0.5)) is not None


def test_an_option_that_says_nothing_of_its_steps_is_an_error() -> None:
    @dataclass(slots=True)
    class More(Query):
        diversity: float = 0.0

    with pytest.raises(TypeError, match=r"NEEDS and More differ in \['diversity'\]"):
        check_needs(NEEDS, More)
    check_needs({**NEEDS, "diversity": Step.ADJUST}, More)
    with pytest.raises(TypeError, match=r"differ in \['mood'\]"):
        check_needs({**NEEDS, "mood": None}, Query)
