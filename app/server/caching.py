"""What caches may do with answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_NAME: Final = b"cache-control"
# Lists follow events, and caches do not know that X-API-Key is a secret.
NEVER: Final = "no-store"


def cacheable(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Returns the headers of all answers for a file that caches may hold.

    They ask for its ``ETag`` each time, since a later version of the service has another file of
    the same name.
    """
    return [(name, b"no-cache" if name == _NAME else value) for name, value in headers]
