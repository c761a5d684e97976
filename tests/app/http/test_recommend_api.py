from __future__ import annotations

import itertools
import math
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Strategy
from tests.app.conftest import LIST_LENGTH, ODD_ITEMS, ODD_USERS

PLAIN_USERS = ("u30", "u31")
NO_HISTORY = "u39"


@pytest.fixture(scope="module")
def recommender(model: Model) -> Recommender:
    return Recommender(model)


def path_of(user_id: str) -> str:
    return f"/recommend/{quote(user_id, safe='')}"


def expected(recommender: Recommender, query: Query) -> list[dict[str, Any]]:
    """What the recommender says, in the words of the API."""
    model, answer = recommender.model, recommender.recommend(query)
    return [
        {
            "rank": query.offset + position + 1,
            "artist_id": model.items.id(int(item)),
            "name": model.item_names[int(item)],
            "score": None if math.isnan(score) else round(float(score), 6),
            "source": str(source),
        }
        for position, (item, score, source) in enumerate(
            zip(answer.items, answer.scores, answer.sources, strict=True)
        )
    ]


def assert_refused(response: Any, location: str, message: str) -> None:
    problem = response.json()
    assert response.status_code == problem["status"] == 422, problem
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["location"] == location
    assert message in problem["errors"][0]["message"]
    assert len(response.content) < 1500


def test_an_answer_has_exactly_the_documented_form(
    client: TestClient, recommender: Recommender, version: str
) -> None:
    response = client.get("/recommend/u30?n=2")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "user_id": "u30",
        "source": "als",
        "model_version": version,
        "items": expected(recommender, Query("u30", n=2)),
    }
    assert list(response.json()) == ["user_id", "source", "model_version", "items"]
    assert list(response.json()["items"][0]) == ["rank", "artist_id", "name", "score", "source"]


@pytest.mark.slow
@pytest.mark.parametrize("user_id", [*PLAIN_USERS, NO_HISTORY, "nobody"])
def test_every_option_gives_what_the_recommender_gives(
    client: TestClient, recommender: Recommender, user_id: str
) -> None:
    options = itertools.product(
        (1, 10, LIST_LENGTH + 1, 500), (0, 3), (False, True), ((), ("i20", "a,b", "unknown"))
    )
    for n, offset, include_seen, exclude in options:
        for strategy in (Strategy.AUTO, Strategy.POPULARITY):
            query = Query(user_id, n, offset, strategy, exclude, None, include_seen)
            parameters: dict[str, Any] = {
                "n": n,
                "offset": offset,
                "include_seen": include_seen,
                "exclude": list(exclude),
                "strategy": str(strategy),
            }
            by_get = client.get(path_of(user_id), params=parameters)
            by_post = client.post("/recommend", json=parameters | {"user_id": user_id})
            assert by_get.json() == by_post.json()
            assert by_get.json()["items"] == expected(recommender, query)


@pytest.mark.parametrize("discovery", [0, 0.25, 1])
def test_the_dial_is_there_in_every_call(
    client: TestClient, recommender: Recommender, discovery: float
) -> None:
    users = [*PLAIN_USERS, NO_HISTORY, "nobody"]
    batch = {"user_ids": users, "n": 20, "discovery": discovery}
    results = client.post("/recommend/batch", json=batch).json()["results"]
    for user_id, result in zip(users, results, strict=True):
        by_get = client.get(path_of(user_id), params={"n": 20, "discovery": discovery}).json()
        body = {"user_id": user_id, "n": 20, "discovery": discovery}
        assert client.post("/recommend", json=body).json() == by_get
        wanted = expected(recommender, Query(user_id, n=20, discovery=discovery))
        assert by_get["items"] == result["items"] == wanted
        off = client.get(path_of(user_id), params={"n": 20}).json()
        assert (by_get == off) is (discovery == 0 or by_get["source"] == "popularity")


