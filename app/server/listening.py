"""Opens the port before any worker starts, so that a failure is one sentence."""

from __future__ import annotations

import errno
import socket
from typing import Final

from app.errors import InvalidSettings

_BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """Opens the port.

    Raises:
        InvalidSettings: the address cannot be listened on.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sends small answers at once only where the protocol is named.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:  # encoding fails for text that is no host name
        reason = getattr(error, "strerror", None) or "no host name"
        raise InvalidSettings(
            f"ENCORE_HOST is {host!r}: no address to listen on ({reason})"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidSettings(_bind_failure(error, host, port)) from error
    return listener


def _bind_failure(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: end what listens there, or take another with "
            "ENCORE_PORT or --port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not permitted: take one from 1024 on with ENCORE_PORT or --port"
    return f"cannot listen on {host}, port {port}: {error.strerror}"
