"""Database URLs: checking them, and opening the event store that they name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app.errors import StoreUnavailable
from app.store.deadlines import NO_DEADLINES, Deadlines
from app.store.upkeep import MaintainableStore

_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = ("postgresql://", "postgres://")
_EXPECTED: Final = (
    "expected sqlite:///FILE (a relative path), sqlite:////FILE (an absolute one) or "
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
)


def check_url(url: str) -> None:
    """Refuses a URL that names no event store; the message does not contain the URL.

    Raises:
        ValueError: it names no event store, or its driver is not installed.
    """
    if url.startswith(_POSTGRESQL):
        if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
            raise ValueError(
                "PostgreSQL needs a driver, which is not installed: "
                "in the folder of Encore, run pip install '.[postgres]'"
            )
    elif not url.startswith(_SQLITE):
        raise ValueError(_EXPECTED)
    elif "?" in url:
        raise ValueError(f"takes no options after a question mark; {_EXPECTED}")
    elif not _path(url).name or ":memory:" in url:
        raise ValueError(f"names no file; {_EXPECTED}")


def open_store(
    url: str, *, must_exist: bool = False, deadlines: Deadlines = NO_DEADLINES
) -> MaintainableStore:
    """Opens the event store that a URL names.

    Args:
        url: a URL in the form of ``ENCORE_DATABASE_URL``.
        must_exist: whether a missing store is refused instead of created.
        deadlines: how long questions may take; no limit by default.

    Raises:
        StoreUnavailable: it cannot be opened.
        ValueError: the URL names no event store.
    """
    check_url(url)
    # Imported late: the base install has no driver of PostgreSQL.
    if url.startswith(_POSTGRESQL):
        from app.store.postgres import PostgresEventStore  # noqa: PLC0415

        return PostgresEventStore(url, must_exist=must_exist, deadlines=deadlines)
    from app.store.sqlite import SqliteEventStore  # noqa: PLC0415

    if must_exist and not _path(url).exists():
        raise StoreUnavailable(
            "missing", f"there is no event store {_path(url)}; is its name right?"
        )
    return SqliteEventStore(_path(url), deadlines=deadlines)


def _path(url: str) -> Path:
    return Path(url.removeprefix(_SQLITE))