@pytest.mark.parametrize(("sent", "read"), [("0", 0.0), ("1", 1.0), ("1.0", 1.0), ("0.250", 0.25)])
def test_the_dial_is_a_plain_decimal_number(
    client: TestClient, recommender: Recommender, sent: str, read: float
) -> None:
    wanted = expected(recommender, Query("u30", discovery=read))
    assert client.get(f"/recommend/u30?discovery={sent}").json()["items"] == wanted
    headers = {"content-type": "application/json"}
    body = f'{{"user_id": "u30", "discovery": {sent}}}'
    by_post = client.post("/recommend", content=body, headers=headers)
    assert by_post.json()["items"] == wanted


@pytest.mark.parametrize("user_id", [one for one in ODD_USERS if one not in {"", ".", ".."}])
def test_an_odd_id_in_a_path_is_found_byte_for_byte(
    client: TestClient, recommender: Recommender, user_id: str
) -> None:
    answer = client.get(path_of(user_id)).json()
    assert (answer["user_id"], answer["source"]) == (user_id, "als")
    assert answer["items"] == expected(recommender, Query(user_id))


@pytest.mark.parametrize("user_id", ODD_USERS)
def test_a_body_carries_any_id(client: TestClient, recommender: Recommender, user_id: str) -> None:
    answer = client.post("/recommend", json={"user_id": user_id}).json()
    assert (answer["user_id"], answer["source"]) == (user_id, "als")
    assert answer["items"] == expected(recommender, Query(user_id))


def test_a_plus_in_a_path_is_a_plus(client: TestClient) -> None:
    assert client.get("/recommend/a+b").json()["user_id"] == "a+b"
    assert client.get("/recommend/a%2Bb").json()["user_id"] == "a+b"


def test_an_id_is_decoded_once(client: TestClient) -> None:
    assert client.get("/recommend/%2541").json()["user_id"] == "%41"
    assert client.get("/recommend/a%252Fb").json()["user_id"] == "a%2Fb"


def test_a_user_may_be_called_like_a_call(client: TestClient) -> None:
    assert client.get("/recommend/batch").json()["user_id"] == "batch"


@pytest.mark.parametrize("item_id", ODD_ITEMS)
def test_an_odd_artist_id_can_be_excluded(client: TestClient, item_id: str) -> None:
    whole = client.get("/recommend/u30", params={"n": 500, "include_seen": True}).json()
    assert item_id in {item["artist_id"] for item in whole["items"]}
    rest = client.get(
        "/recommend/u30", params={"n": 500, "include_seen": True, "exclude": item_id}
    ).json()
    assert len(rest["items"]) == len(whole["items"]) - 1
    assert item_id not in {item["artist_id"] for item in rest["items"]}


def test_pages_make_up_the_whole_list(client: TestClient) -> None:
    whole = client.get("/recommend/u30?n=30").json()["items"]
    pages = [client.get(f"/recommend/u30?n=10&offset={k}").json()["items"] for k in (0, 10, 20)]
    assert [item for page in pages for item in page] == whole
    assert [item["rank"] for item in whole] == list(range(1, 31))


def test_a_filled_item_has_no_score(client: TestClient, model: Model) -> None:
    answer = client.get("/recommend/u30?strategy=als&n=500&include_seen=true").json()
    nobodys = {model.items.id(int(index)) for index in model.unlistened}
    for item in answer["items"]:
        assert (item["score"] is None) == (item["artist_id"] in nobodys)


@pytest.mark.parametrize("user_id", ["nobody", NO_HISTORY])
def test_a_user_without_history_gets_popular_artists(client: TestClient, user_id: str) -> None:
    answer = client.get(path_of(user_id)).json()
    popular = client.get("/popular").json()
    assert answer["source"] == "popularity"
    assert [item["artist_id"] for item in answer["items"]] == [
        item["artist_id"] for item in popular["items"]
    ]
    assert [item["score"] for item in answer["items"]] == [
        item["listeners"] for item in popular["items"]
    ]


