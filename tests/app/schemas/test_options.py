"""The table of list options against the query."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest
from pydantic import BaseModel, Field

from app.recommender import Query, Strategy
from app.schemas.options import (
    HOT_OPTIONS,
    BatchBody,
    RecommendBody,
    RecommendParameters,
    SharedOptions,
    arguments_of,
    check_options,
)

CALLS = (RecommendParameters, RecommendBody, BatchBody)


class WithDiversity(BaseModel):
    diversity: float = Field(default=0.0, ge=0, le=1)


class MoreParameters(WithDiversity, RecommendParameters):
    pass


class MoreBody(WithDiversity, RecommendBody):
    pass


@dataclass(slots=True)
class MoreQuery(Query):
    diversity: float = 0.0


def test_every_way_builds_the_query_by_name() -> None:
    asked = {"discovery": 0.25, "explore": 0.1, "seed": 3, "n": 7}
    query = Query(n=7, discovery=0.25, explore=0.1, seed=3)
    for options in (
        RecommendParameters.model_validate(asked),
        RecommendBody.model_validate(asked),
        BatchBody.model_validate(asked | {"user_ids": ["u1"]}),
    ):
        assert Query(**arguments_of(options)) == query


def test_each_option_of_a_body_arrives_as_it_was_sent() -> None:
    sent = {
        "user_id": "u1",
        "n": 3,
        "offset": 2,
        "strategy": "als",
        "exclude": ["a"],
        "candidates": ["b"],
        "include_seen": True,
        "discovery": 0.5,
        "listens": [{"artist_id": "c", "plays": 4}],
        "explore": 0.2,
        "seed": 9,
    }
    assert sent.keys() == RecommendBody.model_fields.keys()
    query = Query(**arguments_of(RecommendBody.model_validate(sent)))
    expected = sent | {"strategy": Strategy.ALS, "listens": [("c", 4)], "activity": None}
    assert {one.name: getattr(query, one.name) for one in fields(query)} == expected


def test_nothing_asked_is_the_query_s_own_default() -> None:
    assert arguments_of(RecommendParameters()) == {}
    assert arguments_of(BatchBody(user_ids=["u1"])) == {}


def test_an_option_without_a_field_of_the_query_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no fields of Query: options \['diversity'\]"):
        check_options([*CALLS, MoreParameters], Query, HOT_OPTIONS)
    check_options([*CALLS, MoreParameters], MoreQuery, HOT_OPTIONS)


def test_a_field_of_the_query_without_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no options of any call: fields \['diversity'\]"):
        check_options(CALLS, MoreQuery, HOT_OPTIONS)


def test_two_defaults_are_refused() -> None:
    class Other(SharedOptions):
        discovery: float = 0.5

    with pytest.raises(TypeError, match=r"the default of Other.discovery is not"):
        check_options([*CALLS, Other], Query, HOT_OPTIONS)


def test_a_hot_option_that_nobody_can_ask_is_refused() -> None:
    with pytest.raises(TypeError, match=r"named as hot: \['diversity'\]"):
        check_options(CALLS, Query, {*HOT_OPTIONS, "diversity"})
