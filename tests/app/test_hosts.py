from __future__ import annotations

import pytest

from app.hosts import HostRule, host_of, host_of_origin, is_loopback, read_host, read_origin

RULE = HostRule(["serve", "*.example.org", "10.0.0.7", "2001:db8::7"])
LOOPBACK = (
    "localhost",
    "LocalHost",
    "localhost.",
    "localhost:8000",
    "localhost:",
    "LOCALHOST.:1",
    "127.0.0.1",
    "127.9.9.9:8000",
    "[::1]",
    "[::1]:8000",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
)
NAMED = (
    "serve",
    "Serve.:8000",
    "api.example.org",
    "a.b.example.org:80",
    "10.0.0.7:1",
    "[2001:db8::7]",
    "[2001:DB8:0::7]:8000",
)
FOREIGN = (
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.localhost",
    "localhosts",
    "example.org",
    "evilexample.org",
    ".example.org.evil",
    "serve.evil",
    "128.0.0.1",
    "0.0.0.0",  # noqa: S104 - nothing listens there
    "10.0.0.8",
    "[::]",
    "[::2]",
    "[::ffff:8.8.8.8]",
    "[2001:db8::8]",
)
# What a browser resolves otherwise than a careless reader.
NO_HOST = (
    "",
    ".",
    ":80",
    "localhost@evil.example",
    "evil.example@localhost",
    "user:pass@localhost",
    "http://localhost",
    "localhost/",
    "localhost/@evil.example",
    "localhost#evil.example",
    "localhost\\@evil.example",
    "localhost, evil.example",
    "localhost evil.example",
    " localhost",
    "localhost\t",
    "localhost:80:80",
    "localhost:http",
    "localhost:-1",
    "localhost:123456",
    "::1",
    "[::1",
    "[::1]x",
    "[127.0.0.1]",
    "[localhost]",
    "[::1%lo]",
    "[1:2]",
    "local\u200bhost",
    "\u017ferve",
    "localhost\u0661",
    "l" * 100_000,
)
# Not loopback for this service, though some programs read them as 127.0.0.1.
ODD_NUMBERS = ("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.01")


def is_allowed(authority: str) -> bool:
    host = host_of(authority)
    return host is not None and RULE.allows(host)


@pytest.mark.parametrize("authority", [*LOOPBACK, *NAMED])
def test_hosts_of_loopback_and_named_ones_are_allowed(authority: str) -> None:
    assert is_allowed(authority)
    host = host_of(authority)
    assert host is not None
    assert is_loopback(host) == (authority in LOOPBACK)
    for scheme in ("http", "https", "HTTP"):
        assert host_of_origin(f"{scheme}://{authority}") == host


@pytest.mark.parametrize(
    "authority", [*FOREIGN, *NO_HOST, *ODD_NUMBERS], ids=lambda text: text[:30]
)
def test_other_hosts_are_not(authority: str) -> None:
    assert not is_allowed(authority)
    origin = host_of_origin(f"http://{authority}")
    assert origin is None or not RULE.allows(origin)


@pytest.mark.parametrize("authority", NO_HOST, ids=lambda text: text[:30])
def test_what_is_no_authority_has_no_host(authority: str) -> None:
    assert host_of(authority) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "*",
        "localhost",
        "//localhost",
        "file://localhost",
        "ws://localhost",
        "ftp://localhost",
        "chrome-extension://localhost",
        "http://localhost/",
        "http://localhost http://evil.example",
        "http://localhost, http://localhost",
        "http:localhost",
        "http://",
    ],
)
def test_what_is_no_origin_of_a_page_has_no_host(origin: str) -> None:
    assert host_of_origin(origin) is None


def test_a_star_allows_any_host() -> None:
    assert HostRule(["*"]).allows("evil.example")
    assert HostRule(["*"]).allows_any
    assert not RULE.allows_any
    assert not HostRule([]).allows("serve")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Serve", "serve"),
        ("encore_serve_1", "encore_serve_1"),
        ("example.org.", "example.org"),
        ("*.Example.org", "*.example.org"),
        ("*.internal", "*.internal"),
        ("[::1]", "::1"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8:0::7]", "2001:db8::7"),
        ("10.0.0.7", "10.0.0.7"),
        ("*", "*"),
    ],
)
def test_entries_of_hosts_are_read_in_one_spelling(text: str, host: str) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("serve:8000", "has a port; leave it out"),
        ("[::1]:8000", "has a port; leave it out"),
        ("*.example.org:80", "has a port; leave it out"),
        ("http://serve", "is no host; expected a name, an address, or *.example.org"),
        ("serve/", "is no host"),
        ("*.", "is no host"),
        ("**", "is no host"),
        ("*example.org", "is no host"),
        ("a.*.example.org", "is no host"),
        ("10.0.0.0/8", "is no host"),
        ("*.10.0.0.7", "an address has nothing below it"),
        ("a b", "is no host"),
        ("1:2:3", "is no host"),
        ("münchen.example", "is no host"),
        (".", "is no host"),
    ],
)
def test_entries_that_are_no_host_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="'") as caught:
        read_host(text)
    assert ascii(text) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:80", "http://[::1]"),
        ("*", "*"),
    ],
)
def test_origins_are_read_as_browsers_send_them(text: str, origin: str) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "example.org",
        "https://example.org/",
        "https://example.org/app",
        "null",
        "https://*.example.org",
        "ftp://example.org",
        "https://münchen.example",
        "https://a b",
        "https://u@example.org",
    ],
)
def test_entries_that_are_no_origin_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin; expected scheme://host"):
        read_origin(text)
