"""``GET /recommend/{user_id}`` ahead of the framework, which would take longer than the answer.

Only what is plainly in order is answered here, and only as the framework would: whatever else may
be right or wrong with a request, the framework's route of the same path finds out. That is the
route that stands in OpenAPI, whose parameters are read here with the same schema, and whose answers
come from the same function.
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
# Clients ask with few different parameters; longer ones are seldom asked twice.
_REMEMBERED_PARAMETERS: Final = 1024
_LONGEST_REMEMBERED: Final = 200
# Of excluded ids few have to be decoded, and those are the artists that somebody was shown.
_REMEMBERED_IDS: Final = 4096
_JSON: Final = (b"content-type", b"application/json")


class HotRoute:
    """Answers well-formed ``GET /recommend/{user_id}`` itself.

    Args:
        service: the application, whose routes, overrides and handlers of exceptions hold here too.
        framework: what gets all other requests.
    """

    def __init__(self, service: FastAPI, framework: ASGIApp) -> None:
        self._service = service
        self._framework = framework
        # Not in the state of the application, where a look takes longer than finding a user.
        self._serving: tuple[ModelFollower, Journal, Batcher] | None = None
        # The application's when they were last looked at, and what that came to.
        self._routes: list[BaseRoute] = []
        self._is_known = False

    def open(self, follower: ModelFollower, journal: Journal, batcher: Batcher) -> None:
        """Begins to answer; before that, the framework gets all requests."""
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
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def read_query(scope: Scope) -> Query | None:
    """Returns what a request asks for, or None where the framework has to look at it."""
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
    # The ids to exclude differ from call to call, the rest hardly does.
    rest, *exclude = f"&{text}".split(_EXCLUDE)
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
        # All that was not encoded is ASCII, so it has as many bytes as characters.
        if max(map(len, exclude)) > MAX_ID_BYTES or len(exclude) > MAX_IDS:
            return None
    arguments = _remembered(rest) if len(rest) <= _LONGEST_REMEMBERED else _read_arguments(rest)
    return None if arguments is None else Query(user_id, exclude=exclude, **arguments)


def _with_exclude_last(text: str) -> str:
    pairs = text.split("&")
    pairs.sort(key=lambda pair: pair.startswith("exclude="))  # else in their order
    return "&".join(pairs)


def _read_arguments(text: str) -> dict[str, Any] | None:
    """Returns what a query asks but for exclusions, by name; None if the framework has to look."""
    try:
        check_query(text, _REPEATABLE)
        found = parse_qs(text, keep_blank_values=True)
        # Under an odd spelling of its name an exclusion comes here.
        if "exclude" in found or not found.keys() <= HOT_OPTIONS:
            return None
        values = {name: all_ if _REPEATABLE[name] else all_[0] for name, all_ in found.items()}
        return arguments_of(RecommendParameters.model_validate(values))
    except (RequestValidationError, ValidationError):
        return None


_remembered = lru_cache(maxsize=_REMEMBERED_PARAMETERS)(_read_arguments)
