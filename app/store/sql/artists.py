"""The artists of events, and their availability, in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.events.event_types import SEEN_TYPES, EventType
from app.store.interface import PlayedArtist
from app.store.sql.base import SqlBase, number_of
from app.store.sql.connection import Connection


class SqlArtists(SqlBase):
    """Artists in SQL; see ``EventStore`` for what its methods do."""

    def latest_of_artists(self, after: int) -> list[tuple[str, int]]:
        """Returns the artists with events numbered above ``after``."""
        with self._following() as connection:
            rows = self._execute(
                connection,
                "SELECT artist_id, max(sequence) FROM events WHERE sequence > ? GROUP BY artist_id",
                after,
            ).fetchall()
        return [(bytes(artist).decode(), int(sequence)) for artist, sequence in rows]

    def listeners_of(self, artist_id: str, *, limit: int) -> list[str]:
        """Returns users whose events count an artist as seen, latest first."""
        marks = ", ".join("?" * len(SEEN_TYPES))
        with self._following() as connection:
            rows = self._execute(
                connection,
                f"SELECT user_id FROM events WHERE artist_id = ? AND type IN ({marks}) "  # noqa: S608
                "GROUP BY user_id ORDER BY max(sequence) DESC LIMIT ?",
                artist_id.encode(),
                *(kind.encode() for kind in SEEN_TYPES),
                limit,
            ).fetchall()
        return [bytes(user).decode() for (user,) in rows]

    def names_of(self, artist_ids: Sequence[str]) -> dict[str, str]:
        """Returns the names of artists from their latest events."""
        with self._reading() as connection:
            encoded = [artist_id.encode() for artist_id in artist_ids]
            names = list(self._latest_names(connection, encoded))
        return {artist.decode(): name for artist, name in names}

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        """Returns the artists that were played most."""
        statement = (
            "SELECT artist_id, count(DISTINCT user_id) AS listeners, sum(plays) AS total "
            "FROM events WHERE happened_at >= ? AND type = ? GROUP BY artist_id ORDER BY "
        )
        statement += "total DESC, listeners DESC" if by_plays else "listeners DESC, total DESC"
        with self._following() as connection:
            rows = self._execute(
                connection,
                statement + ", artist_id LIMIT ?",
                since,
                EventType.PLAY.encode(),
                limit,
            ).fetchall()
            artists = [bytes(artist) for artist, _, _ in rows]
            names = dict(self._latest_names(connection, artists))
        return [
            PlayedArtist(artist.decode(), names.get(artist), int(listeners), float(plays))
            for artist, (_, listeners, plays) in zip(artists, rows, strict=True)
        ]

    def set_available(self, artist_id: str, *, is_available: bool) -> int:
        """Makes an artist unavailable, or available again."""
        with self._writing() as connection:
            self._lock_sequence(connection)
            self._execute(
                connection,
                "DELETE FROM unavailable_artists WHERE artist_id = ?",
                artist_id.encode(),
            )
            if not is_available:
                self._execute(
                    connection, "INSERT INTO unavailable_artists VALUES (?)", artist_id.encode()
                )
            self._update(connection, "assortment_version = assortment_version + 1")
            self._announce(connection)
            return self._availability_version(connection)

    def availability_version(self) -> int:
        """Returns the version of availability."""
        with self._reading() as connection:
            return self._availability_version(connection)

    def unavailable_artists(self) -> tuple[int, list[str]]:
        """Returns the version of availability, and the unavailable artists."""
        with self._following() as connection:
            # The version first: the artists are then at least as new.
            version = self._availability_version(connection)
            rows = self._execute(connection, "SELECT artist_id FROM unavailable_artists").fetchall()
        return version, sorted(bytes(artist).decode() for (artist,) in rows)

    def _availability_version(self, connection: Connection) -> int:
        return number_of(
            self._execute(connection, "SELECT assortment_version FROM event_store").fetchone()
        )

    def _latest_names(
        self, connection: Connection, artists: Sequence[bytes]
    ) -> Iterator[tuple[bytes, str]]:
        found = self._among(
            connection,
            "SELECT artist_id, artist_name FROM events WHERE sequence IN (SELECT max(sequence) "
            "FROM events WHERE artist_id IN ({among}) AND artist_name IS NOT NULL "
            "GROUP BY artist_id)",
            artists,
        )
        for artist, name in found:
            yield bytes(artist), bytes(name).decode()
