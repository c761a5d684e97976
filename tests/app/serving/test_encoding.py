from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.newcomers import Newcomer, Newcomers
from app.recommend.query import Query, Recommendation, Source, Strategy
from app.schemas.lists import Recommendations, UserList
from app.serving import encoding
from app.serving.encoding import encode_list
from tests.app.conftest import LIST_LENGTH, ODD_USERS
from tests.builders import interactions_of, random_plays, small_model


def by_schema(model: Model, query: Query, answer: Recommendation) -> Any:
    """The answer as its schema encodes it."""
    whole = encoding._by_schema(model, query, answer, with_version=True)
    return json.loads(whole, object_pairs_hook=list)


QUERIES = [
    *(Query(user_id) for user_id in (*ODD_USERS, "nobody", None)),
    *(Query("u30", n=n, offset=offset) for n in (1, 2, LIST_LENGTH, 500) for offset in (0, 7, 100)),
    Query("u30", strategy=Strategy.POPULARITY),
    Query("u30", n=500, strategy=Strategy.POPULARITY, offset=59),
    Query("u30", include_seen=True, n=60),
    Query("u30", discovery=0.5),
    Query("u30", candidates=["a,b", "i20"]),
    Query("u30", candidates=[]),
    Query("u30", listens=[("i20", 3.0)]),
    Query(None, listens=[("i20", 3.0)], n=3),
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_list_equals_its_encoding_by_the_schema(model: Model, query: Query) -> None:
    answer = Recommender(model).recommend(query)
    for schema, with_version in ((Recommendations, True), (UserList, False)):
        encoded = encode_list(model, query, answer, with_version=with_version)
        read: BaseModel = schema.model_validate_json(encoded, strict=True, extra="forbid")
        assert json.loads(read.model_dump_json()) == json.loads(encoded)
    whole = encode_list(model, query, answer)
    # Field by field in the same order, too.
    assert json.loads(whole, object_pairs_hook=list) == by_schema(model, query, answer)


def test_a_list_with_newcomers_equals_its_encoding_by_the_schema(model: Model) -> None:
    vectors = 2 * model.user_factors[30] * np.linspace(0.5, 1.5, 3, dtype=np.float32)[:, None]
    newcomers = Newcomers.of(
        model,
        [
            Newcomer(f'"new" {number}', f"Ünï \\ %b {number}", vector)
            for number, vector in enumerate(vectors)
        ],
    )
    recommender = Recommender(model, newcomers=newcomers)
    for query in (Query("u30"), Query("u30", offset=3), Query("u30", include_seen=True)):
        answer = recommender.recommend(query)
        assert answer.newcomers is recommender.newcomers or query.offset
        whole = encode_list(model, query, answer)
        assert json.loads(whole, object_pairs_hook=list) == by_schema(model, query, answer)


def test_ids_and_names_that_json_escapes_come_out_whole(rng: np.random.Generator) -> None:
    texts = ['"Weird Al"', "back\\slash", "new\nline", "nul\0", "\x1f\x7f", "Sigur Rós", "🎸", ""]
    model = small_model(
        interactions_of(
            random_plays(rng, n_users=3, n_items=len(texts)),
            item_ids=[f"id of {text}" for text in texts],
            item_names=texts,
        )
    )
    for user_id in ("u0", '"quoted"\n'):
        query = Query(user_id, n=len(texts), include_seen=True)
        answer = json.loads(encode_list(model, query, Recommender(model).recommend(query)))
        assert answer["user_id"] == user_id
        assert {(item["artist_id"], item["name"]) for item in answer["items"]} == {
            (f"id of {text}", text) for text in texts
        }


@pytest.mark.parametrize("score", [np.inf, -np.inf, np.nan])
def test_a_nan_score_is_null(model: Model, score: float) -> None:
    scores = [score, 1.0] if score == np.inf else [1.0, score]
    answer = Recommendation(Source.ALS, [3, 4], scores, [Source.ALS] * 2)
    items = json.loads(encode_list(model, Query("u30"), answer))["items"]
    assert sorted((item["score"] for item in items), key=str) == [1.0, None]


def test_scores_have_six_decimals_whatever_their_size(model: Model) -> None:
    scores = [1.5e8, 0.12345678, 1e-9, -2.5]
    answer = Recommendation(Source.FOLD_IN, [0, 1, 2, 3], scores, [Source.FOLD_IN] * 4)
    items = json.loads(encode_list(model, Query("u30"), answer))["items"]
    assert [item["score"] for item in items] == [round(score, 6) for score in scores]


def test_cached_json_of_a_model_is_freed_with_it(model: Model) -> None:
    copy = replace(model, version="copy")
    query = Query("u30")
    assert b'"model_version":"copy"' in encode_list(copy, query, Recommender(copy).recommend(query))
    gone = weakref.ref(copy)
    del copy
    gc.collect()
    assert gone() is None


def test_counts_need_not_be_whole_numbers(model: Model) -> None:
    # Was wrong: plays were cut to one decimal.
    scores = [620.1875, 344.375, 3.0]
    answer = Recommendation(Source.POPULARITY, [0, 1, 2], scores, [Source.POPULARITY] * 3)
    items = json.loads(encode_list(model, Query(None), answer))["items"]
    assert [item["score"] for item in items] == scores
