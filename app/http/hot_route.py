"""The hot route: ``GET /recommend/{user_id}`` answered ahead of the framework, which is slower.

Only requests that are clearly valid are answered here, exactly as the framework would answer them.
All others go to the framework's route of the same path, which is the one in OpenAPI. Both read
parameters with the same schema, and get answers from the same function.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidId
from app.http.body_limit import has_body
from app.http.compression import LONG_BODY, compressing
from app.http.known_route import PREFIX, is_as_known
from app.http.parameters import check_query, decode, repeatable_parameters
from app.http.problems import answer_error
from app.model.id_map import MAX_ID_BYTES
from app.recommend.query import Query
from app.schemas.options import HOT_OPTIONS, RecommendParameters, arguments_of
from app.schemas.primitives import MAX_IDS, check_id
from app.serving import answers
from app.serving.batcher import Batcher
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.serving.pinning import pin

PATH: Final = PREFIX.encode()
_ID_BEGINS: Final = len(PATH)
_EXCLUDE: Final = "&exclude="
_REPEATABLE: Final = repeatable_parameters(RecommendParameters)
# Clients send few different query strings; long ones are seldom sent twice.
_REMEMBERED_PARAMETERS: Final = 1024
_LONGEST_REMEMBERED: Final = 200
# Decoded ids of excluded artists: few ids are encoded, and the same artists are excluded often.
_REMEMBERED_IDS: Final = 4096
_JSON: Final = (b"content-type", b"application/json")


class HotRoute:
    """Answers well-formed ``GET /recommend/{user_id}`` itself.

    Args:
        service: the application; its routes, overrides and exception handlers apply here too.
        framework: the ASGI application that answers all other requests.
    """

    def __init__(self, service: FastAPI, framework: ASGIApp) -> None:
        self._service = service
        self._framework = framework
        # Not in the application's state, where a lookup takes longer than finding a user.
        self._serving: tuple[ModelFollower, Journal, Batcher] | None = None
        # The application's routes when they were last compared, and the result.
        self._routes: list[BaseRoute] = []
        self._is_known = False

    def open(self, follower: ModelFollower, journal: Journal, batcher: Batcher) -> None:
        """Begins to answer; until then the framework gets all requests."""
        self._serving = follower, journal, batcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        serving, service = self._serving, self._service
        if service.router.routes != self._routes:
            self._routes = [*service.router.routes]
            self._is_known = is_as_known(service)
        query = None
        if (
            serving is not None
            and self._is_known
            and not service.dependency_overrides
            and scope["type"] == "http"
        ):
            query = read_query(scope)
        if serving is None or query is None:
            await self._framework(scope, receive, send)
            return
        follower, journal, batcher = serving
        try:
            recommender = await pin(follower, journal)
            body = await answers.recommend(recommender, journal, batcher, query, receive)
        except Exception as error:
            await answer_error(error, service, scope, receive, send)
            return
        if len(body) >= LONG_BODY:
            send = compressing(scope, send)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def read_query(scope: Scope) -> Query | None:
    """Returns the query of a request, or None if the framework has to answer it."""
    path: bytes = scope.get("raw_path") or b""
    if scope["method"] != "GET" or not path.startswith(PATH) or scope.get("root_path"):
        return None
    user_id = _read_id(path[_ID_BEGINS:])
    if user_id is None or has_body(scope):
        return None
    query_string: bytes = scope["query_string"]
    if not query_string.isascii():
        return None
    text = query_string.decode()
    if "exclude" in text:
        return _read_excluding(user_id, text)
    arguments = _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _read_arguments(text)
    return None if arguments is None else Query(user_id, **arguments)


def _read_id(segment: bytes) -> str | None:
    if b"%" not in segment and b"/" not in segment and segment.isascii():
        return segment.decode() if 0 < len(segment) <= MAX_ID_BYTES else None
    if not segment.isascii() or b"/" in segment:
        return None
    try:
        return check_id(decode(segment.decode()))
    except InvalidId:
        return None


@lru_cache(maxsize=_REMEMBERED_IDS)
def _id_of(value: str) -> str:
    return check_id(decode(value.replace("+", " ")))


def _read_excluding(user_id: str, text: str) -> Query | None:
    # The excluded ids differ from call to call, the other parameters seldom do.
    rest, *exclude = f"&{text}".split(_EXCLUDE)
    if len(exclude) > MAX_IDS:
        return None
    if exclude:
        if text.count("&", len(rest)) >= len(exclude):
            return _read_excluding(user_id, _with_exclude_last(text))
        if "%" in text or "+" in text:
            try:
                exclude = [
                    _id_of(value) if "%" in value or "+" in value else value for value in exclude
                ]
            except InvalidId:
                return None
        # Ids that were not encoded are ASCII, so they have as many bytes as characters.
        if max(map(len, exclude)) > MAX_ID_BYTES:
            return None
    arguments = _remembered(rest) if len(rest) <= _LONGEST_REMEMBERED else _read_arguments(rest)
    return None if arguments is None else Query(user_id, exclude=exclude, **arguments)


def _with_exclude_last(text: str) -> str:
    pairs = text.split("&")
    pairs.sort(key=lambda pair: pair.startswith("exclude="))  # stable: the order stays otherwise
    return "&".join(pairs)


def _read_arguments(text: str) -> dict[str, Any] | None:
    """Returns a query's options but ``exclude``, by name; None if the framework has to answer."""
    try:
        check_query(text, _REPEATABLE)
        found = parse_qs(text, keep_blank_values=True)
        # A percent-encoded spelling of the name ``exclude`` gets here.
        if "exclude" in found or not found.keys() <= HOT_OPTIONS:
            return None
        values = {name: all_ if _REPEATABLE[name] else all_[0] for name, all_ in found.items()}
        return arguments_of(RecommendParameters.model_validate(values))
    except (RequestValidationError, ValidationError):
        return None


_remembered = lru_cache(maxsize=_REMEMBERED_PARAMETERS)(_read_arguments)
