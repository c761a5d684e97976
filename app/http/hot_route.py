"""``GET /recommend/{user_id}`` ahead of the framework, which would take longer than the answer.

Only what is plainly in order is answered here. Whatever else may be right or wrong with a request,
the framework's route of the same path finds out: the route that stands in OpenAPI, whose parameters
are read here with the same schema, and whose answers come from the same function.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import EncoreError, InvalidId
from app.http import answers
from app.http.answers import ClientGone
from app.http.batcher import Batcher
from app.http.parameters import check_query, decode
from app.http.problems import problem_response
from app.http.raw_target import encoded_path
from app.id_map import MAX_ID_BYTES
from app.model_watcher import ModelWatcher
from app.recommender import Query
from app.schemas.options import RecommendParameters
from app.schemas.primitives import MAX_IDS, check_id
from app.serving.journal.journal import Journal

logger = logging.getLogger(__name__)

PATH: Final = b"/recommend/"
_EXCLUDE: Final = "&exclude="
_REPEATABLE: Final = {name: name == "exclude" for name in RecommendParameters.model_fields}
# Clients ask with few different parameters; longer ones are seldom asked twice.
_KEPT_PARAMETERS: Final = 1024
_LONGEST_KEPT: Final = 200
# Of excluded ids few have to be decoded, and those are the artists that somebody was shown.
_KEPT_IDS: Final = 4096
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
_JSON: Final = (b"content-type", b"application/json")


class HotRoute:
    """Answers well-formed ``GET /recommend/{user_id}`` itself.

    Args:
        app: the application, which gets all other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Not in the state of the application, where a look takes longer than finding a user.
        self._watcher: ModelWatcher | None = None
        self._journal: Journal | None = None
        self._batcher: Batcher | None = None

    def open(self, watcher: ModelWatcher, journal: Journal, batcher: Batcher) -> None:
        """Begins to answer; before that, the application gets all requests."""
        self._watcher, self._journal, self._batcher = watcher, journal, batcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        query = read_query(scope) if scope["type"] == "http" else None
        watcher, journal, batcher = self._watcher, self._journal, self._batcher
        if query is None or watcher is None or journal is None or batcher is None:
            await self._app(scope, receive, send)
            return
        try:
            body = await answers.recommend(watcher.recommender, journal, batcher, query, receive)
        except ClientGone:
            return
        except Exception as error:
            if not isinstance(error, EncoreError):
                logger.exception("could not answer %s", encoded_path(scope))
            await problem_response(Request(scope), error)(scope, receive, send)
            return
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def read_query(scope: Scope) -> Query | None:
    """Returns what a request asks for, or None where the framework has to look at it."""
    path: bytes = scope.get("raw_path") or b""
    if scope["method"] != "GET" or not path.startswith(PATH) or scope.get("root_path"):
        return None
    user_id = _read_id(path[len(PATH) :])
    if user_id is None or _has_body(scope):
        return None
    read = _read_parameters(scope["query_string"])
    if read is None:
        return None
    parameters, exclude = read
    query = Query(
        user_id,
        parameters.n,
        parameters.offset,
        parameters.strategy,
        exclude,
        None,
        parameters.include_seen,
        parameters.discovery,
    )
    if parameters.explore:  # few ask for that
        query.explore, query.seed = parameters.explore, parameters.seed
    return query


def _has_body(scope: Scope) -> bool:
    for name, _ in scope["headers"]:  # noqa: SIM110 - `any` takes three times as long
        if name in _BODY_HEADERS:
            return True
    return False


def _read_id(segment: bytes) -> str | None:
    if not segment or not segment.isascii() or b"/" in segment:
        return None
    if b"%" not in segment:
        return segment.decode() if len(segment) <= MAX_ID_BYTES else None
    try:
        return check_id(decode(segment.decode()))
    except InvalidId:
        return None


@lru_cache(maxsize=_KEPT_IDS)
def _id_of(value: str) -> str:
    return check_id(decode(value.replace("+", " ")))


def _read_parameters(query_string: bytes) -> tuple[RecommendParameters, list[str]] | None:
    if not query_string.isascii():
        return None
    text = f"&{query_string.decode()}"
    # The ids to exclude differ from call to call, the rest hardly does.
    rest, *exclude = text.split(_EXCLUDE)
    if exclude:
        if text.count("&", len(rest)) > len(exclude):
            return _read_parameters(_with_exclude_last(query_string))
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
    parameters = _kept(rest) if len(rest) <= _LONGEST_KEPT else _validated(rest)
    if parameters is None or parameters.exclude:
        return None
    return parameters, exclude


def _with_exclude_last(query_string: bytes) -> bytes:
    pairs = query_string.split(b"&")
    pairs.sort(key=lambda pair: pair.startswith(b"exclude="))  # the order is kept otherwise
    return b"&".join(pairs)


def _validated(text: str) -> RecommendParameters | None:
    try:
        check_query(text, _REPEATABLE)
        return RecommendParameters.model_validate(
            {
                name: values if _REPEATABLE[name] else values[0]
                for name, values in parse_qs(text, keep_blank_values=True).items()
            }
        )
    except (RequestValidationError, ValidationError):
        return None


_kept = lru_cache(maxsize=_KEPT_PARAMETERS)(_validated)
