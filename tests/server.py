"""True server processes: ``python -m app`` on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.processes import children_of

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0


class Server:
    """A running service.

    Args:
        process: its process.
        start_line: what it printed.
    """

    def __init__(self, process: subprocess.Popen[str], start_line: str) -> None:
        self.process = process
        self.start_line = start_line
        found = re.search(r" on http://127\.0\.0\.1:(\d+) ", start_line)
        assert found, start_line
        self.port = int(found[1])

    def get(self, path: str) -> tuple[int, Any]:
        """Asks on a new connection, which any worker may take."""
        return self.ask("GET", path)

    def tell(self, *events: dict[str, Any]) -> tuple[int, Any]:
        """Sends events on a new connection, which any worker may take."""
        return self.ask("POST", "/events", json.dumps({"events": events}))

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Sends a request on a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def send(self, request: bytes) -> bytes:
        """Sends bytes as they are and returns all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def kill(self) -> None:
        """Kills it and its workers, as if the machine went down; returns when they are gone."""
        for child in children_of(self.process.pid):
            os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ends it by a signal; returns its exit status and what it logged."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, log


def start(
    *arguments: str,
    under: Sequence[str] = (),
    python: str = sys.executable,
    module: str = "app",
    cwd: str = str(ROOT),
    **variables: str,
) -> subprocess.Popen[str]:
    """Starts a service, by another command where one is given."""
    environment = {key: value for key, value in os.environ.items() if "ENCORE_" not in key}
    return subprocess.Popen(
        [*under, python, "-m", module, *arguments],
        cwd=cwd,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(
    models: Path,
    *arguments: str,
    under: Sequence[str] = (),
    python: str = sys.executable,
    module: str = "app",
    cwd: str = str(ROOT),
    **variables: str,
) -> Iterator[Server]:
    with TemporaryDirectory() as folder:
        variables = {
            "ENCORE_PORT": "0",
            "ENCORE_MODELS": str(models),
            "ENCORE_DATABASE_URL": f"sqlite:///{folder}/encore.db",
            "ENCORE_ALLOWED_HOSTS": "x",  # as raw requests call it
            "ENCORE_LIVE_WAIT_SECONDS": "60",  # whatever else the machine does
            "ENCORE_STORE_READ_SECONDS": "60",
            "ENCORE_STORE_WRITE_SECONDS": "60",
        } | variables
        process = start(*arguments, under=under, python=python, module=module, cwd=cwd, **variables)
        try:
            assert process.stdout
            yield Server(process, process.stdout.readline())
        finally:
            if process.poll() is None:
                process.terminate()  # a killed parent would leave its workers behind
            process.communicate(timeout=PATIENCE)


def eventually(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
