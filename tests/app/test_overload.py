"""A real server process that gets more requests for live scoring than it admits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.server import PATIENCE, Server, serving

pytestmark = pytest.mark.slow

ADMITTED: Final = 3
CONNECTIONS: Final = 10 * ADMITTED
ROUNDS: Final = 10


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with serving(models, ENCORE_LIVE_QUEUE=str(ADMITTED)) as server:
        yield server


def ask(server: Server, target: str) -> list[tuple[int, dict[str, str], Any]]:
    """Asks repeatedly over one connection, whatever the answers are."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    answers = []
    for _ in range(ROUNDS):
        connection.request("GET", target)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answers.append((response.status, headers, json.loads(response.read())))
    connection.close()
    return answers


def test_excess_requests_are_refused_and_the_rest_answered_as_before(
    server: Server, model: Model
) -> None:
    live, listed = "/recommend/u30?include_seen=true&n=50", "/recommend/u31"
    with ThreadPoolExecutor(CONNECTIONS + 1) as threads:
        overload = [threads.submit(ask, server, live) for _ in range(CONNECTIONS)]
        look_ups = threads.submit(ask, server, listed)
        answers = [answer for future in overload for answer in future.result()]

    expected = Recommender(model).recommend(Query("u30", 50, include_seen=True))
    accepted = [body for status, _, body in answers if status == 200]
    refused = [(headers, body) for status, headers, body in answers if status == 503]
    assert len(accepted) + len(refused) == CONNECTIONS * ROUNDS
    # Each round trip admits some requests, however many are refused.
    assert len(accepted) >= ROUNDS
    assert len(refused) > 0
    for body in accepted:
        assert [item["artist_id"] for item in body["items"]] == [
            model.items.id(item) for item in expected.items
        ]
    for headers, body in refused:
        assert headers["retry-after"] == "1"
        assert headers["content-type"] == "application/problem+json"
        assert (body["status"], body["type"]) == (503, "urn:encore:problem:overloaded")
        assert "ENCORE_LIVE_QUEUE" in body["detail"]
        assert body["instance"] == "/recommend/u30"
    # Look-ups wait for nobody.
    assert [status for status, *_ in look_ups.result()] == [200] * ROUNDS


def test_no_request_is_refused_once_the_load_is_gone(server: Server) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        target = "/recommend/u30?discovery=0.5"
        list(threads.map(lambda _: ask(server, target), range(CONNECTIONS)))
    for status, *_ in ask(server, target):
        assert status == 200


def test_clients_that_leave_free_their_places(server: Server) -> None:
    target = b"GET /recommend/u30?include_seen=true HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(3 * ADMITTED):
        server.send(target)  # closes its side at once
    # The first ones may come before the last that left are noticed.
    statuses = [status for status, *_ in ask(server, "/recommend/u30?include_seen=true")]
    assert statuses[-1] == 200


def test_a_batch_is_refused_whole_or_answered_whole(server: Server) -> None:
    body = json.dumps({"user_ids": ["u30", "u31", "nobody"] * 100, "discovery": 0.5})
    headers = {"content-type": "application/json"}

    def post(_: int) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("POST", "/recommend/batch", body, headers)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    with ThreadPoolExecutor(4 * ADMITTED) as threads:
        answers = list(threads.map(post, range(4 * ADMITTED)))
    assert {status for status, _ in answers} <= {200, 503}
    whole = [answer for status, answer in answers if status == 200]
    assert len(whole) >= ADMITTED
    assert all(answer["results"] == whole[0]["results"] for answer in whole)
    assert len(whole[0]["results"]) == 300