@pytest.mark.parametrize("user_id", ["nobody", NO_HISTORY])
def test_als_for_a_user_without_history_is_404(client: TestClient, user_id: str) -> None:
    for response in (
        client.get(path_of(user_id), params={"strategy": "als"}),
        client.post("/recommend", json={"user_id": user_id, "strategy": "als"}),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:encore:problem:unknown-user"
        assert "strategy=auto" in response.json()["detail"]


def test_a_query_without_a_user_is_for_an_unknown_user(client: TestClient) -> None:
    answer = client.post("/recommend", json={}).json()
    assert answer["user_id"] is None
    assert answer["source"] == "popularity"
    assert client.post("/recommend", json={"user_id": None}).json() == answer


def test_candidates_are_ranked_and_nothing_else(
    client: TestClient, recommender: Recommender
) -> None:
    candidates = [*ODD_ITEMS, "i30", "i31", "unknown"]
    for user_id in (*PLAIN_USERS, "nobody", None):
        answer = client.post("/recommend", json={"user_id": user_id, "candidates": candidates})
        query = Query(user_id, candidates=candidates)
        assert answer.json()["items"] == expected(recommender, query)
        assert {item["artist_id"] for item in answer.json()["items"]} <= set(candidates)
    assert client.post("/recommend", json={"candidates": []}).json()["items"] == []


def test_a_batch_answers_what_single_calls_answer(client: TestClient, version: str) -> None:
    users = [*ODD_USERS, "nobody", *PLAIN_USERS, NO_HISTORY, "u30"]
    answer = client.post("/recommend/batch", json={"user_ids": users, "n": 20}).json()
    assert answer["model_version"] == version
    assert len(answer["results"]) == len(users)
    for user_id, result in zip(users, answer["results"], strict=True):
        single = client.post("/recommend", json={"user_id": user_id, "n": 20}).json()
        del single["model_version"]
        assert result == single


@pytest.mark.slow
def test_the_largest_batch_is_answered(client: TestClient) -> None:
    response = client.post("/recommend/batch", json={"user_ids": ["u30"] * 1000, "n": 100})
    assert len(response.json()["results"]) == 1000


def test_a_thousand_exclusions_are_obeyed(client: TestClient, model: Model) -> None:
    exclude = [*model.items.strings][:50] + [f"unknown{index}" for index in range(950)]
    answer = client.post("/recommend", json={"user_id": "u30", "exclude": exclude, "n": 500})
    assert not {item["artist_id"] for item in answer.json()["items"]} & set(exclude)
    assert answer.json()["items"]


@pytest.mark.parametrize(
    ("query", "location", "message"),
    [
        ("n=0", "query.n", "greater than or equal to 1, found '0'"),
        ("n=501", "query.n", "less than or equal to 500"),
        ("n=100000", "query.n", "less than or equal to 500, found '100000'"),
        ("n=-1", "query.n", "greater than or equal to 1"),
        ("n=ten", "query.n", "whole number"),
        ("n=1.0", "query.n", "whole number"),
        ("n=1_0", "query.n", "whole number"),
        ("n=%201", "query.n", "whole number"),
        ("n=", "query.n", "whole number"),
        ("n=٣", "query.n", "whole number"),
        ("n=" + "9" * 5000, "query.n", "maximum size"),
        ("n=1&n=2", "query.n", "is given 2 times"),
        ("offset=-1", "query.offset", "greater than or equal to 0"),
        ("offset=10001", "query.offset", "less than or equal to 10000"),
        ("strategy=best", "query.strategy", "'auto', 'als' or 'popularity', found 'best'"),
        ("strategy=als&strategy=als", "query.strategy", "is given 2 times"),
        ("include_seen=perhaps", "query.include_seen", "valid boolean"),
        ("discovery=1.01", "query.discovery", "less than or equal to 1, found '1.01'"),
        ("discovery=-0.1", "query.discovery", "greater than or equal to 0"),
        ("discovery=" + "9" * 400, "query.discovery", "less than or equal to 1"),
        ("discovery=nan", "query.discovery", "number in decimal digits, such as 0.25"),
        ("discovery=inf", "query.discovery", "number in decimal digits"),
        ("discovery=1e-1", "query.discovery", "number in decimal digits"),
        ("discovery=0,5", "query.discovery", "number in decimal digits"),
        ("discovery=%200.5", "query.discovery", "number in decimal digits"),
        ("discovery=0_1.5", "query.discovery", "number in decimal digits"),
        ("discovery=٣", "query.discovery", "number in decimal digits"),
        ("discovery=", "query.discovery", "number in decimal digits"),
        ("discovery=0&discovery=0", "query.discovery", "is given 2 times"),
        ("limit=5", "query.limit", "is not a parameter of this call; known: n, offset"),
        ("N=5", "query.N", "is not a parameter"),
        ("=5", "query.", "is not a parameter"),
        ("q" * 5000 + "=1", "query." + "q" * 91 + "...", "is not a parameter"),
        ("exclude=%FF", "query.exclude", "not UTF-8"),
        ("exclude=%ED%A0%80", "query.exclude", "not UTF-8"),
        ("exclude=100%", "query.exclude", "write it as %25"),
        ("exclude=" + "x" * 257, "query.exclude.0", "at most 256 bytes"),
        ("&".join(["exclude=x"] * 1001), "query.exclude", "at most 1000"),
        ("%FF=1", "query.%FF", "not UTF-8"),
    ],
)
def test_a_bad_query_is_refused_with_the_reason(
    client: TestClient, query: str, location: str, message: str
) -> None:
    assert_refused(client.get(f"/recommend/u30?{query}"), location, message)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ("x" * 257, "at most 256 bytes; this one has 257"),
        ("x" * 10_240, "at most 256 bytes; this one has 10240"),
        ("%C3%A9" * 129, "at most 256 bytes; this one has 258"),
        ("%FF", "not UTF-8"),
        ("%C3", "not UTF-8"),
        ("%ED%A0%80", "not UTF-8"),
        ("50%", "write it as %25"),
        ("%4", "write it as %25"),
        ("%zz", "write it as %25"),
    ],
)
def test_a_bad_id_in_a_path_is_refused_with_the_reason(
    client: TestClient, segment: str, message: str
) -> None:
    assert_refused(client.get(f"/recommend/{segment}"), "path.user_id", message)


