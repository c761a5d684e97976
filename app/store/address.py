"""Which store a database URL names."""

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
    """Refuses a URL that names no event store; the message does not repeat it.

    Raises:
        ValueError: it names none, or the driver for it is not installed.
    """
    if url.startswith(_POSTGRESQL):
        if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
            raise ValueError(
                "PostgreSQL wants a driver, which is not installed: "
                "pip install 'encore-recommender[postgres]'"
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
        url: as of ``ENCORE_DATABASE_URL``.
        must_exist: whether a store that is missing is refused instead of made.
        deadlines: how long questions may take; as long as they do if not given.

    Raises:
        StoreUnavailable: it cannot be opened.
        ValueError: the URL names none.
    """
    check_url(url)
    # One database, one driver; the base install has that of SQLite.
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
