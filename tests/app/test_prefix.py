"""The service behind a real proxy that takes a prefix away, as nginx and Traefik do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.server import PATIENCE, serving

pytestmark = pytest.mark.slow
PREFIX = "/music/encore"


@contextmanager
def proxy(port: int) -> Iterator[str]:
    """Forwards what is below the prefix, without it; nothing else is there. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            path = self.path.removeprefix(PREFIX)
            if path == self.path:
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {**dict(self.headers), "X-Forwarded-Prefix": PREFIX}
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request(self.command, path or "/", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            length = answer.headers.get("Content-Length") or str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ask(url: str, method: str = "GET", body: str | None = None) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    assert parts.netloc.startswith("127.0.0.1:"), url
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request(method, parts._replace(scheme="", netloc="").geturl(), body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content.decode("latin-1")


def test_the_page_and_its_calls_work_behind_a_prefix(models: Path) -> None:
    with serving(models) as server, proxy(server.port) as address:
        # From the root, with a slash at its end and without one, to the page.
        for root in (f"{address}{PREFIX}", f"{address}{PREFIX}/"):
            status, headers, _ = ask(root)
            page_url = urljoin(root, headers["location"])
            assert (status, page_url) == (307, f"{address}{PREFIX}/docs")
        status, _, page = ask(page_url)
        assert status == 200
        # Everything that the page loads, as a browser resolves it.
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
        (schema,) = re.findall(r"""url: ?["']([^"']+)["']""", page)
        assert len(loaded) == 3
        for url in (*loaded, schema):
            found = ask(urljoin(page_url, url), "HEAD")
            assert (found[0], found[2]) == (200, ""), url
        # What "Try it out" asks: a server's address is relative to that of the schema.
        schema_url = urljoin(page_url, schema)
        document = json.loads(ask(schema_url)[2])
        (base,) = (urljoin(schema_url, one["url"]) for one in document["servers"])
        assert base == f"{address}{PREFIX}/"
        answers = {
            f"{method} {path}": ask(
                base.removesuffix("/") + path.format(user_id="u30", artist_id="i30"),
                method.upper(),
                BODIES.get(path),
            )[0]
            for path, methods in document["paths"].items()
            for method in methods
        }
        assert {call: status for call, status in answers.items() if status != 200} == {
            "get /model/report": 404  # it was published without one
        }


BODIES = {
    "/recommend": '{"user_id": "u30"}',
    "/recommend/batch": '{"user_ids": ["u30"]}',
    "/events": '{"events": [{"user_id": "u30", "artist_id": "i30"}]}',
    "/artists/{artist_id}": '{"available": true}',
}