def test_several_faults_are_listed_together(client: TestClient) -> None:
    problem = client.get("/recommend/u30?n=0&offset=-1").json()
    assert [error["location"] for error in problem["errors"]] == ["query.n", "query.offset"]
    assert problem["detail"].startswith("query.n: should be ")
    assert problem["detail"].endswith("(and 1 more)")
    many = client.post("/recommend", json={"exclude": ["x" * 257] * 1000}).json()
    assert len(many["errors"]) == 20
    assert many["detail"].endswith("(and at least 19 more)")


@pytest.mark.parametrize(
    ("body", "location", "message"),
    [
        (b"", "body", "is not JSON"),
        (b"{", "body", "is not JSON"),
        (b"[]", "body", "object"),
        (b"null", "body", "object"),
        (b'"u30"', "body", "object"),
        (b"\xff", "body", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "body", "BOM"),
        ('{"user_id": "u30"}'.encode("utf-16"), "body", "is not UTF-8"),
        (b"[" * 100_000, "body", "nested too deeply"),
        (b'{"n": NaN}', "body.n", "valid integer, found nan"),
        (b'{"n": -Infinity}', "body.n", "valid integer, found -inf"),
        (b'{"n": 1e999}', "body.n", "valid integer"),
        (b'{"n": ' + b"9" * 5000 + b"}", "body.n", "valid integer, found inf"),
        (b'{"n": 1, "n": 2}', "body", "the field 'n' is given twice"),
        (b'{"n": 0}', "body.n", "greater than or equal to 1, found 0"),
        (b'{"n": 100000}', "body.n", "less than or equal to 500, found 100000"),
        (b'{"n": "10"}', "body.n", "valid integer, found '10'"),
        (b'{"n": 10.0}', "body.n", "valid integer, found 10.0"),
        (b'{"n": true}', "body.n", "valid integer, found True"),
        (b'{"n": null}', "body.n", "valid integer"),
        (b'{"offset": 10001}', "body.offset", "less than or equal to 10000"),
        (b'{"discovery": 1.5}', "body.discovery", "less than or equal to 1, found 1.5"),
        (b'{"discovery": -1}', "body.discovery", "greater than or equal to 0, found -1"),
        (b'{"discovery": 1e999}', "body.discovery", "less than or equal to 1"),
        (b'{"discovery": NaN}', "body.discovery", "found nan"),
        (b'{"discovery": "0.5"}', "body.discovery", "valid number, found '0.5'"),
        (b'{"discovery": true}', "body.discovery", "valid number, found True"),
        (b'{"discovery": null}', "body.discovery", "valid number"),
        (b'{"include_seen": "yes"}', "body.include_seen", "valid boolean"),
        (b'{"strategy": "best"}', "body.strategy", "'auto', 'als' or 'popularity'"),
        (b'{"strategy": 3}', "body.strategy", "'auto', 'als' or 'popularity'"),
        (b'{"user_id": 5}', "body.user_id", "valid string, found 5"),
        (b'{"user_id": "\\ud800"}', "body.user_id", "valid UTF-8"),
        (b'{"user_id": "' + b"x" * 257 + b'"}', "body.user_id", "at most 256 bytes"),
        (b'{"exclude": null}', "body.exclude", "valid list"),
        (b'{"exclude": "i3"}', "body.exclude", "valid list"),
        (b'{"exclude": ["a", 5]}', "body.exclude.1", "valid string"),
        (b'{"candidates": ["\\udfff"]}', "body.candidates.0", "valid UTF-8"),
        (b'{"candidates": [' + b'"a",' * 1000 + b'"a"]}', "body.candidates", "at most 1000"),
        (b'{"user": "u30"}', "body.user", "is not a field of this call"),
        (
            b'{"listens": [{"artist_id": "a", "plays": 0}]}',
            "body.listens.0.plays",
            "or equal to 0.001",
        ),
        (b'{"listens": [{"plays": 1}]}', "body.listens.0.artist_id", "is required"),
        (
            b'{"listens": [' + b'{"artist_id": "a"},' * 1000 + b'{"artist_id": "a"}]}',
            "body.listens",
            "at most 1000",
        ),
        (b'{"\\ud800": 1}', "body", "lone surrogate"),
    ],
)
def test_a_bad_body_is_refused_with_the_reason(
    client: TestClient, body: bytes, location: str, message: str
) -> None:
    headers = {"content-type": "application/json"}
    assert_refused(client.post("/recommend", content=body, headers=headers), location, message)


