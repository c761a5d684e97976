"""Text of others reaches no log, terminal or header as it is; operations.md has the table."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from app.model.model import Model
from tests.builders import publish_small
from tests.server import PATIENCE, eventually, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Colours a terminal, sets its title, clears it, reorders what follows, and begins another line.
HOSTILE = "x\x1b[31m\x1b]0;owned\x07\x9b2J\u202egpj\u2066\r\nX-Evil: 1\n2026 INFO 1 app: forged\x7f"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
DOORS = ROOT / "docs" / "operations.md"


def ask(port: int, method: str, target: str, body: str) -> tuple[str, str]:
    """Returns head and body of an answer as they are."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}", "", body]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, problem = answer.decode().partition("\r\n\r\n")
    return head, problem


def test_hostile_names_reach_nobody_as_they_are(model: Model, tmp_path: Path) -> None:
    models = tmp_path / f"models {HOSTILE}".replace("/", " ")
    models.mkdir()
    version = publish_small(model, models)
    broken = models / "20261123T150406Z-3f9c2a1b"
    broken.mkdir()
    (broken / "manifest.json").write_text(json.dumps({"format": 1, HOSTILE: HOSTILE}))
    name = quote(HOSTILE, safe="")
    requests = [
        ("GET", f"/{name}", None),
        ("GET", f"/users/{name}", None),
        ("GET", f"/recommend/{name}?strategy=als", None),
        ("GET", f"/recommend/u30?{name}={name}", None),
        ("GET", f"/recommend/u30?n={name}", None),
        ("GET", f"/recommend/u30?strategy={name}", None),
        ("POST", "/recommend", json.dumps({HOSTILE: HOSTILE, "n": HOSTILE})),
        ("POST", "/recommend", '{"user_id": "' + "\x9b\u202e" + '", "n": }'),
        ("POST", "/events", json.dumps({"events": [{"user_id": HOSTILE, "type": HOSTILE}]})),
        ("PUT", f"/artists/{name}", json.dumps({"available": HOSTILE})),
        ("DELETE", "/model", None),
    ]
    with serving(models, "--log-level", "debug") as server:
        eventually(lambda: server.get("/health/ready")[0] == 200)
        (models / "current").write_text(f"{broken.name}\n")
        eventually(lambda: server.ask("POST", "/admin/reload")[0] == 503)
        shown = [server.start_line, json.dumps(server.ask("POST", "/admin/reload"))]
        for method, target, body in requests:
            head, problem = ask(server.port, method, target, body or "")
            assert re.match(r"HTTP/1\.1 4\d\d ", head), head
            assert "application/problem+json" in head
            assert "evil" not in head.lower()
            json.loads(problem)
            shown += [head.replace("\r\n", "\n"), problem]
        (models / "current").write_text(HOSTILE)
        eventually(lambda: server.ask("POST", "/admin/reload")[0] == 503)
        (models / "current").write_text(f"{version}\n")
        _, log = server.end()
    assert "is not usable" in log
    for text in (*shown, log):
        assert not RAW.search(text), text
    # Nothing that is forged begins a line.
    assert not re.search(r"^2026 INFO|^X-Evil", log, re.MULTILINE)


def test_the_doors_of_the_page_are_in_the_code() -> None:
    table = DOORS.read_text(encoding="utf-8").partition("### Text of others")[2].partition("###")[0]
    named = re.findall(r"`(\w+)`(?: in|, and `\w+` in) `([\w/]+\.py)`", table)
    assert len(named) >= 5
    for name, path in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert name in source
        assert re.search(r"\bvisible(_lines)?\b", source)
