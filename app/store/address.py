"""Which store a database URL names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.store.interface import EventStore

SQLITE: Final = "sqlite:///"
POSTGRESQL: Final = ("postgresql://", "postgres://")
EXPECTED: Final = "sqlite:///FILE (a relative path), sqlite:////FILE (an absolute one)"


def check_url(url: str) -> None:
    """Refuses a URL that names no event store; the message does not repeat it.

    Raises:
        ValueError: it does not.
    """
    if not url.startswith(SQLITE):
        raise ValueError(f"expected {EXPECTED}")
    if not sqlite_path(url).name or ":memory:" in url:
        raise ValueError(f"names no file; expected {EXPECTED}")


def sqlite_path(url: str) -> Path:
    """Returns the file of an SQLite URL."""
    return Path(url.removeprefix(SQLITE))


def open_store(url: str) -> EventStore:
    """Opens the event store that a URL names.

    Raises:
        StoreUnavailable: it cannot be opened.
        ValueError: the URL names none.
    """
    check_url(url)
    from app.store.sqlite import SqliteEventStore  # noqa: PLC0415 - one database, one driver

    return SqliteEventStore(sqlite_path(url))
