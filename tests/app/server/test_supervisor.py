"""Workers that die, in a true service."""

from __future__ import annotations

import os
import re
import shutil
import signal
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from app.model.model import Model
from tests.builders import CREATED_AT, publish_small
from tests.server import PATIENCE, Server, eventually, serving, start

pytestmark = pytest.mark.slow


def workers_of(server: Server) -> list[int]:
    """Returns the processes of the workers."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [int(child) for child, line in lines.items() if b"spawn_main" in line]


def serves(server: Server, version: str) -> bool:
    """Says whether a list comes from a version; a worker may just have died."""
    try:
        return bool(server.get("/recommend/u30")[1].get("model_version") == version)
    except (OSError, HTTPException, ValueError):
        return False


def metrics_of(server: Server) -> str:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_the_only_worker_is_replaced_and_a_version_that_ends_it_again_and_again_is_set_aside(
    model: Model, tmp_path: Path
) -> None:
    """A dead worker left no line in the log, and one worker alone was not replaced at all."""
    good = publish_small(model, tmp_path)
    deadly = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))
    with serving(tmp_path, "--poll-seconds", "0.05") as server:
        eventually(lambda: serves(server, deadly))
        for number in range(3):
            (worker,) = workers_of(server)
            os.kill(worker, signal.SIGBUS)  # as the kernel does where a mapped page is gone
            expected = deadly if number < 2 else good
            eventually(lambda: worker not in workers_of(server) and serves(server, expected))  # noqa: B023
        ready, card = server.get("/health/ready")[1], server.get("/model")[1]
        assert (ready["status"], ready["model_version"]) == ("degraded", good)
        assert f"Version {deadly} has ended 3 workers" in ready["troubles"][0]
        assert (card["version"], card["current_version"]) == (good, deadly)
        assert card["troubles"] == ready["troubles"]
        metrics = metrics_of(server)
        assert 'encore_worker_deaths_total{reason="SIGBUS"} 3.0' in metrics
        assert "encore_model_up 0.0" in metrics
        assert server.ask("POST", "/admin/reload")[1] == {"model_version": deadly}
        status, log = server.end()
    assert status == 0
    deaths = re.findall(rf"worker \d+ died: (\w+) \(.*\) with model {deadly}; (.*)", log)
    assert [signal for signal, _ in deaths] == ["SIGBUS"] * 3
    # Several in a row do not keep the processor busy.
    assert all(what.startswith("another one starts") for _, what in deaths)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can give files to another account and leases up",
)
def test_a_truncated_file_without_a_lease_costs_a_worker_and_no_more(
    model: Model, tmp_path: Path
) -> None:
    """Files of another account cannot be leased, nor those of many network file systems."""
    good = publish_small(model, tmp_path)
    served = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))
    file = tmp_path / served / "top_items.npy"
    for path in file.parent.iterdir():
        os.chown(path, 65534, -1)
    # One look at the files, at the start: otherwise it might notice before it reads them.
    without = ("setpriv", "--bounding-set=-lease")
    with serving(tmp_path, "--poll-seconds", "60", under=without) as server:
        eventually(lambda: serves(server, served))
        os.truncate(file, 0)
        eventually(lambda: serves(server, good))
        ready, metrics = server.get("/health/ready")[1], metrics_of(server)
        status, log = server.end()
    assert (ready["status"], ready["model_version"]) == ("degraded", good)
    assert f"{served}/top_items.npy: expected" in ready["troubles"][0]
    assert 'encore_worker_deaths_total{reason="SIGBUS"} 1.0' in metrics
    assert re.search(rf"worker \d+ died: SIGBUS \(.*\) with model {served}", log)
    assert status == 0


def test_a_signal_replaces_the_worker_without_a_gap(models: Path, version: str) -> None:
    with serving(models) as server:
        eventually(lambda: serves(server, version))
        (worker,) = workers_of(server)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(workers_of(server)) == 1 and worker not in workers_of(server))
        assert serves(server, version)
        status, log = server.end()
    assert (status, " died" in log) == (0, False)


def test_a_service_that_cannot_start_ends_and_says_so(tmp_path: Path) -> None:
    """It used to try again without end."""
    (tmp_path / "fastapi_offline.py").write_text("raise ImportError('not here')\n")
    process = start("--port", "0", PYTHONPATH=str(tmp_path))
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert "could not start, so the service ends" in log
