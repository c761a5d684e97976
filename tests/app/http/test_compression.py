from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message

from app.http.compression import LONG_BODY, Compressing, compressing, takes_gzip
from tests.app.http.test_hot_route import behind, essence


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZip"], True),
        (["x-gzip"], True),
        (["deflate, gzip;q=1.0, *;q=0.5"], True),
        (["br, zstd"], False),
        (["br", "gzip"], True),
        (["gzip;q=0"], False),
        (["gzip; q = 0.001"], True),
        (["gzip;q=0.000, *"], False),
        (["*"], True),
        (["*;q=0"], False),
        (["identity;q=1, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip"], True),
        (["gzip;q=much"], False),
        (["gzip;q=-1"], False),
        (["gzip;q=nan"], False),
        (["notgzip"], False),
        ([", ,;;,gzip"], True),
        (["gzip, " + "a," * 1000], False),  # nobody sends that, and reading it would take long
    ],
)
def test_a_client_says_whether_it_takes_gzip(accepted: Iterable[str], expected: bool) -> None:
    assert takes_gzip(accepted) is expected


@pytest.mark.parametrize("way", ["hot route", "framework"])
def test_long_lists_are_compressed_on_both_ways_for_clients_that_ask(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for module in ("compression", "hot_route"):  # lists of the small model are short
        monkeypatch.setattr(f"app.http.{module}.LONG_BODY", 1000)
    one = client if way == "hot route" else behind(client)
    plain = one.get("/recommend/u30?n=40", headers={"accept-encoding": "identity"})
    asked = one.get("/recommend/u30?n=40", headers={"accept-encoding": "gzip"})
    short = one.get("/recommend/u30?n=1", headers={"accept-encoding": "gzip"})
    assert asked.content == plain.content  # the client has decoded it
    assert asked.headers["content-encoding"] == "gzip"
    assert int(asked.headers["content-length"]) < int(plain.headers["content-length"])
    assert "content-encoding" not in plain.headers
    assert asked.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert not {"content-encoding", "vary"} & short.headers.keys()
    assert essence(asked) == essence(behind(client).get("/recommend/u30?n=40"))


@pytest.mark.parametrize(
    ("path", "is_compressed"),
    [("/openapi.json", True), ("/docs/assets/swagger-ui.css", True), ("/docs", False)]
    + [
        (f"/docs/assets/{name}", name != "favicon.png")
        for name in ("redoc.standalone.js", "favicon.png")
    ],
)
def test_other_long_text_is_compressed(client: TestClient, path: str, is_compressed: bool) -> None:
    asked = client.get(path, headers={"accept-encoding": "gzip"})
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert asked.content == plain.content
    assert (asked.headers.get("content-encoding") == "gzip") is is_compressed
    assert (asked.headers.get("vary") == "Accept-Encoding") is is_compressed
    if tag := plain.headers.get("etag"):
        # The compressed bytes are others, of the same content.
        assert asked.headers["etag"] == (f"W/{tag}" if is_compressed else tag)
        again = {"accept-encoding": "gzip", "if-none-match": asked.headers["etag"]}
        unchanged = client.get(path, headers=again)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert "content-encoding" not in unchanged.headers


LONG = b"the doors, tom waits; " * 2000


@pytest.mark.parametrize(
    ("answer", "is_compressed"),
    [
        (Response(LONG, media_type="application/json"), True),
        (Response(LONG, media_type="application/problem+json", status_code=422), True),
        (Response(LONG * 100, media_type="text/html"), True),  # in a thread
        (Response(LONG[: LONG_BODY - 1], media_type="text/html"), False),
        (Response(LONG, media_type="image/png"), False),
        (Response(LONG), False),
        (Response(LONG, 206, media_type="text/html"), False),
        (Response(LONG, headers={"content-encoding": "br"}, media_type="text/html"), False),
    ],
)
def test_only_whole_long_text_is_compressed(answer: Response, is_compressed: bool) -> None:
    async def endpoint(_request: object) -> Response:
        return answer

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(Compressing)])
    with TestClient(app) as client, client.stream("GET", "/") as got:
        raw = b"".join(got.iter_raw())
    assert got.status_code == answer.status_code
    assert (got.headers.get("content-encoding") == "gzip") is is_compressed
    assert int(got.headers["content-length"]) == len(raw)
    assert (gzip.decompress(raw) if is_compressed else raw) == answer.body


def test_each_part_of_a_stream_can_be_read_when_it_comes() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def answer() -> None:
        scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
        out = compressing(scope, send)
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"8")]
        await out({"type": "http.response.start", "status": 200, "headers": headers})
        for body, more in ((b"one ", True), (b"two ", True), (b"", False)):
            await out({"type": "http.response.body", "body": body, "more_body": more})

    asyncio.run(answer())
    start, *parts = sent
    assert dict(start["headers"]) == {
        b"content-type": b"text/plain",
        b"content-encoding": b"gzip",
        b"vary": b"Accept-Encoding",
    }
    reader = zlib.decompressobj(31)
    assert [reader.decompress(part["body"]) for part in parts] == [b"one ", b"two ", b""]
    assert reader.eof
