"""The API key of protected calls."""

from __future__ import annotations

import hmac
from typing import Annotated, Final

from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from app.errors import Unauthorized
from app.settings import Settings

_HEADER: Final = APIKeyHeader(
    name="X-API-Key",
    scheme_name="ApiKey",
    description="The service's ENCORE_API_KEY. Without one set, protected calls are open, and the "
    "service listens on loopback only.",
    auto_error=False,
)


async def require_key(request: Request, key: Annotated[str | None, Security(_HEADER)]) -> None:
    """Lets requests with the key pass, or all requests while no key is set.

    Raises:
        Unauthorized: the key is missing or wrong.
    """
    settings: Settings = request.app.state.settings
    if settings.api_key is None:
        return
    if key is None:
        raise Unauthorized("this call needs the API key in the header X-API-Key")
    # Headers are bytes that the framework reads as latin-1; compare_digest needs bytes.
    expected = settings.api_key.get_secret_value().encode()
    if not hmac.compare_digest(key.encode("latin-1"), expected):
        raise Unauthorized("the key in the header X-API-Key is not the service's ENCORE_API_KEY")
