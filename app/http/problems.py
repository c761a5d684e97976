"""From exceptions to HTTP: the only place that maps errors to statuses.

Every error has one body, ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NoReturn

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app import errors
from app.http.raw_target import encoded_path
from app.schemas.problem import MOST_VIOLATIONS, Problem, Violation
from app.serving.connection import ClientGone
from app.text import visible

MEDIA_TYPE: Final = "application/problem+json"
_BLANK: Final = "about:blank"
_URN: Final = "urn:encore:problem:"
_RETRY: Final = {"Retry-After": "5"}
_MAX_ECHO: Final = 100
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Python's own titles of these statuses differ between versions.
_TITLES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
# The client has closed the connection: nobody reads the answer, and no fault is logged.
_CLIENT_GONE: Final = (ClientDisconnect, ClientGone)
# Any call may be answered with them: the last two by a fault of the request or of the service, the
# others by the server, which reads the request.
_OF_ANY_CALL: Final = frozenset({400, 408, 414, 431, 422, 500})
_UNEXPECTED: Final = "something went wrong inside the service; its log has the details"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of exceptions answers.

    Attributes:
        status: the HTTP status.
        type: the problem's ``type``.
        title: the problem's ``title``.
        headers: headers of the answer.
        shown: whether the client sees the exception's message.
    """

    status: int
    type: str
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)
    shown: bool = True


INVALID_REQUEST: Final = Kind(422, f"{_URN}invalid-request", "Invalid request")
_INTERNAL: Final = Kind(500, _BLANK, "Internal Server Error", shown=False)

KINDS: Final[Mapping[type[errors.EncoreError], Kind]] = {
    errors.InvalidId: INVALID_REQUEST,
    errors.InvalidArtifact: Kind(503, f"{_URN}model-unavailable", "Model unavailable", _RETRY),
    errors.ModelNotFound: Kind(404, f"{_URN}model-not-found", "No such model"),
    errors.ReportNotFound: Kind(404, f"{_URN}report-not-found", "No report"),
    errors.ReportUnavailable: Kind(503, f"{_URN}report-unavailable", "Report unavailable", _RETRY),
    errors.ModelUnavailable: Kind(503, f"{_URN}model-unavailable", "Model unavailable", _RETRY),
    errors.Overloaded: Kind(503, f"{_URN}overloaded", "Overloaded", {"Retry-After": "1"}),
    errors.StoreUnavailable: Kind(503, f"{_URN}events-unavailable", "Events unavailable", _RETRY),
    errors.EventConflict: Kind(409, f"{_URN}event-conflict", "Event conflict"),
    errors.UnknownUser: Kind(404, f"{_URN}unknown-user", "Unknown user"),
    errors.Unauthorized: Kind(
        401, f"{_URN}unauthorized", "Unauthorized", {"WWW-Authenticate": 'ApiKey realm="encore"'}
    ),
    errors.HostNotAllowed: Kind(421, f"{_URN}host-not-allowed", "Host not allowed"),
    errors.OriginNotAllowed: Kind(403, f"{_URN}origin-not-allowed", "Origin not allowed"),
    errors.InvalidSettings: _INTERNAL,
}


