"""The page of calls works under its policy, and could do nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Final

import pytest
from starlette.testclient import TestClient

from app.http.documentation import _page

# Which directive allows what an element loads.
LOADING: Final = {"script": "script-src", "link": "style-src", "img": "img-src"}


class Page(HTMLParser):
    """What a page loads, runs and styles.

    Attributes:
        loaded: pairs of the directive that has to allow it, and the address.
        scripts: scripts in the page itself.
        handlers: attributes that hold a script or a style.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self._is_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Notes what an element loads."""
        assert tag not in {"style", "base", "form", "iframe", "object", "embed"}
        found = dict(attributes)
        self.handlers += [name for name in found if name.startswith("on") or name == "style"]
        address = found.get("src") or (found.get("href") if tag == "link" else None)
        if address:
            is_icon = "icon" in (found.get("rel") or "")
            self.loaded.append(("img-src" if is_icon else LOADING[tag], address))
        self._is_script = tag == "script" and not address

    def handle_data(self, data: str) -> None:
        """Notes a script."""
        if self._is_script:
            self.scripts.append(data)
            self._is_script = False


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in map(str.split, policy.split(";"))}


@pytest.mark.parametrize("local", [True, False])
def test_all_that_the_page_needs_is_allowed(local: bool) -> None:
    answer = _page(local=local)
    policy = directives(answer.headers["content-security-policy"])
    page = Page(bytes(answer.body).decode())
    assert len(page.loaded) == 3
    for directive, address in page.loaded:
        origin = "/".join(address.split("/")[:3]) if "://" in address else "'self'"
        assert origin in policy[directive]
        assert (origin == "'self'") == local
    [script] = page.scripts
    assert "SwaggerUIBundle({" in script
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy["script-src"]
    assert page.handlers == []
    # The script asks for the schema, and calls the service where somebody tries a call.
    assert policy["connect-src"] == ["'self'"]


def test_nothing_else_is_allowed() -> None:
    policy = directives(_page(local=True).headers["content-security-policy"])
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[directive] == ["'none'"]
    sources = {source for several in policy.values() for source in several}
    assert {source for source in sources if not source.startswith("'sha256-")} == {
        "'none'",
        "'self'",
        "data:",
    }
    assert len([source for source in policy["script-src"] if "sha256" in source]) == 1


def test_the_page_has_its_schema_checked_by_nobody() -> None:
    assert '"validatorUrl": null' in bytes(_page(local=True).body).decode()


def test_the_page_that_is_served_has_the_policy(client: TestClient) -> None:
    answer = client.get("/docs")
    headers = _page(local=True).headers
    for name in ("content-security-policy", "referrer-policy"):
        assert answer.headers[name] == headers[name]
