"""Lets web pages of some origins call the service from a browser."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.errors import OriginNotAllowed
from app.hosts import ANY
from app.http.access.calls import CALLS

_METHODS: Final = sorted({"HEAD", *(name.partition(" ")[0] for name in CALLS)})
_HEADERS: Final = ("Content-Type", "X-API-Key")


class Cors(CORSMiddleware):
    """ASGI middleware that tells browsers which origins may call, with errors as well.

    The key is a header that a page sends itself. Cookies and passwords of the browser are never
    allowed, since the service knows none.

    Args:
        app: the application.
        origins: the origins, as browsers send them, or ``*``.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            expose_headers=["Retry-After"],
            # A page of a named origin may come from outside the network of the service.
            allow_private_network=ANY not in origins,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers a browser that asks whether a page may send a request.

        Raises:
            OriginNotAllowed: it may not.
            HTTPException: it may, but not this request.
        """
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        if not self.is_allowed_origin(request_headers["origin"]):
            raise OriginNotAllowed(
                f"the header Origin is {request_headers['origin'][:100]!a}, and web pages may call "
                "this service from the origins in ENCORE_CORS_ORIGINS only"
            )
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            f"web pages may send {', '.join(_METHODS)} with the headers {' and '.join(_HEADERS)}",
        )
