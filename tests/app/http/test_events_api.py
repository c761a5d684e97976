from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.events.event_types import EventType
from app.main import create_app
from app.settings import Settings
from tests.server import eventually

NEW = "i50"


@contextmanager
def service(models: Path, database: Path, **settings: Any) -> Iterator[TestClient]:
    """The service with a store of its own."""
    url = SecretStr(f"sqlite:///{database}")
    app = create_app(Settings(models=models, database_url=url, **settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    """The service with an empty store."""
    with service(models, tmp_path / "encore.db") as client:
        yield client


def send(client: TestClient, *events: dict[str, Any]) -> dict[str, Any]:
    response = client.post(
        "/events",
        content=json.dumps({"events": events}),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def play(user: str = "u30", artist: str = NEW, **fields: Any) -> dict[str, Any]:
    return {"user_id": user, "artist_id": artist, **fields}


def artists(client: TestClient, user: str = "u30", **parameters: Any) -> list[str]:
    response = client.get(f"/recommend/{user}", params={"n": 20, **parameters})
    assert response.status_code == 200
    return [item["artist_id"] for item in response.json()["items"]]


def source(client: TestClient, user: str = "u30") -> str:
    answer: dict[str, str] = client.get(f"/recommend/{user}").json()
    return answer["source"]


def problem_of(client: TestClient, status: int, body: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post("/events", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    return problem


def test_the_next_list_reflects_a_play(client: TestClient) -> None:
    before = artists(client)
    assert source(client) == "als"
    assert send(client, play(event_id="e1")) == {
        "stored": 1,
        "repeated": 0,
        "refused": 0,
        "results": [{"status": "stored", "event_id": "e1", "sequence": 1}],
    }
    after = artists(client)
    assert source(client) == "fold_in"
    assert NEW not in after
    assert [one for one in before if one != NEW][: len(after)] != after
    assert NEW in artists(client, include_seen=True, n=60)
    assert artists(client, "u31") == artists(client, "u31")
    assert source(client, "u31") == "als"


def test_all_list_calls_reflect_events(client: TestClient) -> None:
    send(client, play())
    one = client.get("/recommend/u30?n=5").json()
    assert client.post("/recommend", json={"user_id": "u30", "n": 5}).json() == one
    batch = client.post("/recommend/batch", json={"user_ids": ["u31", "u30", "u30"], "n": 5})
    results = batch.json()["results"]
    assert [result["source"] for result in results] == ["als", "fold_in", "fold_in"]
    assert results[1] == results[2] == {key: one[key] for key in ("user_id", "source", "items")}


def test_a_new_user_has_a_personal_list_after_one_play(client: TestClient) -> None:
    assert source(client, "newcomer") == "popularity"
    send(client, play("newcomer"))
    assert source(client, "newcomer") == "fold_in"
    assert client.get("/recommend/newcomer?strategy=als").status_code == 200
    assert NEW not in artists(client, "newcomer", n=60)


def test_a_dislike_excludes_until_a_later_like(client: TestClient) -> None:
    first = artists(client)[0]
    send(client, play(artist=first, type="dislike"))
    for parameters in ({}, {"include_seen": True}, {"strategy": "popularity"}):
        assert first not in artists(client, n=60, **parameters)
    send(client, play(artist=first, type="like"))
    assert first in artists(client, n=60, include_seen=True)


def test_a_skip_hides_the_artist_for_the_days_that_are_set(models: Path, tmp_path: Path) -> None:
    with service(models, tmp_path / "encore.db", skip_days=2) as client:
        first, second = artists(client)[:2]
        days_ago = [(datetime.now(UTC) - timedelta(days=days)).isoformat() for days in (1, 3)]
        send(
            client,
            play(artist=first, type="skip", timestamp=days_ago[0]),
            play(artist=second, type="skip", timestamp=days_ago[1]),
        )
        assert first not in artists(client, n=60)
        assert second in artists(client, n=60)


def test_units_of_events_are_settings(models: Path, tmp_path: Path) -> None:
    with service(models, tmp_path / "encore.db", play_units=0) as client:
        before = artists(client, n=12)
        send(client, play())
        assert artists(client, n=11) == [one for one in before if one != NEW][:11]


def test_an_event_counts_once_however_often_it_is_sent(client: TestClient) -> None:
    timed = play(timestamp="2026-11-20T12:00:00Z")
    named = play(event_id="e1", plays=3)
    first = send(client, timed, named, named)
    assert [one["status"] for one in first["results"]] == ["stored", "stored", "repeated"]
    answer = client.get("/recommend/u30").json()
    same_time = play(timestamp="2026-11-20T13:00:00+01:00", type="play", plays=1)
    again = send(client, timed, named, same_time)
    assert (again["stored"], again["repeated"]) == (0, 3)
    assert [one["sequence"] for one in again["results"]] == [1, 2, 1]
    assert client.get("/recommend/u30").json() == answer
    assert client.get("/users/u30").json()["event_count"] == 2


def test_an_event_without_id_and_time_may_count_twice_and_says_so(client: TestClient) -> None:
    answers = [send(client, play()) for _ in range(2)]
    assert [answer["results"][0]["sequence"] for answer in answers] == [1, 2]
    assert "sent again, it counts again" in answers[0]["results"][0]["detail"]
    assert "detail" not in send(client, play(event_id="e"))["results"][0]


def test_an_id_that_another_event_has_is_refused(client: TestClient) -> None:
    send(client, play(event_id="e1"))
    problem = problem_of(client, 409, {"events": [play(event_id="e1", plays=2)]})
    assert problem["type"] == "urn:encore:problem:event-conflict"
    assert "belongs to event 1, which has different content" in problem["detail"]
    mixed = send(client, play(event_id="e1", plays=2), play(event_id="e2"))
    assert [one["status"] for one in mixed["results"]] == ["refused", "stored"]
    assert client.get("/users/u30").json()["event_count"] == 2


def test_one_bad_event_does_not_lose_the_others(client: TestClient) -> None:
    answer = send(
        client,
        play(event_id="e1"),
        play(event_id="e2", type="listen"),
        "what?",  # type: ignore[arg-type]
        play(event_id="e3"),
    )
    assert (answer["stored"], answer["refused"]) == (2, 2)
    details = [(one["status"], one.get("event_id")) for one in answer["results"]]
    assert details == [("stored", "e1"), ("refused", "e2"), ("refused", None), ("stored", "e3")]
    *names, last = (f"'{kind}'" for kind in EventType)
    assert answer["results"][1]["detail"] == (
        f"type: should be {', '.join(names)} or {last}, found 'listen'"
    )
    assert client.get("/users/u30").json()["event_count"] == 2


@pytest.mark.parametrize(
    "number",
    [1_760_000_000, 1_760_000_000_000, 1_760_000_000_000_000, 1_760_000_000_000_000_000, 1.76e9],
)
def test_unix_time_is_the_same_moment_as_its_text(client: TestClient, number: float) -> None:
    # One rule for requests and files; see tests/test_agreement.py.
    send(client, play(timestamp="2025-10-09T08:53:20Z"))
    assert send(client, play(timestamp=number))["repeated"] == 1
    (event,) = client.get("/users/u30").json()["events"]
    assert event["timestamp"] == "2025-10-09T08:53:20Z"


FUTURE = (datetime.now(UTC) + timedelta(days=2)).isoformat()
BAD_FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown type": ({"type": "listen"}, "type", "should be 'play'"),
    "no user": ({"user_id": ""}, "user_id", "should not be empty"),
    "no artist": ({"artist_id": ""}, "artist_id", "should not be empty"),
    "negative plays": ({"plays": -1}, "plays", "greater than or equal to 0.001"),
    "no plays": ({"plays": 0}, "plays", "greater than or equal to 0.001"),
    "absurd plays": ({"plays": 1_000_001}, "plays", "less than or equal to 1000000"),
    "plays as text": ({"plays": "3"}, "plays", "valid number"),
    "plays of a skip": ({"type": "skip", "plays": 2}, "", "a skip has no plays"),
    "naive time": ({"timestamp": "2026-11-20T12:00:00"}, "timestamp", "has no time zone"),
    "date only": ({"timestamp": "2026-11-20"}, "timestamp", "has no time zone"),
    "number as text": ({"timestamp": "1760000000"}, "timestamp", "is Unix time in quotation marks"),
    "a day as a number": ({"timestamp": 20231114}, "timestamp", "and looks like YYYYMMDD; write"),
    "digits of a time": ({"timestamp": 20231114221357}, "timestamp", "looks like YYYYMMDDhhmmss;"),
    "those as text": ({"timestamp": "20231114221357"}, "timestamp", "looks like YYYYMMDDhhmmss;"),
    "days of a sheet": ({"timestamp": 45244.9}, "timestamp", "as spreadsheets count them (2023-11"),
    "number before 1990": (
        {"timestamp": 500_000_000},
        "timestamp",
        "lies before 1990 as Unix time",
    ),
    "number after today": ({"timestamp": 4102444800}, "timestamp", "more than a day in the future"),
    "number beyond units": ({"timestamp": 10**30}, "timestamp", "more than a day in the future"),
    "truth as time": ({"timestamp": True}, "timestamp", "should be a time such as"),
    "no such day": ({"timestamp": "2026-02-30T12:00:00Z"}, "timestamp", "a time that exists"),
    "hour 24": ({"timestamp": "2023-11-14T24:00:00Z"}, "timestamp", "as 00:00:00 of the next day"),
    "leap second": ({"timestamp": "2016-12-31T23:59:60Z"}, "timestamp", "so write 59"),
    "long ago": ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp", "lies before 1970"),
    "the end of time": ({"timestamp": "9999-12-31T23:59:59-01:00"}, "timestamp", ""),
    "far future": ({"timestamp": FUTURE}, "timestamp", "more than a day in the future"),
    "long id": ({"artist_id": "x" * 257}, "artist_id", "at most 256 bytes"),
    "no text": ({"user_id": 7}, "user_id", "valid string"),
    "surrogate": ({"user_id": "\ud800"}, "user_id", "valid UTF-8"),
    "empty event id": ({"event_id": ""}, "event_id", "should not be empty"),
    "blank name": ({"artist_name": " "}, "artist_name", "should not be blank"),
    "long name": ({"artist_name": "x" * 501}, "artist_name", "at most 500 characters"),
    "surrogate in a name": ({"artist_name": "\udfff"}, "artist_name", ""),
    "unknown field": ({"album": "x"}, "album", "is not a field of this call"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_bad_event_is_refused_with_the_reason(client: TestClient, name: str) -> None:
    fields, field, reason = BAD_FIELDS[name]
    problem = problem_of(client, 422, {"events": [play(**fields)]})
    (error,) = problem["errors"]
    assert error["location"] == ".".join(filter(None, ["body.events.0", field]))
    assert reason in error["message"]
    answer = send(client, play(event_id="good"), play(**fields))
    assert reason in answer["results"][1]["detail"]
    assert client.get("/users/u30").json()["event_count"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "location", "reason"),
    [
        (b'{"events": []}', "body.events", "should not be empty"),
        (b"{}", "body.events", "is required"),
        (b"[]", "body", 'should be an object, {"events": …}, and is a bare array'),
        (b'"x"', "body", 'should be an object, {"events": …}, and is a text'),
        (b'{"events": {}}', "body.events", "valid list"),
        (b'{"events": [' + b"1," * 10_000 + b"1]}", "body.events", "at most 10000 items"),
        (b'{"events": [{"user_id": "u", "user_id": "v"}]}', "body", "is given twice"),
        (b'{"events": [1], "event": 1}', "body.event", "is not a field of this call"),
    ],
)
def test_a_bad_body_is_refused_with_the_reason(
    client: TestClient, body: bytes, location: str, reason: str
) -> None:
    problem = problem_of(client, 422, body)
    assert problem["errors"][0]["location"] == location
    assert reason in problem["errors"][0]["message"]


@pytest.mark.slow
@pytest.mark.parametrize("plays", ["NaN", "-Infinity", "1e999", "9" * 5000, "9" * 200])
def test_plays_that_are_no_number_do_not_lose_the_other_events(
    client: TestClient, plays: str
) -> None:
    # Was wrong: a NaN, which Python's json writes, refused the whole request.
    bad = f'{{"user_id": "u", "artist_id": "a", "plays": {plays}}}'
    problem = problem_of(client, 422, f'{{"events": [{bad}]}}'.encode())
    assert problem["errors"][0]["location"] == "body.events.0.plays"
    body = f'{{"events": [{bad}, {json.dumps(play())}]}}'
    response = client.post(
        "/events", content=body, headers={"Content-Type": "application/json"}
    ).raise_for_status()
    assert [one["status"] for one in response.json()["results"]] == ["refused", "stored"]


@pytest.mark.slow
def test_ten_thousand_events_are_taken(models: Path, tmp_path: Path) -> None:
    with service(models, tmp_path / "encore.db") as client:
        answer = send(client, *[play(f"u{number % 40}") for number in range(10_000)])
        assert answer["results"][-1]["sequence"] == answer["stored"] == 10_000


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    problem_of(client, 413, b'{"events": [' + b" " * 2**22 + b"]}")


def test_odd_ids_and_names_are_stored_as_they_came(client: TestClient) -> None:
    odd = [("nul\0byte", "it's"), ("🎸", "é" * 128), ("..", "name:AC/DC")]
    for user, artist in odd:
        send(client, play(user, artist, artist_name="Ünï “x”\n"))
    played = client.get("/popular?days=1&n=10").json()["items"]
    assert {item["artist_id"] for item in played} == {artist for _, artist in odd}
    shown = client.get("/users/nul%00byte").json()["events"]
    assert (shown[0]["artist_id"], shown[0]["name"]) == ("it's", "Ünï “x”\n")


def test_events_want_the_key_once_one_is_set(models: Path, tmp_path: Path) -> None:
    database = tmp_path / "encore.db"
    with service(models, database, api_key=SecretStr("k" * 20)) as client:
        for response in (client.post("/events", json={}), client.get("/users/u30")):
            assert response.status_code == 401
        headers = {"X-API-Key": "k" * 20}
        body = {"events": [play()]}
        assert client.post("/events", json=body, headers=headers).status_code == 200
        assert client.get("/users/u30", headers=headers).status_code == 200


@pytest.mark.slow
def test_events_are_there_after_a_restart(models: Path, tmp_path: Path) -> None:
    database = tmp_path / "encore.db"
    with service(models, database) as client:
        send(client, play())
        answer = client.get("/recommend/u30").json()
    with service(models, database) as client:
        assert client.get("/recommend/u30").json() == answer
        assert answer["source"] == "fold_in"


@pytest.mark.slow
def test_two_services_of_a_host_see_each_others_events_at_once(
    models: Path, tmp_path: Path
) -> None:
    database = tmp_path / "encore.db"
    with service(models, database) as one, service(models, database) as other:
        for number in range(10):
            user = f"u{30 + number}"
            assert source(other, user) in {"als", "popularity"}
            send(one, play(user))
            assert source(other, user) == "fold_in"
            send(other, play(user, "i51"))
            assert one.get(f"/recommend/{user}").json() == other.get(f"/recommend/{user}").json()


def spoil(database: Path) -> None:
    database.write_bytes(b"this is no database, whatever its name says" * 100)


def lose_folder(database: Path) -> None:
    database.parent.rmdir()


@pytest.mark.parametrize(
    ("damage", "reason"), [(spoil, "no SQLite file"), (lose_folder, "its folder has to exist")]
)
def test_lists_are_answered_while_the_store_cannot_be_opened(
    models: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    database = tmp_path / "store" / "encore.db"
    database.parent.mkdir()
    damage(database)
    with service(models, database) as client:
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        (trouble,) = ready.json()["troubles"]
        assert reason in trouble
        assert source(client) == "als"
        for response in (
            client.post("/events", json={"events": [play()]}),
            client.get("/users/u30"),
            client.get("/popular?days=7"),
        ):
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"
            assert response.json()["type"] == "urn:encore:problem:events-unavailable"
            assert reason in response.json()["detail"]
        metrics = client.get("/metrics").text
        assert "encore_event_store_up 0.0" in metrics
        assert 'encore_event_store_failures_total{reason="' in metrics
    failures = [one for one in caplog.records if "event store fails" in one.message]
    assert [one.levelname for one in failures] == ["ERROR"]


def test_a_file_that_was_damaged_is_left_as_it_is(models: Path, tmp_path: Path) -> None:
    database = tmp_path / "encore.db"
    spoil(database)
    content = database.read_bytes()
    with service(models, database) as client:
        client.post("/events", json={"events": [play()]})
    assert database.read_bytes() == content


def test_a_store_that_vanishes_degrades_and_cached_lists_stay(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database, aside = tmp_path / "encore.db", tmp_path / "aside.db"
    with service(models, database) as client:
        send(client, play())
        answer = client.get("/recommend/u30").json()
        database.rename(aside)
        response = client.post("/events", json={"events": [play("u31")]})
        assert response.status_code == 503
        assert "was moved, deleted or replaced" in response.json()["detail"]
        assert client.get("/health/ready").json()["status"] == "degraded"
        assert client.get("/recommend/u30").json() == answer
        assert source(client, "u31") == "als"
        aside.rename(database)
        eventually(lambda: client.get("/health/ready").json()["status"] == "ready")
        send(client, play("u31"))
        assert client.get("/health/ready").json()["status"] == "ready"
        assert source(client, "u31") == "fold_in"


def test_metrics_count_events_by_outcome(client: TestClient) -> None:
    send(client, play(event_id="e1"), play(event_id="e1"), play(plays=-1), play(event_id="e2"))
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    for result, count in (("stored", 2), ("repeated", 1), ("refused", 1), ("conflict", 0)):
        assert f'encore_events_total{{result="{result}"}} {count}.0' in lines
    assert "encore_event_store_up 1.0" in lines
    assert "encore_events_waiting 0.0" in lines