def install_problem_handlers(app: FastAPI) -> None:
    """Makes the app answer every error with a problem."""
    for exception in (RequestValidationError, HTTPException, errors.EncoreError, *_CLIENT_GONE):
        app.add_exception_handler(exception, _handle)
    # Starlette answers with this one and raises the exception again, so that it gets logged.
    app.add_exception_handler(Exception, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    return problem_response(request, error)


async def answer_error(
    error: Exception, app: FastAPI, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answers a request that ended in an exception ahead of the framework, as the framework does.

    An unexpected exception is answered and raised again, so that the server logs it.
    """
    handlers = app.exception_handlers
    caught = next((one for one in type(error).__mro__ if one in handlers), Exception)
    if handlers.get(caught) is _handle and caught not in {Exception, HTTPException}:
        # The framework's layers would give the same answer, and take longer.
        await problem_response(Request(scope), error)(scope, receive, send)
        return
    handlers = {**handlers}
    on_fault = handlers.pop(Exception, None) or handlers.pop(500, None)
    handled = ExceptionMiddleware(partial(_raise, error), handlers=handlers)
    layers = ServerErrorMiddleware(handled, handler=on_fault, debug=app.debug)
    await layers(scope, receive, send)


async def _raise(error: Exception, *_request: object) -> NoReturn:
    raise error


def problem_response(request: Request, error: Exception) -> Response:
    """Returns the answer to a request that ended in an exception."""
    violations: list[Violation] | None = None
    if isinstance(error, RequestValidationError):
        kind = INVALID_REQUEST
        violations = list(_violations(error.errors()))
        detail = _summary(violations, len(error.errors()))
    elif isinstance(error, HTTPException):
        kind = _http_kind(request, error)
        detail = _http_detail(error)
    elif isinstance(error, _CLIENT_GONE):
        kind, detail = _blank_kind(400), "the connection closed before there was an answer"
    else:
        kind = _kind_of(error)
        detail = str(error) if kind.shown else _UNEXPECTED
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=_short(encoded_path(request.scope)),
        errors=violations,
    )
    return Response(
        visible(problem.model_dump_json(exclude_none=True)),  # people read it on a terminal
        status_code=kind.status,
        headers=dict(kind.headers),
        media_type=MEDIA_TYPE,
    )


def summary(entries: Sequence[Any]) -> str:
    """Returns the errors in one part of a request as one line.

    Args:
        entries: entries of pydantic's ``errors()``.
    """
    return _summary(list(_violations(entries)), len(entries))


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns an operation's error responses for OpenAPI, with those that any call may have."""
    return {status: _EXAMPLES[status] for status in sorted({*statuses, *_OF_ANY_CALL})}


def _kind_of(error: Exception) -> Kind:
    for base in type(error).__mro__:
        if base in KINDS:
            return KINDS[base]
    return _INTERNAL


def _blank_kind(status: int, headers: Mapping[str, str] | None = None) -> Kind:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return Kind(status, _BLANK, title, headers or {})


def _http_kind(request: Request, error: HTTPException) -> Kind:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework lists the methods of one route only; other routes may share the path.
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _blank_kind(error.status_code, headers)


def _allowed_methods(request: Request) -> list[str]:
    routes = request.app.router.routes
    found = [
        method
        for method in _METHODS
        if any(
            route.matches(dict(request.scope) | {"method": method})[0] is Match.FULL
            for route in routes
        )
    ]
    if "GET" in found and "HEAD" not in found:
        found.insert(1, "HEAD")  # HeadAsGet answers it
    return found


def _http_detail(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "no call has this path; GET /docs shows every call"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return "this path does not have this method; the header Allow lists its methods"
    return _short(str(error.detail))


def _violations(entries: Sequence[Any]) -> Iterator[Violation]:
    for entry in entries[:MOST_VIOLATIONS]:
        location = ".".join(str(part) for part in entry["loc"])
        yield Violation(location=_short(location), message=_message(entry))


def _message(entry: Mapping[str, Any]) -> str:
    kind, message = entry["type"], str(entry["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return "is not a field of this call; GET /docs shows its fields"
    if kind == "missing":
        return "is required"
    if kind == "string_unicode":
        return "is not valid Unicode: it has a lone surrogate"
    if kind == "too_short":
        return "should not be empty"
    message = message.replace("Input should be", "should be", 1)
    found = entry.get("input")
    if kind not in {"form", "query", "value_error"} and isinstance(found, str | int | float):
        # Cut before it is written out: a text may have millions of characters.
        found = found[:_MAX_ECHO] if isinstance(found, str) else found
        message += f", found {_short(repr(found), 60)}"
    return message


def _summary(violations: list[Violation], count: int) -> str:
    first = violations[0]
    # From this many on, the others may not have been looked at.
    at_least = "at least " if count >= MOST_VIOLATIONS else ""
    more = f" (and {at_least}{count - 1} more)" if count > 1 else ""
    where = f"{first.location}: " if first.location else ""
    return f"{where}{first.message}{more}"


def _short(text: str, length: int = _MAX_ECHO) -> str:
    text = text[: length + 1].encode(errors="backslashreplace").decode()
    return text if len(text) <= length else text[: length - 3] + "..."


# The headers of problems, for OpenAPI.
_HEADERS: Final = {
    "Accept-Encoding": "The encodings of bodies that are taken.",
    "Retry-After": "Seconds after which it makes sense to ask again.",
    "WWW-Authenticate": "How to give the key.",
}


def _example(
    status: int, kind: Kind, detail: str, path: str, violation: Violation | None = None
) -> dict[str, Any]:
    example = Problem(
        type=kind.type,
        title=kind.title,
        status=status,
        detail=detail,
        instance=path,
        errors=[violation] if violation else None,
    )
    headers = {
        name: {"description": _HEADERS[name], "required": True, "schema": {"type": "string"}}
        for name in kind.headers
    }
    return {
        "description": kind.title,
        **({"headers": headers} if headers else {}),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example.model_dump(exclude_none=True),
            }
        },
    }


_EXAMPLES: Final[Mapping[int, dict[str, Any]]] = {
    400: _example(400, _blank_kind(400), "this is no HTTP request", "/recommend/8f1c2a9e5d"),
    401: _example(
        401,
        KINDS[errors.Unauthorized],
        "this call needs the API key in the header X-API-Key",
        "/admin/reload",
    ),
    403: _example(
        403,
        KINDS[errors.OriginNotAllowed],
        "the header Origin is 'https://example.org', and web pages may call this service from "
        "loopback only while it has no key: set ENCORE_API_KEY, or add the origin to "
        "ENCORE_CORS_ORIGINS",
        "/admin/reload",
    ),
    404: _example(
        404,
        KINDS[errors.UnknownUser],
        "this user has no listening history in the model; "
        "strategy=auto answers with popular artists instead",
        "/recommend/nobody",
    ),
    408: _example(408, _blank_kind(408), "the request did not come in time", "/events"),
    409: _example(
        409,
        KINDS[errors.EventConflict],
        "events.0.event_id: belongs to event 17, which has different content; give each event an "
        "id of its own",
        "/events",
    ),
    413: _example(
        413,
        _blank_kind(413),
        "the body has more than 4194304 bytes (ENCORE_MAX_BODY_BYTES); send it in several requests",
        "/recommend",
    ),
    414: _example(
        414,
        _blank_kind(414),
        "the URL is too long; send the options in the body of POST /recommend",
        "/recommend/8f1c2a9e5d",
    ),
    415: _example(
        415,
        _blank_kind(415, {"Accept-Encoding": "identity"}),
        "bodies are taken without a Content-Encoding, found 'gzip'; send it uncompressed",
        "/events",
    ),
    421: _example(
        421,
        KINDS[errors.HostNotAllowed],
        "the header Host is 'example.org', and this service answers to localhost, 127.0.0.1 "
        "and the hosts in ENCORE_ALLOWED_HOSTS only: send requests there, or add the host",
        "/recommend/8f1c2a9e5d",
    ),
    422: _example(
        422,
        INVALID_REQUEST,
        "query.n: should be less than or equal to 500, found 100000",
        "/recommend/8f1c2a9e5d",
        Violation(location="query.n", message="should be less than or equal to 500, found 100000"),
    ),
    431: _example(
        431, _blank_kind(431), "the request's headers are too long", "/recommend/8f1c2a9e5d"
    ),
    500: _example(500, _INTERNAL, _UNEXPECTED, "/recommend/8f1c2a9e5d"),
    503: _example(
        503,
        KINDS[errors.ModelUnavailable],
        "no model is published in models: run `python -m training train --dataset NAME --data "
        "PATH --models models`; it is served as soon as it is there",
        "/health/ready",
    ),
}
