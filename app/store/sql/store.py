"""The whole event store in SQL."""

from __future__ import annotations

from app.store.sql.artists import SqlArtists
from app.store.sql.course import SqlCourse
from app.store.sql.erasure import SqlErasure
from app.store.sql.events import SqlEvents


class SqlEventStore(SqlEvents, SqlErasure, SqlArtists, SqlCourse):
    """An event store in SQL; the parts that depend on the database are abstract in ``SqlBase``."""
