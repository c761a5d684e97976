"""A real server process that gets requests made to take long; it refuses or answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from tests.server import PATIENCE, Server, serving

pytestmark = pytest.mark.slow

LONGEST: Final = 4 * 2**20
MOST_ERRORS: Final = 20
NOT_JSON: Final = '{"user_id": "u30", "n": '


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with serving(models) as server:
        yield server


def repeated(text: str, around: str = "%s") -> str:
    """Returns as much of a text as fits into the longest body, numbered where it says so."""
    left = LONGEST - len(around)
    if "#" not in text:
        return around.replace("%s", (text * (left // len(text))).strip(","))
    count = left // (len(text) + 6)
    return around.replace("%s", ",".join(text.replace("#", str(k)) for k in range(count)))


def listens(one: str) -> str:
    return '{"listens":[' + ",".join([one] * 1000) + "]}"


def events(one: str, count: int) -> str:
    return '{"events":[' + ",".join(one.replace("#", str(k)) for k in range(count)) + "]}"


FIELDS: Final = ",".join(f'"f{k}":1' for k in range(380))
# A path, a body, and what the refusal says.
BOMBS: Final = {
    "unknown fields": ("/recommend", repeated('"#":1', "{%s}"), "more than 6,012 values"),
    "listens with unknown fields": (
        "/recommend",
        listens('{"artist_id":"i1",' + FIELDS + "}"),
        "more than 6,012 values",
    ),
    "few listens with unknown fields": (
        "/recommend",
        '{"listens":[{"artist_id":"i1",' + FIELDS + "}]}",
        "an object with 381 fields",
    ),
    "events with unknown fields": (
        "/events",
        events('{"user_id":"u#","artist_id":"i1",' + FIELDS[:250] + "}", 9000),
        "more than 81,002 values",
    ),
    "numbers": ("/recommend/batch", repeated("1,", "[%s]"), "values"),
    "arrays": ("/recommend", repeated("[],", "[%s]"), "values"),
    "objects": ("/events", repeated("{},", '{"events":[%s]}'), "values"),
    "depth": ("/recommend", "[" * LONGEST, "nested too deeply"),
    "less depth": ("/recommend", "[" * 60_000, "nested too deeply"),
    "digits": ("/recommend", repeated("9", '{"n":%s}'), "body.n: "),
    "1e400": ("/recommend", '{"discovery":1e400}', "body.discovery: "),
    "a long text": ("/recommend", repeated("x", '{"user_id":"%s"}'), "a text of more than"),
    "a long name": ("/recommend", repeated("x", '{"%s":1}'), "a text of more than"),
    "escapes": ("/recommend", repeated("\\u0041", '{"user_id":"%s"}'), "a text of more than"),
    "surrogates": ("/recommend", repeated("\\ud800", '{"user_id":"%s"}'), "a text of more than"),
    "quotes": ("/recommend", repeated('\\"', '{"user_id":"%s"}'), "a text of more than"),
    "NUL": ("/recommend", repeated("\x00", '{"user_id":"%s"}'), "a text of more than"),
    "a text of less": ("/recommend", '{"n":"' + "\\ud800" * 10_000 + '"}', "body.n: "),
    "a repeated field": ("/recommend", repeated('"n":1,', "{%s}"), "values"),
    "wrong items": (
        "/recommend",
        '{"exclude":[' + "1," * 999 + '1],"candidates":[' + "{}," * 999 + '{}],"listens":["x"]}',
        "body.exclude.0: should be a valid string",
    ),
    "wrong listens": (
        "/recommend",
        listens('{"artist_id":1,"plays":1e-46,"more":[[],{}]}'),
        "body.listens.0.artist_id: should be a valid string",
    ),
    "wrong users": ("/recommend/batch", '{"user_ids":[' + "1," * 999 + "1]}", "body.user_ids.0: "),
    "wrong events": (
        "/events",
        events('{"user_id":"u#"}', 10_000),
        "body.events.0.artist_id: is re",
    ),
    "no events": ("/events", events("#", 10_000), "body.events.0: should be"),
    "a body for PUT": ("/artists/i1", repeated('"#":1', "{%s}"), "more than 1,002 values"),
    "too long": ("/recommend", " " * (LONGEST + 1), "more than 4194304 bytes"),
}


def send(server: Server, path: str, body: str) -> tuple[int, str, Any]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    method = "PUT" if path.startswith("/artists") else "POST"
    try:
        connection.request(method, path, body.encode(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers["content-type"], json.loads(response.read())
    finally:
        connection.close()


def check_refusal(status: int, media_type: str, problem: Any, reason: str) -> None:
    assert status == problem["status"] == (413 if "4194304" in reason else 422), problem
    assert media_type == "application/problem+json"
    assert reason in problem["detail"]
    assert len(problem["detail"]) < 400
    assert len(problem.get("errors", [])) <= MOST_ERRORS
    assert len(json.dumps(problem)) < 10_000


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_the_reason(server: Server, name: str) -> None:
    path, body, reason = BOMBS[name]
    before = server.get("/recommend/u30")
    check_refusal(*send(server, path, body), reason)
    assert before[0] == 200
    assert server.get("/recommend/u30") == before


def test_many_bombs_at_once_leave_the_service_in_reach(server: Server) -> None:
    before = server.get("/recommend/u30")
    with ThreadPoolExecutor(len(BOMBS) + 1) as threads:
        refused = {name: threads.submit(send, server, *BOMBS[name][:2]) for name in BOMBS}
        lists = [threads.submit(server.get, "/recommend/u30") for _ in range(20)]
        for name, future in refused.items():
            check_refusal(*future.result(), BOMBS[name][2])
        assert [future.result() for future in lists] == [before] * 20


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/recommend/u30?" + "&".join(["a"] * 10_000), "query: has 10,000 parameters"),
        ("/recommend/u30?" + "&".join(["exclude=a"] * 2_001), "query: has 2,001 parameters"),
        ("/recommend/u30?" + "&".join(["exclude=a"] * 1_001), "query.exclude: "),
        ("/popular?" + "&".join(f"p{k}" for k in range(1_500)), "query.p0: is not a parameter"),
        ("/users/u30?" + "&".join(["%"] * 1_900), "(and at least 19 more)"),
    ],
)
def test_many_parameters_are_refused(server: Server, target: str, reason: str) -> None:
    status, problem = server.get(target)
    check_refusal(status, "application/problem+json", problem, reason)


def test_mistakes_in_large_requests_are_named(server: Server) -> None:
    ids = [f"i{number}" for number in range(1001)]
    event = {"user_id": "u", "artist_id": "i1", "type": "play", "plays": 1}
    for path, body, reason in [
        ("/recommend", {"exclude": ids}, "body.exclude: List should have at most 1000 items"),
        ("/recommend", dict.fromkeys(ids[:20], 1), "body.i0: is not a field of this call"),
        ("/events", {"events": [event] * 10_001}, "body.events: List should have at most 10000"),
        ("/recommend/batch", {"user_ids": ids, "n": 100}, "body.user_ids: List should have at m"),
    ]:
        check_refusal(*send(server, path, json.dumps(body)), reason)


def test_the_first_mistakes_of_a_list_are_at_their_places(server: Server) -> None:
    ids: list[Any] = [f"i{number}" for number in range(1000)]
    wrong = [*range(3, 900, 10)]
    for place in wrong:
        ids[place] = place
    problem = send(server, "/recommend", json.dumps({"candidates": ids}))[2]
    assert [error["location"] for error in problem["errors"]] == [
        f"body.candidates.{place}" for place in wrong[:MOST_ERRORS]
    ]
    assert problem["errors"][1]["message"] == "should be a valid string, found 13"


def test_heavy_requests_are_answered_and_so_are_lists_beside_them(server: Server) -> None:
    users = [f"u{20 + number % 19}" for number in range(1000)]
    before = {user: server.get(f"/recommend/{user}?n=20")[1]["items"] for user in set(users)}
    sent = [
        {"user_id": f"u-{number % 99}", "artist_id": "i1", "plays": 1 - 2 * (number % 2)}
        for number in range(10_000)
    ]
    with ThreadPoolExecutor(4) as threads:
        batch = threads.submit(
            send, server, "/recommend/batch", json.dumps({"user_ids": users, "n": 20})
        )
        told = threads.submit(send, server, "/events", json.dumps({"events": sent}))
        deep = threads.submit(server.get, "/recommend/u30?offset=10000&n=500&include_seen=true")
        for _ in range(50):
            assert server.get("/recommend/u20?n=20")[1]["items"] == before["u20"]
        status, _, answer = batch.result()
        assert status == 200
        assert [one["items"] for one in answer["results"]] == [before[user] for user in users]
        assert deep.result()[0] == 200
        status, _, answer = told.result()
    assert (status, answer["stored"], answer["refused"]) == (200, 5000, 5000)
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["stored", "refused"] * 5000
    sequences = [result["sequence"] for result in answer["results"][::2]]
    assert sequences == [*range(sequences[0], sequences[0] + 5000)]
    assert answer["results"][9999]["detail"].startswith("plays: should be greater than or equal")


def test_of_many_events_the_first_have_to_hold_a_good_one(server: Server) -> None:
    good, bad = {"user_id": "first", "artist_id": "i1"}, {"user_id": "first"}
    status, _, problem = send(server, "/events", json.dumps({"events": [bad] * 1000 + [good] * 10}))
    check_refusal(status, "application/problem+json", problem, "(and at least 19 more)")
    assert server.get("/users/first")[0] == 404
    status, _, answer = send(server, "/events", json.dumps({"events": [bad] * 999 + [good] * 10}))
    assert (status, answer["stored"], answer["refused"]) == (200, 10, 999)
    assert server.get("/users/first")[1]["event_count"] == 10


@pytest.mark.parametrize("plays", ["1e-46", "5e-324", "1e-30", "1e308", "-1", "0", "1e400", "NaN"])
def test_plays_of_listens_are_as_bounded_as_those_of_events(server: Server, plays: str) -> None:
    # Was wrong: plays of 1e-46 vanished in float32, and all scores were null.
    body = '{"listens":[{"artist_id":"i1","plays":' + plays + "}]}"
    check_refusal(*send(server, "/recommend", body), "body.listens.0.plays: ")


@pytest.mark.parametrize(
    "query",
    [
        {"listens": [{"artist_id": f"i{k}", "plays": plays} for k in range(8, 16)]}
        | {"discovery": tiny, "explore": explore}
        for plays in (0.001, 1e6)
        for tiny in (0, 5e-324, 1)
        for explore in (5e-324, 0.5)
    ],
)
def test_scores_are_numbers_for_the_least_and_the_greatest_numbers(
    server: Server, query: dict[str, Any]
) -> None:
    for user in ({}, {"user_id": "u30"}):
        status, _, answer = send(server, "/recommend", json.dumps(query | user | {"n": 10}))
        assert (status, answer["source"]) == (200, "fold_in")
        scores = [item["score"] for item in answer["items"] if item["source"] == "fold_in"]
        assert scores
        assert None not in scores
