"""The service as a true process."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.model.model import Model
from tests.builders import CREATED_AT, publish_small
from tests.server import PATIENCE, ROOT, Server, eventually, serving, start

pytestmark = pytest.mark.slow

USERS = ("u30", "newcomer")


def test_a_server_lives_without_a_model_and_serves_one_when_it_is_published(
    model: Model, tmp_path: Path
) -> None:
    with serving(tmp_path) as server:
        assert f"(calls: http://127.0.0.1:{server.port}/docs)" in server.start_line
        assert "no model in" in server.start_line
        assert "python -m training train" in server.start_line
        assert server.get("/health/live") == (200, {"status": "live"})
        assert server.get("/health/ready")[0] == 503
        assert server.get("/recommend/u30")[0] == 503
        version = publish_small(model, tmp_path)
        eventually(lambda: server.get("/health/ready")[0] == 200)
        status, answer = server.get("/recommend/a%2Fb?n=2")
        assert (status, answer["user_id"], answer["source"]) == (200, "a/b", "als")
        assert answer["model_version"] == version
        status, log = server.end()
        assert (status, "Traceback" in log) == (0, False)
        assert f"serving model {version}" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_workers_cleanly(model: Model, tmp_path: Path, number: int) -> None:
    publish_small(model, tmp_path)
    with serving(tmp_path, "--workers", "2") as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        status, log = server.end(number)
        assert (status, "Traceback" in log) == (0, False)
        with pytest.raises(OSError, match="refused"):
            server.get("/health/live")


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """They used to live on and to keep the port."""
    with serving(tmp_path, "--workers", "2") as server:
        eventually(lambda: server.get("/health/live")[0] == 200)
        server.process.kill()
        # Only when both workers are gone is the other end of this pipe closed.
        server.process.communicate(timeout=PATIENCE)
        with pytest.raises(OSError, match="refused"):
            server.get("/health/live")


def test_two_workers_follow_the_same_new_version(model: Model, tmp_path: Path) -> None:
    publish_small(model, tmp_path)
    # A flag has to reach the worker processes as well.
    arguments = ("--workers", "2", "--poll-seconds", "0.05", "--log-level", "info")
    with serving(tmp_path, *arguments) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        second = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))

        def all_follow() -> bool:
            answers = [server.get("/health/ready")[1] for _ in range(30)]
            return {answer["model_version"] for answer in answers} == {second}

        eventually(all_follow)
        _, log = server.end()
        pids = set(
            re.findall(rf"INFO (\d+) app\.serving\.model_follower: serving model {second}", log)
        )
        assert len(pids) == 2


def test_the_next_list_reflects_an_event_whichever_worker_takes_it(
    models: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/encore.db"
    with serving(models, "--workers", "2", ENCORE_DATABASE_URL=url) as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        answers = {user: server.get(f"/recommend/{user}?n=60")[1] for user in USERS}
        for number in range(10):
            for user in USERS:
                artist = f"i{8 + number * len(USERS) + USERS.index(user)}"
                assert server.tell({"user_id": user, "artist_id": artist})[0] == 200
                seen = [server.get(f"/recommend/{user}?n=60")[1] for _ in range(4)]
                assert seen == [seen[0]] * 4
                assert artist not in {item["artist_id"] for item in seen[0]["items"]}
                assert seen[0] != answers[user]
                answers[user] = seen[0]


def test_events_survive_an_orderly_end(models: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/encore.db"
    with serving(models, ENCORE_DATABASE_URL=url) as server:
        assert server.tell({"user_id": "newcomer", "artist_id": "i30"})[0] == 200
        status, log = server.end()
        assert (status, "Traceback" in log) == (0, False)
    assert [path.name for path in tmp_path.iterdir()] == ["encore.db"]  # the log is merged
    with serving(models, ENCORE_DATABASE_URL=url) as server:
        assert server.get("/recommend/newcomer")[1]["source"] == "fold_in"


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("--port", port, "--models", str(tmp_path))
        output, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert output == ""
    assert log == (
        f"error: port {port} on 127.0.0.1 is in use: end what listens there, or take another with "
        "ENCORE_PORT or --port\n"
    )


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 70])
def test_a_host_that_is_none_is_one_sentence(host: str) -> None:
    # Was wrong: encoding such a name raised a UnicodeError that nobody caught.
    process = start("--host", host, ENCORE_ALLOW_UNAUTHENTICATED="true")
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert log.startswith(f"error: ENCORE_HOST is '{host}': no address to listen on (")
    assert len(log.splitlines()) == 1


def test_bad_settings_end_it_without_a_traceback() -> None:
    process = start(ENCORE_PORT="eighty", ENCORE_API_KEY="no spaces please")
    output, log = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (2, "")
    assert log.splitlines()[0].startswith("error: ENCORE_PORT is 'eighty': expected")
    assert "no spaces" not in log
    assert len(log.splitlines()) == 2


def test_it_refuses_to_listen_for_others_without_a_key() -> None:
    process = start("--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it is refused
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "no ENCORE_API_KEY is set" in log


def test_blas_gets_one_thread_unless_told_otherwise(tmp_path: Path) -> None:
    def variables(server: Server) -> bytes:
        eventually(lambda: server.get("/health/live")[0] == 200)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        workers = children.read_text().split()
        return b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in workers)

    if not Path("/proc/self/environ").exists():
        pytest.skip("reads the environment from /proc")
    with serving(tmp_path, "--workers", "2") as server:
        assert b"OPENBLAS_NUM_THREADS=1\0" in variables(server)
    with serving(tmp_path, "--workers", "2", OPENBLAS_NUM_THREADS="3") as server:
        assert b"OPENBLAS_NUM_THREADS=3\0" in variables(server)
        assert b"OMP_NUM_THREADS=1\0" in variables(server)


def test_garbage_collection_skips_imported_objects() -> None:
    code = (
        "import gc; from app.server.running import create_worker_app; create_worker_app(); "
        "print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]


REQUEST_END = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module", params=["auto", "h11"])
def raw_server(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The service over both HTTP parsers; without httptools, uvicorn takes h11."""
    variables = {}
    if request.param == "h11":
        hidden = tmp_path_factory.mktemp("hidden")
        (hidden / "httptools.py").write_text("raise ImportError\n")
        variables = {"PYTHONPATH": str(hidden)}
    with serving(models, **variables) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "user_id"),
    [
        (b"/recommend/a%2Fb", "a/b"),
        (b"/recommend/a%2fb", "a/b"),
        (b"/recommend/..", ".."),
        (b"/recommend/%2E%2E", ".."),
        (b"/recommend/a+b", "a+b"),
        (b"/recommend/%F0%9F%8E%B8", "🎸"),
        (b"/recommend/nul%00byte", "nul\0byte"),
        (b"/recommend/a&b=c;d", "a&b=c;d"),
    ],
)
def test_ids_arrive_byte_for_byte_through_a_real_server(
    raw_server: Server, target: bytes, user_id: str
) -> None:
    head, _, body = raw_server.send(b"GET " + target + REQUEST_END).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["user_id"] == user_id
    assert json.loads(body)["source"] == "als"
    assert b"server:" not in head.lower()
    assert b"x-content-type-options: nosniff" in head.lower()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/recommend/%FF", 422),
        (b"/recommend/50%", 422),
        (b"/recommend/" + b"x" * 10_240, 422),
        (b"/recommend/u30?exclude=%FF", 422),
        (b"/recommend/u30?n=100000", 422),
        (b"/recommend/u30?" + b"exclude=x&" * 2000, 422),
        (b"//", 404),
    ],
)
def test_a_malformed_request_is_refused_with_a_problem(
    raw_server: Server, target: bytes, status: int
) -> None:
    head, _, body = raw_server.send(b"GET " + target + REQUEST_END).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /recommend/bj\xc3\xb6rk" + REQUEST_END,
        b"GET /recommend/u30?exclude=bj\xc3\xb6rk" + REQUEST_END,
        b"GET /recommend/u30?exclude=\xff" + REQUEST_END,
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_input_that_is_not_http_is_refused_and_harms_no_other_request(
    raw_server: Server, request_bytes: bytes
) -> None:
    """The server refuses it before the application sees it; without httptools in plain text."""
    answer = raw_server.send(request_bytes)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert raw_server.get("/health/ready")[0] == 200


def test_a_body_that_stops_halfway_harms_no_other_request(raw_server: Server) -> None:
    raw_server.send(
        b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b'Content-Length: 100\r\n\r\n{"user_id"'
    )
    assert raw_server.get("/health/ready")[0] == 200


def test_an_endless_body_is_cut_off(raw_server: Server) -> None:
    head = (
        b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", raw_server.port), timeout=PATIENCE) as connection:
        connection.sendall(head + chunk * 70)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