@pytest.mark.parametrize(
    ("body", "location", "message"),
    [
        ({}, "body.user_ids", "is required"),
        ({"user_ids": []}, "body.user_ids", "should not be empty"),
        ({"user_ids": ["u"] * 1001}, "body.user_ids", "at most 1000"),
        ({"user_ids": ["u"] * 1000, "n": 101}, "body", "101,000 items, more than 100,000"),
        ({"user_ids": [None]}, "body.user_ids.0", "valid string"),
        ({"user_ids": ["u"], "n": 0}, "body.n", "greater than or equal to 1"),
        ({"user_ids": ["u"], "discovery": 2}, "body.discovery", "less than or equal to 1"),
        ({"user_ids": ["u"], "discovery": "0"}, "body.discovery", "valid number"),
        ({"user_ids": ["u"], "strategy": "als"}, "body.strategy", "is not a field"),
    ],
)
def test_a_bad_batch_is_refused_with_the_reason(
    client: TestClient, body: Any, location: str, message: str
) -> None:
    assert_refused(client.post("/recommend/batch", json=body), location, message)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "é"],
)
def test_a_body_of_another_type_is_refused(client: TestClient, content_type: str) -> None:
    headers = {b"content-type": content_type.encode()} if content_type else {}
    response = client.post("/recommend", content=b"{}", headers=headers)
    assert_refused(
        response, "header.content-type", "send the header Content-Type: application/json"
    )


def test_a_body_may_name_its_charset(client: TestClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/recommend", content=b"{}", headers=headers).status_code == 200


def test_a_path_with_more_or_fewer_segments_is_not_found(client: TestClient) -> None:
    for path in ("/recommend/", "/recommend/u30/", "/recommend/a/b", "//recommend/u30"):
        assert client.get(path).status_code == 404, path


def test_without_a_model_every_list_is_503_with_a_hint(bare_client: TestClient) -> None:
    for response in (
        bare_client.get("/recommend/u30"),
        bare_client.post("/recommend", json={}),
        bare_client.post("/recommend/batch", json={"user_ids": ["u30"]}),
    ):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "python -m training train" in response.json()["detail"]
