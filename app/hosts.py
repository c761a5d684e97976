"""Hosts and origins, as requests and settings name them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

ANY: Final = "*"
_WILDCARD: Final = "*."
# A name or an IPv4 address, or an IPv6 address in brackets. Nothing else may stand in an authority:
# in ``localhost@example.org`` the host is not the part that comes first.
_HOST: Final = r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])"
_AUTHORITY: Final = re.compile(rf"{_HOST}(?::(?P<port>[0-9]{{0,5}}))?", re.ASCII)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY.pattern}", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# The longest name that DNS knows, with a port.
_MAX_CHARACTERS: Final = 260


def is_loopback(host: str) -> bool:
    """Says whether ``host`` is a name or an address of this machine for itself."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def host_of(authority: str) -> str | None:
    """Returns the host in ``host[:port]``: in lower case, without brackets and without a last dot.

    None if that is no authority.
    """
    found = _AUTHORITY.fullmatch(authority.lower()) if len(authority) <= _MAX_CHARACTERS else None
    return None if found is None else _plain(found["host"])


def host_of_origin(origin: str) -> str | None:
    """Returns the host of an origin, as ``host_of`` does.

    None if that is no origin of a web page (``null``, or a scheme other than HTTP).
    """
    found = _ORIGIN.fullmatch(origin.lower()) if len(origin) <= _MAX_CHARACTERS else None
    return None if found is None else _plain(found["host"])


class HostRule:
    """Which hosts a service answers to: those of loopback, and those that a setting names.

    Args:
        names: names and addresses, ``*.example.org`` for every name below it, ``*`` for any.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names = {*names}
        self._names = frozenset(names)
        self._endings = tuple(name[1:] for name in names if name.startswith(_WILDCARD))

    @property
    def allows_any(self) -> bool:
        """Whether every host is allowed."""
        return ANY in self._names

    def allows(self, host: str) -> bool:
        """Says whether a host is allowed, given as ``host_of`` returns it."""
        return (
            self.allows_any
            or is_loopback(host)
            or host in self._names
            or host.endswith(self._endings)
        )


def read_host(text: str) -> str:
    """Reads an entry of a setting for ``HostRule``.

    Raises:
        ValueError: it is none.
    """
    if text == ANY:
        return text
    name = text.removeprefix(_WILDCARD).lower()
    found = _AUTHORITY.fullmatch(f"[{name}]" if name.count(":") > 1 and name[0] != "[" else name)
    host = None if found is None else _plain(found["host"])
    if found is None or host is None:
        raise ValueError(
            f"{text[:100]!a} is no host; expected a name, an address, or *.example.org"
        )
    if found["port"] is not None:
        raise ValueError(f"{text[:100]!a} has a port; leave it out, since every port is allowed")
    if not text.startswith(_WILDCARD):
        return host
    if _address(host) is not None:
        raise ValueError(f"{text[:100]!a}: an address has nothing below it; name the address")
    return _WILDCARD + host


def read_origin(text: str) -> str:
    """Reads an origin of a setting, and returns it as browsers send it.

    Raises:
        ValueError: it is none.
    """
    if text == ANY:
        return text
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError(
            f"{text[:100]!a} is no origin; expected scheme://host or scheme://host:port, without a "
            "slash at the end"
        )
    scheme, host, port = found["scheme"], found["host"], found["port"]
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


def _plain(host: str) -> str | None:
    if not host.startswith("["):
        return host.removesuffix(".") or None
    address = _address(host[1:-1]) if ":" in host else None
    return None if address is None else str(address)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # The same address, written as one of IPv6.
    return getattr(address, "ipv4_mapped", None) or address
