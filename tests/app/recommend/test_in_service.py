from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from app.model.model import Model
from app.recommend.availability import ALL_AVAILABLE, Availability
from app.recommend.in_service import InService
from app.recommend.ladder import Recommender
from app.recommend.newcomers import Newcomer, Newcomers
from app.recommend.query import PopularityBy, Query
from app.recommend.situation import Situation
from tests.builders import random_model


@cache
def model() -> Model:
    return random_model(np.random.default_rng(3), n_users=20, n_items=30, list_length=10)


def gone(version: int, *artists: str) -> Availability:
    return Availability.of(version, artists, model().items)


def newcomers(count: int) -> Newcomers:
    vector = model().user_factors[0]
    return Newcomers.of(model(), [Newcomer(f"new{one}", "New", vector) for one in range(count)])


def in_service() -> InService:
    service = InService()
    service.put(Recommender(model(), popularity_by=PopularityBy.PLAYS))
    return service


def served(service: InService) -> Recommender:
    assert service.recommender is not None
    return service.recommender


def test_a_situation_never_changes() -> None:
    situation = Recommender(model()).situation
    assert situation.availability is ALL_AVAILABLE
    assert not situation.newcomers.artists
    with pytest.raises(FrozenInstanceError):
        situation.availability = gone(1)  # type: ignore[misc]


def test_availability_never_returns_to_an_older_version() -> None:
    situation = Recommender(model()).situation.with_availability(gone(2, "i1"))
    assert situation.availability.artists == {"i1"}
    for version in (1, 2):
        assert situation.with_availability(gone(version, "i2")) is situation
    assert situation.with_availability(gone(3)).availability.artists == frozenset()


def test_a_successor_answers_as_one_made_anew_and_leaves_the_former_alone() -> None:
    former = Recommender(model(), popularity_by=PopularityBy.PLAYS)
    before = [former.recommend(query) for query in (Query("u0"), Query())]
    best = model().items.id(before[0].items[0])
    situation = Situation.of(model(), gone(1, best), newcomers(2))
    successor = former.succeeded_by(situation)
    anew = Recommender(
        model(),
        availability=situation.availability,
        newcomers=situation.newcomers,
        popularity_by=PopularityBy.PLAYS,
    )
    for query in (Query("u0"), Query()):
        assert successor.recommend(query) == anew.recommend(query)
    assert successor.recommend(Query("u0")) != before[0]
    assert [former.recommend(query) for query in (Query("u0"), Query())] == before
    assert former.succeeded_by(former.situation) is former
    with pytest.raises(ValueError, match="the same model"):
        former.succeeded_by(Situation.of(replace(model())))


def test_changes_of_two_threads_at_the_same_moment_both_hold() -> None:
    service, others = in_service(), list[threading.Thread]()

    def find_newcomers() -> None:
        service.update(served(service), lambda one: one.with_newcomers(newcomers(3)))

    def take_one_out(situation: Situation) -> Situation:
        # Another thread comes with its change while this one is being made.
        others.append(threading.Thread(target=find_newcomers))
        others[0].start()
        others[0].join(0.2)
        return situation.with_availability(gone(1, "i1"))

    service.update(served(service), take_one_out)
    others[0].join()
    assert served(service).availability.artists == {"i1"}
    assert len(served(service).newcomers.artists) == 3


def test_no_change_of_many_threads_is_lost() -> None:
    service = in_service()

    def change(number: int) -> None:
        if number % 2:
            service.update(
                served(service), lambda one: one.with_availability(gone(number, f"i{number % 30}"))
            )
        else:
            service.update(
                served(service),
                lambda one: one.with_newcomers(newcomers(len(one.newcomers.artists) + 1)),
            )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(100)))
    assert served(service).availability.version == 99
    assert len(served(service).newcomers.artists) == 50


@pytest.mark.parametrize("other", [None, "another model"])
def test_a_change_for_a_model_out_of_service_is_returned_to_its_caller_only(other: Any) -> None:
    service = in_service()
    pinned = served(service)
    another = other and Recommender(replace(model(), version=other))
    assert service.put(another) is pinned
    successor = service.update(pinned, lambda one: one.with_availability(gone(1, "i1")))
    assert successor.model is model()
    assert successor.availability.artists == {"i1"}
    assert service.recommender is another
    assert pinned.availability is ALL_AVAILABLE
